"""Scores that people give to the replies of runs: an append-only SQLite file with the dialogues, replies and images."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmcr_bench.judge.rubric import SCORE_MAX, SCORE_MIN
from mmcr_bench.trust.runs import DIMENSIONS_OF, Run
from mmcr_dataset.record.dialogue import to_json

_SCHEMA = """
CREATE TABLE IF NOT EXISTS asked (id TEXT PRIMARY KEY, dialogue TEXT NOT NULL, replies TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS score_image (sha256 TEXT PRIMARY KEY, data BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS scoring (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS score (seq INTEGER PRIMARY KEY, value TEXT NOT NULL);
CREATE TRIGGER IF NOT EXISTS no_score_update BEFORE UPDATE ON score
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
CREATE TRIGGER IF NOT EXISTS no_score_delete BEFORE DELETE ON score
BEGIN SELECT RAISE(ABORT, 'the log is append-only'); END;
"""

Scores = Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Given:
    """Scores of one expert for one model's replies to a dialogue.

    Attributes:
        id: id of the dialogue.
        run: name of the run.
        expert: who scored.
        at: Unix time in seconds.
        scores: 1 to 10 by dimension.
    """

    id: str
    run: str
    expert: str
    at: float
    scores: Scores


class ScoreLog:
    """An open file of scores.

    Attributes:
        dimensions: names of the scores.
        runs: names of the runs, one or two.
    """

    def __init__(self, database: sqlite3.Connection) -> None:
        self._db = database
        self._db.executescript(_SCHEMA)
        self._lock = threading.RLock()
        settings = dict(self._db.execute("SELECT name, value FROM scoring").fetchall())
        self.dimensions: tuple[str, ...] = tuple(json.loads(settings.get("dimensions", "[]")))
        self.runs: tuple[str, ...] = tuple(json.loads(settings.get("runs", "[]")))

    def start(self, runs: Sequence[Run], task: str, limit: int | None = None) -> int:
        """Take in the dialogues that all runs answered; returns their number.

        Raises:
            ValueError: runs share a name or no dialogue.
        """
        names = [run.name for run in runs]
        if len(set(names)) < len(names):
            raise ValueError(f"two runs are called {names[0]!r}; rename a folder, the name is the key of the scores")
        by_id = [{d.id: (d, given) for d, given in zip(run.dialogues, run.replies, strict=True)} for run in runs]
        shared = sorted(set.intersection(*(set(one) for one in by_id)), key=lambda id_: _place("draw", id_))[:limit]
        if not shared:
            raise ValueError(f"{' and '.join(names)} share no answered dialogue; were they asked the same bench?")
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            for id_ in shared:
                replies = {name: list(one[id_][1]) for name, one in zip(names, by_id, strict=True)}
                dialogue = by_id[0][id_][0]
                row = (id_, json.dumps(to_json(dialogue)), json.dumps(replies))
                self._db.execute("INSERT INTO asked VALUES (?, ?, ?)", row)
                images = [(image.sha256, image.data) for image in dialogue.images if image.data]
                self._db.executemany("INSERT OR IGNORE INTO score_image VALUES (?, ?)", images)
            for name, value in (("dimensions", list(DIMENSIONS_OF[task])), ("runs", names)):
                self._db.execute("INSERT INTO scoring VALUES (?, ?)", (name, json.dumps(value)))
            self._db.execute("COMMIT")
        self.dimensions, self.runs = tuple(DIMENSIONS_OF[task]), tuple(names)
        return len(shared)

    def ids(self) -> list[str]:
        """Ids of all dialogues."""
        with self._lock:
            return [row[0] for row in self._db.execute("SELECT id FROM asked ORDER BY id").fetchall()]

    def asked(self, id_: str) -> tuple[dict[str, Any], dict[str, list[str]]] | None:
        """The dialogue as JSON and the replies by run; None if unknown."""
        with self._lock:
            row = self._db.execute("SELECT dialogue, replies FROM asked WHERE id = ?", (id_,)).fetchone()
        return None if row is None else (json.loads(row[0]), json.loads(row[1]))

    def image(self, sha256: str) -> bytes | None:
        """The bytes of an image by its hash, None if unknown."""
        with self._lock:
            row = self._db.execute("SELECT data FROM score_image WHERE sha256 = ?", (sha256,)).fetchone()
        return None if row is None else bytes(row[0])

    def add(self, id_: str, expert: str, scores: Mapping[str, Scores]) -> None:
        """Store an expert's scores of all models' replies to a dialogue; a later call replaces them.

        Raises:
            ValueError: a dialogue, run or dimension is unknown or missing, or a score is no integer of 1 to 10.
        """
        if self.asked(id_) is None or scores.keys() != set(self.runs):
            raise ValueError(f"{id_!r}: expected a dialogue of this file with scores of {', '.join(self.runs)}")
        for run, given in scores.items():
            if given.keys() != set(self.dimensions):
                raise ValueError(f"{id_!r}, {run}: expected a score of {', '.join(self.dimensions)}")
            for name, score in given.items():
                if type(score) is not int or not SCORE_MIN <= score <= SCORE_MAX:
                    raise ValueError(f"{id_!r}: {name} is {score!r}, expected {SCORE_MIN} to {SCORE_MAX}")
        with self._lock:
            self._db.execute("BEGIN IMMEDIATE")
            for run, given in scores.items():
                value = {"id": id_, "run": run, "expert": expert, "at": time.time(), "scores": dict(given)}
                self._db.execute("INSERT INTO score (value) VALUES (?)", (json.dumps(value),))
            self._db.execute("COMMIT")

    def given(self) -> list[Given]:
        """The last scores of each expert, dialogue and run, in the order of their first."""
        with self._lock:
            rows = self._db.execute("SELECT value FROM score ORDER BY seq").fetchall()
        last: dict[tuple[str, str, str], Given] = {}
        for (text,) in rows:
            one = Given(**json.loads(text))
            last[one.id, one.run, one.expert] = one
        return list(last.values())

    def next_for(self, expert: str) -> str | None:
        """An expert's next dialogue, in an order of the expert's own; None when all are scored."""
        done = {one.id for one in self.given() if one.expert == expert}
        return min((id_ for id_ in self.ids() if id_ not in done), key=lambda id_: _place(expert, id_), default=None)

    def shown_order(self, expert: str, id_: str) -> list[str]:
        """The runs in the order in which an expert sees them: neither name nor place tells a model."""
        return sorted(self.runs, key=lambda run: _place(f"{expert}\x1f{id_}", run))

    def export(self) -> Iterator[str]:
        """JSON lines for `agreement --experts`."""
        for one in self.given():
            yield json.dumps({"id": one.id, "run": one.run, "expert": one.expert, "scores": dict(one.scores)})


def _place(salt: str, name: str) -> bytes:
    return hashlib.sha256(f"{salt}\x1f{name}".encode()).digest()
