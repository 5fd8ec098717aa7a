"""What keepers did: an append-only table beside the events, with who, when, to whom and why."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable
from typing import Literal, NamedTuple

_SCHEMA = """
CREATE TABLE IF NOT EXISTS keeper_act (
    seq INTEGER PRIMARY KEY, at REAL NOT NULL, actor TEXT NOT NULL, action TEXT NOT NULL, subject TEXT NOT NULL,
    detail TEXT NOT NULL
);
CREATE TRIGGER IF NOT EXISTS no_act_update BEFORE UPDATE ON keeper_act
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_act_delete BEFORE DELETE ON keeper_act
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
"""

Action = Literal["account", "password", "removed", "replaced", "lock_reset", "dropped", "adjudicated", "calibration"]
ACTIONS = ("account", "password", "removed", "replaced", "lock_reset", "dropped", "adjudicated", "calibration")


class Act(NamedTuple):
    """One act of a keeper.

    Attributes:
        at: Unix time in seconds.
        actor: the keeper, or `command line`.
        action: what was done.
        subject: the account or item it was done to.
        detail: a reason; of `replaced` the name of the successor.
    """

    at: float
    actor: str
    action: Action
    subject: str
    detail: str


def create_table(database: sqlite3.Connection) -> None:
    """Create the table if there is none."""
    database.executescript(_SCHEMA)


def add_act(database: sqlite3.Connection, actor: str, action: Action, subject: str, detail: str = "") -> None:
    """Append an act of now."""
    add_acts(database, [Act(time.time(), actor, action, subject, detail)])


def add_acts(database: sqlite3.Connection, acts: Iterable[Act]) -> None:
    """Append acts, of an export for example.

    Raises:
        ValueError: an action isn't one of ACTIONS.
    """
    for act in acts:
        if act.action not in ACTIONS:
            raise ValueError(f"{act.action!r} of {act.subject!r} is no act of a keeper, expected one of {ACTIONS}")
        row = (act.at, act.actor, act.action, act.subject, act.detail)
        database.execute("INSERT INTO keeper_act (at, actor, action, subject, detail) VALUES (?, ?, ?, ?, ?)", row)


def read_acts(database: sqlite3.Connection) -> list[Act]:
    """All acts, oldest first."""
    rows = database.execute("SELECT at, actor, action, subject, detail FROM keeper_act ORDER BY seq").fetchall()
    return [Act(*row) for row in rows]
