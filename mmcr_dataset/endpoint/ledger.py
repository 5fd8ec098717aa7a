"""The ledger: an SQLite file of every paid or slow call, so that no request is paid twice.

The key of a call is the hash of its exact request, with each image replaced by its hash. The raw reply is on disk (WAL,
synchronous=FULL) before it is parsed. Failures and refusals are stored with their reason; they don't count as answers,
so the next run sends these requests again. Salvage, merge and totals by model: ledger_files.py.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import sqlite3
import threading
import time
import uuid
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from pathlib import Path
from queue import SimpleQueue
from types import TracebackType
from typing import Any, NamedTuple, Self

from filelock import FileLock, Timeout

from mmcr_dataset.endpoint.in_flight import KILLED, InFlight
from mmcr_dataset.endpoint.ledger_schema import (
    FORMAT_VERSION,
    INSERT_ANSWERED,
    INSERT_FAILED,
    INSERT_PAID,
    READABLE_VERSIONS,
    SCHEMA,
    ledger_errors,
    make_private,
    settle,
    to_ledger_error,
)
from mmcr_dataset.endpoint.ledger_schema import LedgerError as LedgerError


class Asked(NamedTuple):
    """A request in the ledger's form: canonical JSON with images as hashes, and the hash of this text."""

    key: str
    text: str


@dataclass(frozen=True, slots=True)
class LedgerTotals:
    """Totals of a ledger; cost in US dollars."""

    num_answered: int
    num_failed: int
    usd: float


@dataclass(frozen=True, slots=True)
class _Write:
    """Rows in the write queue that are committed together."""

    statements: tuple[tuple[str, tuple[Any, ...]], ...]
    done: Future[None]


def to_asked(request: Mapping[str, Any]) -> Asked:
    """The request in the ledger's form: keys sorted, image data replaced by its hash, which keeps a row small."""
    text = json.dumps(_without_images(request), sort_keys=True, separators=(",", ":"), ensure_ascii=True)
    return Asked(key_of(text), text)


def key_of(text: str) -> str:
    """SHA-256 of a stored request or reply; also the checksum that salvage verifies."""
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


_PROBED_S = 1.0  # a lock that `is_written` looks at is free again in no time


def _acquire_lock(path: Path) -> FileLock:
    """Acquire the lock file beside a ledger; reentrant within a process, released when the process ends.

    Raises:
        LedgerError: another process holds it.
    """
    place = path.resolve().with_name(path.name + ".lock")
    lock = FileLock(place, is_singleton=True, thread_local=False)
    try:
        lock.acquire(timeout=_PROBED_S)
    except Timeout:
        owner = place.read_text(encoding="ascii", errors="replace").strip() or "(unknown)"
        raise LedgerError(
            f"{path}: in use by process {owner}; wait until it has finished, or stop it (two runs on one ledger would "
            "pay twice)"
        ) from None
    place.write_text(str(os.getpid()), encoding="ascii")
    return lock


def is_written(path: Path) -> bool:
    """Whether a process has a ledger open, or left its write-ahead log behind."""
    log = path.with_name(path.name + "-wal")
    if log.is_file() and log.stat().st_size > 0:
        return True
    try:
        with path.resolve().with_name(path.name + ".lock").open("rb") as file:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:  # no lock file, or a file system without locks
        return False
    return False


