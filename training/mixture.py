"""Which rows of which data sets a run trains on: weights, caps, temperature, topics; told before the start."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mmcr_dataset.rows import load_rows
from training.config import TrainConfig
from training.row_order import ShuffledStream

_COLUMNS = ["id", "images", "messages"]


@dataclass(frozen=True)
class Share:
    """What one data set gives to a mixture."""

    name: str
    num_rows: int | None  # of a stream nobody knows
    num_taken: int


def count_taken(sizes: Sequence[int], weights: Sequence[float], caps: Sequence[int], temperature: float) -> list[int]:
    """How many rows each set gives.

    Args:
        sizes: rows of each set.
        weights: 1 takes every row once, 0.5 half of them, 2 every row twice.
        caps: at most so many rows; 0 for no cap.
        temperature: 1 leaves the shares; above 1 they come closer to each other, the sum staying as it is.
    """
    wanted = np.array([size * weight for size, weight in zip(sizes, weights, strict=True)], dtype=np.float64)
    if temperature != 1 and wanted.sum() > 0:
        flattened = np.where(wanted > 0, wanted, 1) ** (1 / temperature) * (wanted > 0)
        wanted = flattened / flattened.sum() * wanted.sum()
    return [min(round(count), cap) if cap else round(count) for count, cap in zip(wanted, caps, strict=True)]


def draw_rows(num_rows: int, count: int, seed: int, topics: Sequence[str | None] | None = None) -> list[int]:
    """Row numbers, every row as often as any other within one; with topics, topics in turn instead of by their size."""
    if not num_rows:
        return []
    order = [int(row) for row in np.random.default_rng(seed).permutation(num_rows)]
    if topics is not None:
        order = _topics_in_turn(order, topics)
    rounds, rest = divmod(count, num_rows)
    return list(range(num_rows)) * rounds + order[:rest]


def _topics_in_turn(order: Sequence[int], topics: Sequence[str | None]) -> list[int]:
    seen: dict[str | None, int] = defaultdict(int)
    placed = []
    for place, row in enumerate(order):
        placed.append((seen[topics[row]], place, row))
        seen[topics[row]] += 1
    return [row for _, _, row in sorted(placed)]


def _load(name: str, config: TrainConfig) -> Any:
    try:
        return load_rows(name, config.data_config, revision=config.data_revision, streaming=config.streaming)
    except OSError as error:  # not there, not for us, or no connection
        said = str(error).strip().partition("\n")[0]
        raise ValueError(f"--data {name}: can't be loaded ({type(error).__name__}: {said})") from error


def load_mixture(config: TrainConfig) -> tuple[Any, list[Share]]:
    """The rows of a run as one `datasets.Dataset`, and what each set gave.

    Raises:
        ValueError: a set is missing, has no row, or has no topics to balance by; nothing is taken at all.
    """
    from datasets import concatenate_datasets

    sets = [_load(name, config) for name in config.data]
    weights = config.data_weights or [1.0] * len(sets)
    caps = config.data_caps or [0] * len(sets)
    taken = count_taken([len(rows) for rows in sets], weights, caps, config.data_temperature)
    parts = []
    for number, (name, rows, count) in enumerate(zip(config.data, sets, taken, strict=True)):
        topics = None
        if config.balance_topics:
            if "topic" not in rows.column_names:
                raise ValueError(f"{name}: no column 'topic' to balance by; leave --balance_topics out")
            topics = rows["topic"][:]
        parts.append(rows.select(draw_rows(len(rows), count, config.seed + number, topics)).select_columns(_COLUMNS))
    if not sum(taken):
        raise ValueError(f"--data {' '.join(config.data)}: not one row is taken; raise --data_weights or --data_caps")
    shares = [Share(*share) for share in zip(config.data, (len(rows) for rows in sets), taken, strict=True)]
    return concatenate_datasets([part for part in parts if len(part)]), shares


def load_streams(config: TrainConfig) -> tuple[ShuffledStream, list[Share]]:
    """The rows of a run as they come, without an index of them, and what each set will give by its weight.

    Raises:
        ValueError: a set is missing.
    """
    weights = config.data_weights or [1.0] * len(config.data)
    caps = config.data_caps or [0] * len(config.data)
    sets = []
    for name, cap in zip(config.data, caps, strict=True):
        rows = _load(name, config).select_columns(_COLUMNS)
        sets.append(rows.take(cap) if cap else rows)
    drawn = config.max_steps * config.global_batch_dialogues
    shares = [
        Share(name, None, round(drawn * weight / sum(weights)))
        for name, weight in zip(config.data, weights, strict=True)
    ]
    return ShuffledStream(sets, weights, config.shuffle_rows, config.seed), shares


def show_mixture(shares: Sequence[Share]) -> str:
    """The composition as a table."""
    total = sum(share.num_taken for share in shares)
    width = max(len("data set"), *(len(share.name) for share in shares))
    lines = [f"{'data set':<{width}} {'rows':>10} {'taken':>10} {'share':>7}"]
    for share in shares:
        rows = "?" if share.num_rows is None else f"{share.num_rows:,}"
        lines.append(f"{share.name:<{width}} {rows:>10} {share.num_taken:>10,} {share.num_taken / total:>7.1%}")
    return "\n".join(lines)


def write_mixture_picture(shares: Sequence[Share], path: Path) -> None:
    """The composition as bars."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + 0.5 * len(shares)), layout="constrained")
    axes = figure.subplots()
    bars = axes.barh([share.name for share in shares], [share.num_taken for share in shares], color="tab:blue")
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set(xlabel="dialogues taken", title="What is trained on")
    figure.savefig(path, dpi=120)
