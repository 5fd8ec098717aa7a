"""The ledger: one SQLite file that remembers every paid or slow call, so that nothing is paid twice.

The key of a call is the hash of its exact request, in which an image stands as its hash. The raw reply is on disk
(WAL, synchronous=FULL) before anybody parses it. Failures and refusals are stored with their reason, are no answers,
and are asked again next time. Salvage, merge and totals by model: ledger_files.py.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple, Self

from filelock import FileLock, Timeout

SCHEMA = """
CREATE TABLE IF NOT EXISTS answered (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, reply TEXT NOT NULL, reply_sha256 TEXT NOT NULL, usd REAL NOT NULL,
    at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failed (
    key TEXT NOT NULL, request TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, usd REAL NOT NULL,
    at REAL NOT NULL
);
CREATE INDEX IF NOT EXISTS answered_usd ON answered (usd);
CREATE UNIQUE INDEX IF NOT EXISTS failed_once ON failed (key, at, usd);
"""
INSERT_ANSWERED = "INSERT OR REPLACE INTO answered VALUES (?, ?, ?, ?, ?, ?)"
INSERT_FAILED = "INSERT OR IGNORE INTO failed VALUES (?, ?, ?, ?, ?, ?)"
FORMAT_VERSION = 2


class LedgerError(ValueError):
    """The file can't be used as a ledger; the message says why and what to do."""


class Asked(NamedTuple):
    """A request as the ledger knows it: its text, images as hashes, and the hash of that text."""

    key: str
    text: str


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
    row: tuple[Any, ...]
    done: Future[None]


def to_asked(request: Mapping[str, Any]) -> Asked:
    """The request as stored: keys sorted, image data replaced by its hash, so that a row stays small."""
    text = json.dumps(_without_images(request), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Asked(key_of(text), text)


def key_of(text: str) -> str:
    """Hash of a stored request or reply: what proves that a row found on a damaged disk is whole."""
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _without_images(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    if isinstance(value, str):
        if value.startswith("data:") and not value.startswith("data:sha256,"):
            return f"data:sha256,{hashlib.sha256(value.encode()).hexdigest()}"
        return value
    if isinstance(value, Mapping):
        return {name: _without_images(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_without_images(item) for item in value]
    return value


def _hold(path: Path) -> FileLock:
    """The right to a ledger, by a lock file beside it; a process may hold it several times, and its end frees it.

    Raises:
        LedgerError: another process has it.
    """
    place = path.resolve().with_name(path.name + ".lock")
    lock = FileLock(place, is_singleton=True, thread_local=False)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        owner = place.read_text(encoding="ascii", errors="replace").strip() or "(unknown)"
        raise LedgerError(
            f"{path}: in use by process {owner}; wait until it has finished, or stop it (two runs on one ledger would "
            "pay twice)"
        ) from None
    place.write_text(str(os.getpid()), encoding="ascii")
    return lock


class Ledger:
    """An open ledger file. One process has a file at a time; distributed runs keep one file a shard.

    A thread of its own writes: replies that arrive together reach the disk together, with one wait for it.

    Args:
        path: the file, made if it isn't there.
        earlier: a finished ledger that is only looked into, for what was paid before; nobody may write it meanwhile.

    Raises:
        LedgerError: the file is corrupt, of another version, can't be written, or is in use by another process.
    """

    def __init__(self, path: Path, earlier: Path | None = None) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _hold(path)
        try:
            self._open(earlier)
        except sqlite3.Error as error:
            self._lock.release()
            raise explain(path, error) from error
        except LedgerError:
            self._lock.release()
            raise
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write_queued, name=f"ledger {path.name}", daemon=True)
        self._thread.start()

    def _open(self, earlier: Path | None) -> None:
        self._db = self._connect()
        self._earlier = self._db if earlier is None else _open_finished(earlier)
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, FORMAT_VERSION):
            raise LedgerError(
                f"{self.path}: ledger format {version}, this program writes {FORMAT_VERSION}; use the program "
                "that wrote it, or move it away"
            )
        self._db.executescript(SCHEMA)
        self._db.execute(f"PRAGMA user_version={FORMAT_VERSION}")
        self._writing = self._connect()

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
                    self._writing.execute(write.statement, write.row)
                self._writing.execute("COMMIT")
            except sqlite3.Error as error:
                if self._writing.in_transaction:
                    self._writing.execute("ROLLBACK")
                for write in waiting:
                    write.done.set_exception(explain(self.path, error))
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
        self._earlier.close()
        self._db.close()
        self._writing.close()
        self._lock.release()

    def find(self, key: str) -> dict[str, Any] | None:
        """The raw reply stored for a request, None if it was never answered.

        Raises:
            LedgerError: the file is damaged.
        """
        try:
            stored = "SELECT reply, reply_sha256 FROM answered WHERE key = ?"
            row = self._db.execute(stored, (key,)).fetchone() or self._earlier.execute(stored, (key,)).fetchone()
        except sqlite3.Error as error:
            raise explain(self.path, error) from error
        if row is not None and key_of(row[0]) != row[1]:
            raise explain(self.path, sqlite3.DatabaseError(f"the reply to request {key[:12]} was overwritten"))
        return None if row is None else json.loads(row[0])

    def has(self, key: str) -> bool:
        """True if the request was answered; raises as `find` does."""
        try:
            stored = "SELECT 1 FROM answered WHERE key = ?"
            return any(db.execute(stored, (key,)).fetchone() is not None for db in (self._db, self._earlier))
        except sqlite3.Error as error:
            raise explain(self.path, error) from error

    def mean_reply_tokens(self, num_replies: int = 200) -> float | None:
        """Mean tokens of some stored replies (keys are hashes, so the first are a fair sample), None below 20."""
        counted = (
            "SELECT json_extract(reply, '$.usage.completion_tokens') AS tokens FROM "
            "(SELECT reply FROM answered ORDER BY key LIMIT ?) WHERE tokens > 0"
        )
        try:
            tokens = [row[0] for row in self._db.execute(counted, (num_replies,))]
        except sqlite3.Error as error:
            raise explain(self.path, error) from error
        return sum(tokens) / len(tokens) if len(tokens) >= 20 else None

    def store(self, asked: Asked, reply: str, usd: float = 0.0) -> Future[None]:
        """Have a raw reply (JSON as it came) put on disk; it is there when the returned future is done."""
        return self._enqueue(INSERT_ANSWERED, (*asked, reply, key_of(reply), usd, time.time()))

    def store_failure(
        self, asked: Asked, reason: str, detail: str, usd: float = 0.0, at: float | None = None
    ) -> Future[None]:
        """Have it remembered that a request failed, and why; it will be asked again.

        Args:
            asked: the request.
            reason: a short name, counted.
            detail: what exactly; cut to 2,000 characters.
            usd: what it cost all the same.
            at: seconds since 1970, now by default; the same failure told twice counts once.
        """
        return self._enqueue(INSERT_FAILED, (*asked, reason, detail[:2000], usd, time.time() if at is None else at))

    def _enqueue(self, statement: str, row: tuple[Any, ...]) -> Future[None]:
        write = _Write(statement, row, Future())
        self._queue.put(write)
        return write.done

    def totals(self) -> LedgerTotals:
        """Counts and money so far, failures included; raises as `find` does."""
        try:
            answered, paid = self._db.execute("SELECT COUNT(*), COALESCE(SUM(usd), 0) FROM answered").fetchone()
            failed, lost = self._db.execute("SELECT COUNT(*), COALESCE(SUM(usd), 0) FROM failed").fetchone()
        except sqlite3.Error as error:
            raise explain(self.path, error) from error
        return LedgerTotals(num_answered=answered, num_failed=failed, usd=paid + lost)


def _open_finished(path: Path) -> sqlite3.Connection:
    """A ledger that nobody writes, also on a disk of the network: without locks."""
    return sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro&immutable=1", uri=True, check_same_thread=False)


def explain(path: Path, error: sqlite3.Error) -> LedgerError:
    """What an error of SQLite means for the person who runs the program, and what mends it."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        what = "free some space on the disk (or check it) and run the same command again; what was confirmed is kept"
        return LedgerError(f"{path}: could not be written ({error}): {what}")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return LedgerError(f"{path}: can't be written ({error}); check the permissions of the file and its folder")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LedgerError(f"{path}: in use by another process ({error}); wait until it has finished, or stop it")
    return LedgerError(
        f"{path}: not a usable ledger ({error}); restore a copy of it, or save what can be read by "
        f"`python -m mmcr_dataset ledger salvage {path} --output_file NEW` and put NEW in its place"
    )