class Ledger:
    """An open ledger file, locked by this process; distributed runs have one file a rank.

    A writer thread commits in groups: replies that arrive together share one fsync.

    Args:
        path: the file, created if missing.
        earlier: a second ledger to look up answers in, opened read-only; nobody may write to it meanwhile.

    Raises:
        LedgerError: the file is corrupt, has another format version, can't be written, or is locked.
    """

    def __init__(self, path: Path, earlier: Path | None = None) -> None:
        self.path = path
        path.parent.mkdir(parents=True, exist_ok=True)
        self._lock = _acquire_lock(path)
        try:
            with ledger_errors(path):
                self._open(earlier)
        except LedgerError:
            self._lock.release()
            raise
        self._queue: SimpleQueue[_Write | None] = SimpleQueue()
        self._thread = threading.Thread(target=self._write_queued, name=f"ledger {path.name}", daemon=True)
        self._thread.start()

    def _open(self, earlier: Path | None) -> None:
        make_private(self.path)
        self._db = self._connect()
        self._earlier = self._db
        if earlier is not None:
            # immutable: opened without locks, which network file systems may lack; wrong while somebody writes
            finished = f"{earlier.resolve().as_uri()}?mode=ro" + ("" if is_written(earlier) else "&immutable=1")
            self._earlier = sqlite3.connect(finished, uri=True, check_same_thread=False)
        version = int(self._db.execute("PRAGMA user_version").fetchone()[0])
        if version not in (0, *READABLE_VERSIONS):
            raise LedgerError(
                f"{self.path}: ledger format {version}, this program writes {FORMAT_VERSION}; use the program "
                "that wrote it, or move it away"
            )
        self._db.executescript(SCHEMA)
        if version != FORMAT_VERSION:
            settle(self._db)
        self._writing = self._connect()
        self.in_flight = InFlight(self.path)
        for entry, key, usd in self.in_flight.read():  # of a process that was killed
            self._db.execute(INSERT_PAID, (entry, key, KILLED, usd, time.time()))
        self.in_flight.clear()

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, isolation_level=None, timeout=5.0, check_same_thread=False)
        connection.execute("PRAGMA journal_mode=WAL")
        connection.execute("PRAGMA synchronous=FULL")  # an answer survives a power failure, not only a kill
        return connection

    def _write_queued(self) -> None:
        """Loop of the writer thread: commit all queued rows in one transaction, then resolve their futures."""
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
                    for statement, row in write.statements:
                        self._writing.execute(statement, row)
                self._writing.execute("COMMIT")
            except sqlite3.Error as error:
                if self._writing.in_transaction:
                    self._writing.execute("ROLLBACK")
                for write in waiting:
                    write.done.set_exception(to_ledger_error(self.path, error))
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
        """Flush the queue and close the file; confirmed rows are safe even without this."""
        if self._thread.is_alive():
            self._queue.put(None)
            self._thread.join()
        self.in_flight.close()
        self._earlier.close()
        self._db.close()
        self._writing.close()
        self._lock.release()

    def find(self, key: str) -> dict[str, Any] | None:
        """The raw reply stored for a request, None if there is none.

        Raises:
            LedgerError: the file is damaged.
        """
        with ledger_errors(self.path):
            stored = "SELECT reply, reply_sha256 FROM answered WHERE key = ?"
            row = self._db.execute(stored, (key,)).fetchone() or self._earlier.execute(stored, (key,)).fetchone()
            if row is not None and key_of(row[0]) != row[1]:
                raise sqlite3.DatabaseError(f"the reply to request {key[:12]} was overwritten")
        return None if row is None else json.loads(row[0])

    def has(self, key: str) -> bool:
        """True if the request has an answer.

        Raises:
            LedgerError: the file is damaged.
        """
        with ledger_errors(self.path):
            stored = "SELECT 1 FROM answered WHERE key = ?"
            return any(db.execute(stored, (key,)).fetchone() is not None for db in (self._db, self._earlier))

    def mean_reply_tokens(self, num_replies: int = 200) -> float | None:
        """Mean completion tokens of a sample of replies (the first by key, which is a hash); None below 20.

        Raises:
            LedgerError: the file is damaged.
        """
        counted = (
            "SELECT json_extract(reply, '$.usage.completion_tokens') AS tokens FROM "
            "(SELECT reply FROM answered ORDER BY key LIMIT ?) "
            "WHERE typeof(tokens) IN ('integer', 'real') AND tokens > 0"
        )
        with ledger_errors(self.path):
            tokens = [row[0] for row in self._db.execute(counted, (num_replies,))]
        return sum(tokens) / len(tokens) if len(tokens) >= 20 else None

    def store(self, asked: Asked, reply: str, usd: float = 0.0, payment: str | None = None) -> Future[None]:
        """Queue a raw reply (unchanged JSON) for writing; it is on disk when the future is done.

        Args:
            asked: the request; its first answer stays, a further one only costs.
            reply: the reply.
            usd: its cost.
            payment: unique name of this answer, so that reading it again doesn't count its cost again.
        """
        at = time.time()
        return self._enqueue(
            (INSERT_PAID, (payment or uuid.uuid4().hex, asked.key, "", usd, at)),
            (INSERT_ANSWERED, (*asked, reply, key_of(reply), 0.0, at)),
        )

    def store_failure(
        self,
        asked: Asked,
        reason: str,
        detail: str,
        usd: float = 0.0,
        at: float | None = None,
        payment: str | None = None,
    ) -> Future[None]:
        """Queue a failed request for writing; it is on disk when the future is done, and will be sent again.

        Args:
            asked: the request.
            reason: a short name, for counting.
            detail: full message, truncated to 2,000 characters.
            usd: its cost.
            at: seconds since 1970, None for now; a second row of the same key, time and cost is ignored.
            payment: as for `store`.
        """
        at = time.time() if at is None else at
        failed = (INSERT_FAILED, (*asked, reason, detail[:2000], usd, at))
        if usd <= 0:
            return self._enqueue(failed)
        return self._enqueue((INSERT_PAID, (payment or uuid.uuid4().hex, asked.key, reason, usd, at)), failed)

    def _enqueue(self, *statements: tuple[str, tuple[Any, ...]]) -> Future[None]:
        write = _Write(statements, Future())
        write.done.set_running_or_notify_cancel()  # a cancelled caller doesn't cancel the row
        self._queue.put(write)
        return write.done

    def totals(self) -> LedgerTotals:
        """Counts and cost so far, failures included.

        Raises:
            LedgerError: the file is damaged.
        """
        with ledger_errors(self.path):
            counts = "SELECT (SELECT COUNT(*) FROM answered), (SELECT COUNT(*) FROM failed), TOTAL(usd) FROM paid"
            return LedgerTotals(*self._db.execute(counts).fetchone())
