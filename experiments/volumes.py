"""How much data there is and how much each arm takes: rows, trained tokens of a dialogue, equal volumes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Equal = Literal["dialogues", "trained_tokens"]


@dataclass(frozen=True)
class Look:
    """What a dry run of the training counted for one arm's data.

    Attributes:
        rows: of its data set.
        dialogues: looked at.
        trained_tokens: of those.
    """

    rows: int
    dialogues: int
    trained_tokens: int

    @property
    def tokens_a_dialogue(self) -> float:
        """Mean trained tokens of a dialogue."""
        return self.trained_tokens / self.dialogues


def read_look(folder: Path) -> Look:
    """What a dry run left in its folder.

    Raises:
        ValueError: it found no dialogue that can be trained.
    """
    said = json.loads((folder / "dry_run.json").read_text(encoding="utf-8"))
    at, rows = said["looked_at"], sum(share["rows"] for share in said["data"])
    if not at["trained_tokens"]:
        raise ValueError(f"{folder}: of the dialogues looked at not one can be trained ({at['skipped']} skipped)")
    return Look(rows, at["dialogues"], at["trained_tokens"])


def parquet_files(place: str, config: str | None = None) -> list[Path]:
    """The files of a local data set; none for one on the Hub."""
    return sorted((Path(place) / (config if config in ("single", "multi") else "")).rglob("*.parquet"))


def count_rows(place: str, config: str | None = None) -> int | None:
    """Rows of a local data set by its files' footers, None for one on the Hub.

    Raises:
        ValueError: a folder without a Parquet file.
    """
    import pyarrow.parquet as pq

    if not Path(place).is_dir():
        return None
    files = parquet_files(place, config)
    if not files:
        raise ValueError(f"{place}: no Parquet file; name a folder that `python -m mmcr_dataset build` wrote")
    return sum(int(pq.read_metadata(path).num_rows) for path in files)


def equal_rows(counts: Mapping[str, int | None], rows: int | None) -> int:
    """Rows that every set has: the smallest set's, or as many as asked.

    Raises:
        ValueError: a set has fewer than asked, or nobody knows how many it has.
    """
    unknown = [place for place, count in counts.items() if count is None]
    if rows is None:
        if unknown:
            raise ValueError(f"{unknown[0]}: no folder, so its rows aren't counted; say how many to take with --rows")
        return min(count for count in counts.values() if count is not None)
    check_rows(counts, rows)
    return rows


def check_rows(counts: Mapping[str, int | None], rows: int) -> None:
    """Whether every set has so many rows, as far as that is known.

    Raises:
        ValueError: one has not.
    """
    for place, count in counts.items():
        if count is not None and count < rows:
            raise ValueError(f"{place} has {count:,} rows, {rows:,} are asked for; lower --rows or --volumes")


def equal_token_rows(looks: Sequence[Look], rows: int | None) -> list[int]:
    """Rows of each arm with the same trained tokens in all: those of the arm that has the fewest in its rows."""
    budget = min(look.tokens_a_dialogue * min(look.rows, rows or look.rows) for look in looks)
    return [max(1, int(budget / look.tokens_a_dialogue)) for look in looks]
