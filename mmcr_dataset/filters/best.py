"""The dialogues that pass the rules, in a temporary file; which of them are not among the best of their kind."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from typing import NamedTuple

from mmcr_dataset.filters.keep import Keep
from mmcr_dataset.stage.checks import Drop


class Passed(NamedTuple):
    """A dialogue that passes the rules: its place, number of images, similarity (-1..1) of its worst image."""

    shard: int
    place: int
    id: str
    num_images: int
    worst: float


class PassedRows:
    """All of them, in the order of a search by similarity; the memory doesn't grow with their number."""

    def __init__(self) -> None:
        self._rows = sqlite3.connect("", isolation_level=None)  # "": a temporary file
        self._rows.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA cache_size=-65536; PRAGMA temp_store=FILE;"
            "CREATE TABLE passed (shard INTEGER, place INTEGER, id TEXT, num_images INTEGER, worst REAL);"
            "CREATE TABLE dropped (shard INTEGER, place INTEGER, worst REAL, why TEXT); BEGIN"
        )

    def add(self, one: Passed) -> None:
        """Add a dialogue."""
        self._rows.execute("INSERT INTO passed VALUES (?, ?, ?, ?, ?)", one)

    def drop(self, keep: Keep) -> Iterator[Drop]:
        """Shard and place of each dialogue that is not among the best of its kind, in order, and why."""
        counts = dict(self._rows.execute("SELECT num_images, count(*) FROM passed GROUP BY num_images").fetchall())
        for limit in keep.limits(counts):
            group = f"FROM passed WHERE num_images IN ({', '.join(map(str, limit.num_images))}) ORDER BY worst DESC, id"
            last = self._rows.execute(f"SELECT worst {group} LIMIT 1 OFFSET ?", (limit.most - 1,)).fetchone()
            why = f"{limit.label}: {limit.most:,} kept"
            if limit.most and last is not None:
                why += f", the last one kept has {last[0]:.3f}"
            values = f"SELECT shard, place, worst, ? {group} LIMIT -1 OFFSET ?"
            self._rows.execute(f"INSERT INTO dropped {values}", (why, limit.most))
        for shard, place, worst, why in self._rows.execute("SELECT * FROM dropped ORDER BY shard, place"):
            yield shard, place, ("not_among_best", f"{worst:.3f} ({why})")
