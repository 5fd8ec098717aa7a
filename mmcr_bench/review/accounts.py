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

_SCHEMA = """
CREATE TABLE IF NOT EXISTS account (
    name TEXT PRIMARY KEY, role TEXT NOT NULL, salt BLOB NOT NULL, hash BLOB NOT NULL
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS session (
    token_sha256 TEXT PRIMARY KEY, name TEXT NOT NULL, expires REAL NOT NULL
) WITHOUT ROWID;
"""
SESSION_S = 12 * 3600
ATTEMPTS_MAX = 5  # logins to a name from one address at once; then one every REFILL_S
REFILL_S = 6.0
PASSWORD_MIN = 10
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,31}")

Role = Literal["expert", "keeper"]


@dataclass(frozen=True, slots=True)
class User:
    """The logged-in user; a keeper sees agreement and progress of all experts, and doesn't annotate."""

    name: str
    role: Role
    csrf: str


class Accounts:
    """Accounts and sessions in the review's database."""

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self._db.executescript(_SCHEMA)
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
        return next((role for role in ("expert", "keeper") if name in self.names(role)), None)

    def add_without_password(self, name: str, role: Role) -> None:
        """Create an account that can't log in until it gets a password (`review account`)."""
        with self._lock:
            row = (name, role, secrets.token_bytes(16), b"\0" * 32)
            self._db.execute("INSERT OR IGNORE INTO account VALUES (?, ?, ?, ?)", row)

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
            row = self._db.execute("SELECT salt, hash FROM account WHERE name = ?", (name,)).fetchone()
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
            "WHERE token_sha256 = ? AND expires > ?"
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
