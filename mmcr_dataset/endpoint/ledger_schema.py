"""Tables of a ledger file. Money is a table of its own: one entry for each answer that was paid.

An entry is never replaced: a second answer to a request, a duplicate and a merge of ledgers add to it. `usd` of the
other tables is derived: the sum over the request's answers, and the cost of one failure.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

FORMAT_VERSION = 3
READABLE_VERSIONS = (2, 3)  # 2 had no table `paid`

_PAID = """
CREATE {temporary}TABLE IF NOT EXISTS paid (
    id TEXT PRIMARY KEY, key TEXT NOT NULL, reason TEXT NOT NULL, usd REAL NOT NULL, at REAL NOT NULL
) WITHOUT ROWID;
"""
SCHEMA = (
    """
CREATE TABLE IF NOT EXISTS answered (
    key TEXT PRIMARY KEY, request TEXT NOT NULL, reply TEXT NOT NULL, reply_sha256 TEXT NOT NULL, usd REAL NOT NULL,
    at REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS failed (
    key TEXT NOT NULL, request TEXT NOT NULL, reason TEXT NOT NULL, detail TEXT NOT NULL, usd REAL NOT NULL,
    at REAL NOT NULL
);
"""
    + _PAID.format(temporary="")
    + """
CREATE INDEX IF NOT EXISTS answered_usd ON answered (usd);
CREATE INDEX IF NOT EXISTS paid_key ON paid (key);
CREATE UNIQUE INDEX IF NOT EXISTS failed_once ON failed (key, at, usd);
"""
)
INSERT_PAID = "INSERT OR IGNORE INTO paid VALUES (?, ?, ?, ?, ?)"
INSERT_ANSWERED = (  # the first answer stays, whatever is paid later
    "INSERT INTO answered VALUES "
    "(?1, ?2, ?3, ?4, MAX(?5, (SELECT TOTAL(usd) FROM paid WHERE key = ?1 AND reason = '')), ?6) "
    "ON CONFLICT (key) DO UPDATE SET usd = MAX(usd, excluded.usd)"
)
INSERT_FAILED = "INSERT OR IGNORE INTO failed VALUES (?, ?, ?, ?, ?, ?)"

# Entries for the rows that have none: those of format 2, and of a damaged file.
_ADD_ENTRIES = """
INSERT OR IGNORE INTO paid SELECT 'answered ' || key || ' ' || at, key, '', usd - had, at FROM (
    SELECT key, usd, at, (SELECT TOTAL(usd) FROM paid WHERE paid.key = answered.key AND reason = '') AS had,
    (SELECT COUNT(*) FROM paid WHERE paid.key = answered.key AND reason = '') AS entries FROM answered
) WHERE entries = 0 OR usd > had + 1e-9;
INSERT OR IGNORE INTO paid SELECT 'failed ' || key || ' ' || at || ' ' || usd, key, reason, usd, at FROM failed
    WHERE usd > 0 AND NOT EXISTS (
        SELECT 1 FROM paid WHERE paid.key = failed.key AND paid.usd = failed.usd AND paid.at = failed.at
    );
"""
_SUM_UP = "UPDATE answered SET usd = (SELECT TOTAL(usd) FROM paid WHERE paid.key = answered.key AND reason = '')"


def settle(db: sqlite3.Connection) -> None:
    """Give every row its entry in `paid`, and every answer the sum of its entries, in one transaction."""
    db.executescript(f"BEGIN; {_ADD_ENTRIES} {_SUM_UP}; PRAGMA user_version={FORMAT_VERSION}; COMMIT;")


def add_temporary_entries(db: sqlite3.Connection) -> None:
    """The table `paid` of a file of format 2 that is only read."""
    db.executescript(_PAID.format(temporary="TEMP ") + _ADD_ENTRIES)


def make_private(path: Path) -> None:
    """Create a file if it is missing, readable by its owner only: requests and replies are nobody else's."""
    with suppress(OSError):  # SQLite says what is wrong with the place
        os.close(os.open(path, os.O_RDONLY | os.O_CREAT, 0o600))
        if path.stat().st_mode & 0o077:
            path.chmod(0o600)


class LedgerError(ValueError):
    """The file can't be used as a ledger; the message names the cause and the remedy."""


@contextmanager
def ledger_errors(path: Path) -> Iterator[None]:
    """Convert SQLite errors inside.

    Raises:
        LedgerError: an SQLite error was raised.
    """
    try:
        yield
    except sqlite3.Error as error:
        raise to_ledger_error(path, error) from error


def to_ledger_error(path: Path, error: sqlite3.Error) -> LedgerError:
    """An SQLite error as a message for the user, with the remedy."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    if code in (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR):
        what = "free some space on the disk (or check it) and run the same command again; confirmed answers are kept"
        return LedgerError(f"{path}: could not be written ({error}): {what}")
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM):
        return LedgerError(f"{path}: can't be written ({error}); check the permissions of the file and its folder")
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return LedgerError(f"{path}: in use by another process ({error}); wait until it has finished, or stop it")
    return LedgerError(
        f"{path}: not a usable ledger ({error}); restore a backup, or save the readable rows with "
        f"`python -m mmcr_dataset ledger salvage {path} --output_file NEW` and put NEW in its place"
    )
