"""The ledger: one SQLite file that remembers every paid or slow call, so that nothing is paid twice.

The key of a call is the hash of its exact request. The raw reply is on disk (WAL, synchronous=FULL) before anybody
parses it. Failures and refusals are stored with their reason, are no answers, and are asked again next time.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, Self

_SCHEMA = """
CREATE TABLE IF NOT EXISTS answered (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, reply TEXT NOT NULL, usd REAL NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failed (
    key TEXT NOT NULL, request TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, usd REAL NOT NULL,
    at REAL NOT NULL
);
"""
FORMAT_VERSION = 1


class LedgerError(ValueError):
    """The file can't be used as a ledger; the message says why and what to do."""


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """What a ledger holds; money in US dollars."""

    num_answered: int
    num_failed: int
    usd: float


@dataclass(frozen=True, slots=True)
class _Write:
    """A row that waits for the disk."""

    statement: str
    row: Callable[[], tuple[Any, ...]]
    done: Future[None]


def request_key(request: Mapping[str, Any]) -> str:
    """Hash of the exact request: any change of model, messages, pictures or decoding is another key."""
    text = json.dumps(request, sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return hashlib.sha256(text.encode("ascii")).hexdigest()


class Ledger:
    """An open ledger file. One process writes a file at a time; distributed runs keep one file a shard.

    A thread of its own writes: replies that arrive together reach the disk together, with one wait for it.

    Raises:
        LedgerError: the file is corrupt, of another version, or in use by another process.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._db = self._connect()
            version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
            if version not in (0, FORMAT_VERSION):
                raise LedgerError(
                    f"{path}: ledger format {version}, this program writes {FORMAT_VERSION}; move it away"
                )
            self._db.executescript(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={FORMAT_VERSION}")
            self._writing = self._connect()
        except sqlite3.DatabaseError as error:
            raise LedgerError(
                f"{path}: not a usable ledger ({error}); restore a copy of it, or move it away"
            ) from error
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write_queued, name=f"ledger {path.name}", daemon=True)
        self._thread.start()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=5.0, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # an answer survives a power cut, not only a kill
        return connection

    def _write_queued(self) -> None:
        """The writing thread: takes all that waits, commits it at once, then says so to those who wait."""
        finished = False
        while not finished:
            writes = [self._queue.get()]
            while not self._queue.empty():
                writes.append(self._queue.get())
            finished = None in writes
            waiting = [write for write in writes if write is not None]
            try:
                self._writing.execute("BEGIN")
                for write in waiting:
                    self._writing.execute(write.statement, write.row())
                self._writing.execute("COMMIT")
            except sqlite3.Error as error:
                failure = LedgerError(f"{self.path}: could not be written ({error}); is the disk full?")
                for write in waiting:
                    write.done.set_exception(failure)
            else:
                for write in waiting:
                    write.done.set_result(None)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Write what waits and close the file; nothing that was confirmed is lost if this is never reached."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self._db.close()
        self._writing.close()

    def find(self, key: str) -> dict[str, Any] | None:
        """The raw reply stored for a request, None if it was never answered."""
        row = self._db.execute("SELECT reply FROM answered WHERE key = ?", (key,)).fetchone()
        return None if row is None else json.loads(row[0])

    def store(self, request: Mapping[str, Any], reply: Mapping[str, Any], usd: float = 0.0) -> Future[None]:
        """Have a raw reply put on disk; it is there when the returned future is done."""

        def row() -> tuple[Any, ...]:
            return request_key(request), _shorten(request), json.dumps(reply), usd, time.time()

        return self._enqueue("INSERT OR REPLACE INTO answered VALUES (?, ?, ?, ?, ?)", row)

    def store_failure(self, request: Mapping[str, Any], reason: str, detail: str, usd: float = 0.0) -> Future[None]:
        """Have it remembered that a request failed, and why; it will be asked again."""

        def row() -> tuple[Any, ...]:
            return request_key(request), _shorten(request), reason, detail[:2000], usd, time.time()

        return self._enqueue("INSERT INTO failed VALUES (?, ?, ?, ?, ?, ?)", row)

    def _enqueue(self, statement: str, row: Callable[[], tuple[Any, ...]]) -> Future[None]:
        write = _Write(statement, row, Future())
        self._queue.put(write)
        return write.done

    def totals(self) -> LedgerTotals:
        """Counts and money so far, failures included."""
        answered, paid = self._db.execute("SELECT COUNT(*), COALESCE(SUM(usd), 0) FROM answered").fetchone()
        failed, lost = self._db.execute("SELECT COUNT(*), COALESCE(SUM(usd), 0) FROM failed").fetchone()
        return LedgerTotals(num_answered=answered, num_failed=failed, usd=paid + lost)


def _shorten(request: Mapping[str, Any]) -> str:
    """The request as JSON with picture data replaced by its hash: the ledger must not grow by 100 kB a call."""

    def without_pictures(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
        if isinstance(value, str) and value.startswith("data:"):
            return f"data:sha256,{hashlib.sha256(value.encode()).hexdigest()}"
        if isinstance(value, Mapping):
            return {name: without_pictures(item) for name, item in value.items()}
        if isinstance(value, list):
            return [without_pictures(item) for item in value]
        return value

    return json.dumps(without_pictures(request), ensure_ascii=True)
