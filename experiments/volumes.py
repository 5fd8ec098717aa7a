"""Size of data sets and of arms: rows, trained tokens per dialogue, equal volumes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class DryRun:
    """Counts of a dry run of the training for one arm's data.

    Attributes:
        rows: number of rows of its data set.
        dialogues: number of encoded dialogues.
        trained_tokens: number of tokens with loss of these.
    """

    rows: int
    dialogues: int
    trained_tokens: int

    @property
    def tokens_a_dialogue(self) -> float:
        """Mean number of trained tokens per dialogue."""
        return self.trained_tokens / self.dialogues


def read_dry_run(folder: Path) -> DryRun:
    """Read the counts of a dry run from its folder.

    Raises:
        ValueError: no encoded dialogue can be trained.
    """
    said = json.loads((folder / "dry_run.json").read_text(encoding="utf-8"))
    at, rows = said["looked_at"], sum(share["rows"] for share in said["data"])
    if not at["trained_tokens"]:
        raise ValueError(f"{folder}: none of the encoded dialogues can be trained ({at['skipped']} skipped)")
    return DryRun(rows, at["dialogues"], at["trained_tokens"])


def parquet_files(place: str, config: str | None = None) -> list[Path]:
    """The files of a local data set; none for one on the Hub."""
    return sorted((Path(place) / (config if config in ("single", "multi") else "")).rglob("*.parquet"))


def count_rows(place: str, config: str | None = None) -> int | None:
    """Rows of a local data set from the Parquet footers, None for one on the Hub.

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
    """Rows to take from every set: the size of the smallest, or `rows`.

    Raises:
        ValueError: a set has fewer, or its size is unknown.
    """
    unknown = [place for place, count in counts.items() if count is None]
    if rows is None:
        if unknown:
            raise ValueError(f"{unknown[0]}: not a folder, so its rows aren't counted; set --rows")
        return min(count for count in counts.values() if count is not None)
    check_rows(counts, rows)
    return rows


def check_rows(counts: Mapping[str, int | None], rows: int) -> None:
    """Check that every set of known size has at least this many rows.

    Raises:
        ValueError: a set is smaller.
    """
    for place, count in counts.items():
        if count is not None and count < rows:
            raise ValueError(f"{place} has {count:,} rows, {rows:,} are requested; lower --rows or --volumes")


def equal_token_rows(runs: Sequence[DryRun], rows: int | None) -> list[int]:
    """Rows of each arm for equal numbers of trained tokens: as many as the arm with the fewest has."""
    budget = min(run.tokens_a_dialogue * min(run.rows, rows or run.rows) for run in runs)
    return [max(1, int(budget / run.tokens_a_dialogue)) for run in runs]
