"""User accounts of the review: names, scrypt-hashed passwords, sessions, rate limit of failed logins."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import sqlite3
import threading
import time
from dataclasses import dataclass
from typing import Literal

from mmcr_bench.review.keeper_log import Act, Action, add_act, add_acts, create_table, read_acts

_SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, salt BLOB NOT NULL, hash BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session (
    token_sha256 TEXT PRIMARY KEY, name TEXT NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS last_seen (name TEXT PRIMARY KEY, at REAL NOT NULL) WITHOUT ROWID;
"""
SESSION_S = 12 * 3600
ATTEMPTS_MAX = 5  # logins to a name from one address at once; then one every REFILL_S
REFILL_S = 6.0
PASSWORD_MIN = 10
SEEN_EVERY_S = 20.0  # how often the time of an account's last request is stored
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")

Role = Literal["expert", "keeper", "former"]
ROLES: tuple[Role, ...] = ("expert", "keeper", "former")


@dataclass(frozen=True, slots=True)
class User:
    """The logged-in user; a keeper sees agreement and progress of all experts, and doesn't annotate.

    A former expert keeps the marks given and can't log in.
    """

    name: str
    role: Role
    csrf: str


class Accounts:
    """Accounts and sessions in the review's database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self._db.executescript(_SCHEMA)
        create_table(database)
        self._spent: dict[tuple[str, str], tuple[float, float]] = {}  # attempts not yet refilled, and since when
        self._lock = threading.Lock()

    def add(self, name: str, password: str, role: Role = "expert") -> None:
        """Create an account, or reset its password (which ends its sessions).

        Raises:
            ValueError: the name is invalid, or the password is too short.
        """
        if not _NAME.fullmatch(name):
            raise ValueError(f"name {name!r}: expected a letter, then up to 31 letters, digits, dots, dashes")
        if len(password) < PASSWORD_MIN:
            raise ValueError(f"the password has {len(password)} characters, expected at least {PASSWORD_MIN}")
        salt = secrets.token_bytes(16)
        row = (name, role, salt, _scrypt(password, salt))
        with self._lock:
            self._db.execute("INSERT OR REPLACE INTO account VALUES (?, ?, ?, ?)", row)
            self._db.execute("DELETE FROM session WHERE name = ?", (name,))

    def names(self, role: Role) -> list[str]:
        """Names of all accounts of a role."""
        with self._lock:
            rows = self._db.execute("SELECT name FROM account WHERE role = ? ORDER BY name", (role,)).fetchall()
        return [str(name) for (name,) in rows]

    def role_of(self, name: str) -> Role | None:
        """The role of an account, None if there is none."""
        return next((role for role in ROLES if name in self.names(role)), None)

    def add_without_password(self, name: str, role: Role) -> None:
        """Create an account that can't log in until it gets a password (`review account`)."""
        with self._lock:
            row = (name, role, secrets.token_bytes(16), b"\0" * 32)
            self._db.execute("INSERT OR IGNORE INTO account VALUES (?, ?, ?, ?)", row)

    def remove(self, name: str, actor: str, reason: str, successor: str | None = None) -> None:
        """Take an expert off the panel: the marks stay, sessions end, a successor gets what is left.

        Raises:
            ValueError: the name is no expert, the successor is none, or there is no reason.
        """
        if not reason.strip():
            raise ValueError(f"removing {name} needs a reason, which stands in the log")
        if name not in self.names("expert") and not (successor and name in self.names("former")):
            raise ValueError(f"{name} is no expert of this review; experts: {', '.join(self.names('expert'))}")
        if successor is not None and (successor == name or successor not in self.names("expert")):
            raise ValueError(f"{successor} is no other expert; create the account with `review account` first")
        with self._lock:
            self._db.execute("UPDATE account SET role = 'former' WHERE name = ?", (name,))
            self._db.execute("DELETE FROM session WHERE name = ?", (name,))
        self.note(actor, "removed", name, reason.strip())
        if successor is not None:
            self.note(actor, "replaced", name, successor)

    def predecessors(self, name: str) -> set[str]:
        """Experts whose part an expert has taken over, directly or through others."""
        found, waiting = set[str](), {name}
        pairs = [(act.subject, act.detail) for act in self.acts() if act.action == "replaced"]
        while waiting:
            waiting = {old for old, new in pairs if new in waiting} - found
            found |= waiting
        return found - {name}

    def note(self, actor: str, action: Action, subject: str, detail: str = "") -> None:
        """Write an act of a keeper into the log."""
        with self._lock:
            add_act(self._db, actor, action, subject, detail)

    def acts(self) -> list[Act]:
        """All acts of keepers, oldest first."""
        with self._lock:
            return read_acts(self._db)

    def import_acts(self, acts: list[Act]) -> None:
        """Append the acts of an export."""
        with self._lock:
            add_acts(self._db, acts)

    def reset_lock(self, name: str, actor: str) -> None:
        """Forget failed logins to a name from every address."""
        with self._lock:
            self._spent = {key: value for key, value in self._spent.items() if key[0] != name}
        self.note(actor, "lock_reset", name)

    def waiting_logins(self, now: float | None = None) -> list[str]:
        """Names that somebody somewhere must wait for because of failed logins."""
        with self._lock:
            keys = list(self._spent)
        return sorted({name for name, address in keys if self.wait_s(name, address, now) > 0})

    def saw(self, name: str, now: float | None = None) -> None:
        """Store that an account was used, at most every SEEN_EVERY_S."""
        now = time.time() if now is None else now
        with self._lock:
            known = self._db.execute("SELECT at FROM last_seen WHERE name = ?", (name,)).fetchone()
            if known is None or known[0] < now - SEEN_EVERY_S:
                self._db.execute("INSERT OR REPLACE INTO last_seen VALUES (?, ?)", (name, now))

    def last_seen(self) -> dict[str, float]:
        """Unix time of the last request by name of the account."""
        with self._lock:
            return dict(self._db.execute("SELECT name, at FROM last_seen").fetchall())

    def wait_s(self, name: str, address: str = "", now: float | None = None) -> float:
        """Seconds until a login to this name from this address is compared; 0 for at once."""
        now = time.time() if now is None else now
        with self._lock:
            spent, since = self._spent.get((name, address), (0.0, now))
        return max(0.0, (spent + 1 - ATTEMPTS_MAX) * REFILL_S - (now - since))

    def _take_attempt(self, name: str, address: str, now: float) -> bool:
        """Count an attempt before it is compared; False if there is none left. Strangers elsewhere don't matter."""
        left = {key: (spent - (now - at) / REFILL_S, now) for key, (spent, at) in self._spent.items()}
        self._spent = {key: value for key, value in left.items() if value[0] > 0}
        spent = self._spent.get((name, address), (0.0, now))[0]
        if spent + 1 > ATTEMPTS_MAX + 1e-6:
            return False
        self._spent[name, address] = (spent + 1, now)
        return True

    def log_in(self, name: str, password: str, now: float | None = None, address: str = "") -> str | None:
        """Token of a new session; None for wrong credentials or too many recent attempts from this address."""
        now = time.time() if now is None else now
        with self._lock:
            if not self._take_attempt(name, address, now):
                return None
            row = self._db.execute(
                "SELECT salt, hash FROM account WHERE name = ? AND role != 'former'", (name,)
            ).fetchone()
        salt, known_hash = row or (b"\0" * 16, b"\0" * 32)  # an unknown name takes the same time
        fits = hmac.compare_digest(_scrypt(password, salt), known_hash)
        with self._lock:
            if row is None or not fits:
                return None
            self._spent.pop((name, address), None)
            token = secrets.token_urlsafe(32)
            self._db.execute("DELETE FROM session WHERE expires < ?", (now,))
            self._db.execute("INSERT INTO session VALUES (?, ?, ?)", (_sha256(token), name, now + SESSION_S))
        return token

    def user_of(self, token: str | None, now: float | None = None) -> User | None:
        """The user of a session token, None if it is unknown or expired."""
        if not token:
            return None
        query = (
            "SELECT account.name, role FROM session JOIN account ON account.name = session.name "
            "WHERE token_sha256 = ? AND expires > ? AND role != 'former'"
        )
        with self._lock:
            row = self._db.execute(query, (_sha256(token), time.time() if now is None else now)).fetchone()
        return User(row[0], row[1], _sha256("csrf " + token)) if row else None

    def log_out(self, token: str) -> None:
        """End a session."""
        with self._lock:
            self._db.execute("DELETE FROM session WHERE token_sha256 = ?", (_sha256(token),))


def _scrypt(password: str, salt: bytes) -> bytes:
    return hashlib.scrypt(password.encode("utf-8", "surrogatepass"), salt=salt, n=2**14, r=8, p=1, dklen=32)


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
