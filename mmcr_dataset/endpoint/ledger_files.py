"""Operations on whole ledger files: show totals, merge several, salvage a damaged one."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Iterable, Iterator, Sequence, Set
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mmcr_dataset.endpoint.ledger import Ledger, key_of
from mmcr_dataset.endpoint.ledger_pages import read_records
from mmcr_dataset.endpoint.ledger_schema import (
    FORMAT_VERSION,
    INSERT_ANSWERED,
    INSERT_FAILED,
    INSERT_PAID,
    READABLE_VERSIONS,
    SCHEMA,
    LedgerError,
    add_temporary_entries,
    ledger_errors,
    make_private,
    settle,
)

_SHOWN_IMAGE = re.compile(r"data:sha256,([0-9a-f]{64})")
_ROWS_A_RANGE = 1000
_BY_MODEL = """
SELECT json_extract(request, '$.model'), COUNT(*), COALESCE(SUM(json_extract(reply, '$.usage.prompt_tokens')), 0),
    COALESCE(SUM(json_extract(reply, '$.usage.completion_tokens')), 0), SUM(usd)
FROM answered GROUP BY 1 ORDER BY 1
"""
_BY_REASON = "SELECT reason, COUNT(*), SUM(usd) FROM failed GROUP BY 1 ORDER BY 2 DESC"


@dataclass(slots=True)
class CopyResult:
    """Number of rows written to a new ledger, with notes for the user."""

    num_answered: int = 0
    num_failed: int = 0
    notes: list[str] = field(default_factory=list)

    def show(self) -> str:
        """One line of counts, then the notes."""
        return "\n".join([f"{self.num_answered:,} answers and {self.num_failed:,} failures written", *self.notes])


def show_ledger(path: Path) -> str:
    """Totals as text: answers, tokens and cost by model, failures by reason.

    Raises:
        LedgerError: there is no such file, or it is damaged.
    """
    lines = ["model | answered | tokens in | tokens out | USD"]
    with ledger_errors(path), closing(_open_to_read(path)) as db:
        for model, count, tokens_in, tokens_out, usd in db.execute(_BY_MODEL):
            lines.append(f"{model} | {count:,} | {tokens_in:,} | {tokens_out:,} | {usd:.4f}")
        lines += ["", "failed because of | times | USD"]
        for reason, count, usd in db.execute(_BY_REASON):
            lines.append(f"{reason} | {count:,} | {usd:.4f}")
        total = "SELECT TOTAL(usd) FROM paid"
        lines += ["", f"spent in all: {db.execute(total).fetchone()[0]:.4f} USD"]
    return "\n".join(lines)


def merge_ledgers(paths: Sequence[Path], out: Path) -> CopyResult:
    """Merge several ledgers into a new one; answers are deduplicated by key, what each of them cost is kept.

    Raises:
        LedgerError: a file is missing or damaged, or `out` exists.
    """

    def rows() -> Iterator[tuple[Any, ...]]:
        for path in paths:
            with ledger_errors(path), closing(_open_to_read(path)) as db:
                yield from db.execute("SELECT * FROM paid")
                yield from db.execute("SELECT * FROM answered")
                yield from db.execute("SELECT * FROM failed")

    return _write(rows(), out)


def append_ledger(path: Path, part: Path) -> None:
    """Add the rows of a ledger to another one, a range of keys in each transaction; costs what the part holds.

    A repetition after a kill changes nothing: each answer, failure and payment is added once.

    Args:
        path: the ledger to add to.
        part: a ledger of the current format.

    Raises:
        LedgerError: a file is missing, damaged or in use.
    """
    inserts = {"paid": INSERT_PAID, "answered": INSERT_ANSWERED, "failed": INSERT_FAILED}  # money first: usd is its sum
    with (
        Ledger(path),
        ledger_errors(path),
        closing(sqlite3.connect(path, isolation_level=None)) as db,
        ledger_errors(part),
        closing(_open_to_read(part)) as rows,
    ):
        for table, insert in inserts.items():
            found = rows.execute(f"SELECT * FROM {table} ORDER BY key")  # noqa: S608  (one of three names)
            while some := found.fetchmany(_ROWS_A_RANGE):
                db.execute("BEGIN")
                db.executemany(insert, some)
                db.execute("COMMIT")


def salvage_ledger(path: Path, out: Path) -> CopyResult:
    """Write every row of a damaged ledger whose checksums match to a new one.

    Raises:
        LedgerError: there is no such file, or `out` exists.
    """
    if not path.is_file():
        raise LedgerError(f"{path}: no such file")
    saved = _write((row for row in read_records(path) if _is_whole(row)), out)
    saved.notes.append(f"{path} is unchanged; to use the salvaged rows, replace it by {out}")
    return saved


def _is_whole(row: Sequence[Any]) -> bool:
    """True for a row of `answered` or `failed` whose texts match their checksums, or of `paid`."""
    if _is_payment(row):
        return True
    if len(row) != 6 or not all(isinstance(value, str) for value in row[:4]) or row[0] != key_of(row[1]):
        return False
    return _is_answer(row) or re.fullmatch("[0-9a-f]{64}", row[3]) is None  # a detail, not a checksum


def _is_payment(row: Sequence[Any]) -> bool:
    """True for a row of `paid`."""
    if len(row) != 5 or not all(isinstance(value, str) for value in row[:3]):
        return False
    numbers = all(isinstance(value, (int, float)) and 0 <= value < 1e12 for value in row[3:])
    return numbers and re.fullmatch("[0-9a-f]{64}", row[1]) is not None


def _is_answer(row: Sequence[Any]) -> bool:
    return bool(row[3] == key_of(row[2]))


def _open_to_read(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise LedgerError(f"{path}: no such file")
    db = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    version = int(db.execute("PRAGMA user_version").fetchone()[0])
    if version not in READABLE_VERSIONS:
        db.close()
        raise LedgerError(f"{path}: ledger format {version}, this program reads {READABLE_VERSIONS}")
    if version != FORMAT_VERSION:
        add_temporary_entries(db)
    return db


def _write(rows: Iterable[Sequence[Any]], out: Path) -> CopyResult:
    """Write rows to a new file (atomic write)."""
    if out.exists():
        raise LedgerError(f"{out}: is there already; name a new file")
    unfinished = out.with_name(out.name + ".unfinished")
    unfinished.unlink(missing_ok=True)
    saved = CopyResult()
    make_private(unfinished)
    try:
        with ledger_errors(out), closing(sqlite3.connect(unfinished, isolation_level=None)) as db:
            db.executescript(SCHEMA)
            db.execute("BEGIN")
            for row in rows:
                if len(row) == 5:
                    db.execute(INSERT_PAID, row)
                else:
                    db.execute(INSERT_ANSWERED if _is_answer(row) else INSERT_FAILED, row)
            db.execute("COMMIT")
            settle(db)
            saved.num_answered = db.execute("SELECT COUNT(*) FROM answered").fetchone()[0]
            saved.num_failed = db.execute("SELECT COUNT(*) FROM failed").fetchone()[0]
        unfinished.replace(out)
    finally:
        unfinished.unlink(missing_ok=True)
    return saved


def forget_images(path: Path, sha256s: Set[str]) -> int:
    """Delete the requests that show one of these images, and their replies; what they cost stays counted.

    Args:
        path: the ledger.
        sha256s: digests of the original image files.

    Returns:
        Number of requests.

    Raises:
        LedgerError: the file is no ledger, or in use.
    """
    if not sha256s or not path.is_file():
        return 0
    with Ledger(path), ledger_errors(path), closing(sqlite3.connect(path, isolation_level=None)) as db:
        db.execute("PRAGMA secure_delete=ON")
        num_deleted = 0
        for table in ("answered", "failed"):
            shown = db.execute(f"SELECT DISTINCT key, request FROM {table}")  # noqa: S608  (one of two names)
            keys = [key for key, request in shown if sha256s & set(_SHOWN_IMAGE.findall(request))]
            db.execute("BEGIN")
            db.executemany(f"DELETE FROM {table} WHERE key = ?", [(key,) for key in keys])  # noqa: S608
            db.execute("COMMIT")
            num_deleted += len(keys)
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        db.execute("VACUUM")
        db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    return num_deleted
