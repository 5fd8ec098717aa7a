"""The data mixture: which rows of which data sets a run trains on (weights, caps, temperature, topics)."""

from __future__ import annotations

import functools
import hashlib
import itertools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from mmcr_dataset.record.load import load_rows
from mmcr_dataset.record.plain_text import figure_text
from training.config import TrainConfig
from training.data.digest import digest_first_rows, digest_rows
from training.data.first_turns import count_truncated, keep_first_turns, show_truncated
from training.data.row_order import ShuffledStream
from training.data.topics import Topics, check_share, read_topics, round_robin, show_topics, with_share

_COLUMNS = ["id", "images", "messages"]
_ROWS_OF_A_STREAM = 32  # in its digest: what follows isn't known before it is read


@dataclass(frozen=True)
class Share:
    """The contribution of one data set to a mixture."""

    name: str
    num_rows: int | None  # None for a stream
    num_taken: int
    notes: tuple[str, ...] = ()  # about sampling and truncation
    digest: Callable[[], str] = field(default=str, repr=False, compare=False)  # of the rows that are taken


def count_taken(sizes: Sequence[int], weights: Sequence[float], caps: Sequence[int], temperature: float) -> list[int]:
    """Number of rows to take from each data set.

    Args:
        sizes: number of rows of each set.
        weights: 1 takes every row once, 0.5 half of them, 2 every row twice.
        caps: maximum number of rows; 0 for no limit.
        temperature: above 1 flattens the shares at a constant sum.
    """
    wanted = np.array([size * weight for size, weight in zip(sizes, weights, strict=True)], dtype=np.float64)
    if temperature != 1 and wanted.sum() > 0:
        flattened = np.where(wanted > 0, wanted, 1) ** (1 / temperature) * (wanted > 0)
        wanted = flattened / flattened.sum() * wanted.sum()
    return [min(round(count), cap) if cap else round(count) for count, cap in zip(wanted, caps, strict=True)]


def draw_rows(
    num_rows: int,
    count: int,
    seed: int,
    topics: Topics | None = None,
    dominant: tuple[str, float] | None = None,
) -> list[int]:
    """Sample row indices, without replacement in each pass; at one seed a smaller sample is a subset of a larger one.

    Args:
        num_rows: number of rows of the set.
        count: number of rows to sample.
        seed: random seed.
        topics: topic of each row, to balance them (round-robin).
        dominant: a topic and its share in percent, instead of balancing.
    """
    if not num_rows:
        return []
    order = [int(row) for row in np.random.default_rng(seed).permutation(num_rows)]
    if topics is not None:
        order = round_robin(order, topics) if dominant is None else with_share(order, topics, *dominant)
    rounds, rest = divmod(count, num_rows)
    return list(range(num_rows)) * rounds + order[:rest]


def load_set(name: str, config: TrainConfig, streaming: bool, flag: str = "data") -> Any:
    """The rows of a data set, images undecoded.

    Raises:
        ValueError: it is missing.
    """
    try:
        return load_rows(name, config.data_config, revision=config.data_revision, streaming=streaming)
    except OSError as error:  # missing, no access, or no connection
        said = str(error).strip().partition("\n")[0]
        raise ValueError(f"--{flag} {name}: can't be loaded ({type(error).__name__}: {said})") from error


def load_mixture(config: TrainConfig) -> tuple[Any, list[Share]]:
    """The rows of a run as one `datasets.Dataset`, and the share of each data set.

    Raises:
        ValueError: a set is missing, lacks the requested topics, or no rows are taken.
    """
    from datasets import concatenate_datasets

    sets = [load_set(name, config, streaming=False) for name in config.data]
    weights = config.data_weights or [1.0] * len(sets)
    caps = config.data_caps or [0] * len(sets)
    taken = count_taken([len(rows) for rows in sets], weights, caps, config.data_temperature)
    if not sum(taken):
        raise ValueError(f"--data {' '.join(config.data)}: no rows are taken; raise --data_weights or --data_caps")
    parts, shares = [], []
    for number, (name, rows, count) in enumerate(zip(config.data, sets, taken, strict=True)):
        topics = _topics_of(name, rows, config) if config.balance_topics or config.dominant_topic is not None else None
        dominant = None if config.dominant_topic is None else (config.dominant_topic, config.dominant_percent)
        if topics is not None and dominant is not None:
            check_share(name, topics, count, *dominant)
        drawn = draw_rows(len(rows), count, config.seed + number, topics, dominant)
        part = rows.select(drawn).select_columns(_columns_of(rows))
        parts.append(part)
        notes = [] if topics is None or not drawn else [show_topics([topics[row] for row in drawn])]
        if config.turns_max:
            notes.append(show_truncated(config.turns_max, *count_truncated(part, config.turns_max)))
        shares.append(Share(name, len(rows), count, tuple(notes), functools.partial(_digest_taken, rows, drawn)))
    mixture = concatenate_datasets([part for part in parts if len(part)])
    return keep_first_turns(mixture, config.turns_max) if config.turns_max else mixture, shares


def _columns_of(rows: Any) -> list[str]:
    """The columns that training reads; the domain is there for the losses of held-out dialogues."""
    known: Any = rows.column_names or next(iter(rows), {})  # a stream without a schema names its columns in its rows
    return [*_COLUMNS, *(["domain"] if "domain" in known else [])]


def _topics_of(name: str, rows: Any, config: TrainConfig) -> Topics:
    """The topic of each row.

    Raises:
        ValueError: no row has a topic.
    """
    if config.topic_file is not None:
        given = read_topics(Path(config.topic_file))
        topics = [given.get(id_) for id_ in rows["id"][:]]
    else:
        topics = rows["topic"][:] if "topic" in rows.column_names else []
    if len(rows) and not any(topics):
        where = config.topic_file or "its column 'topic'"
        raise ValueError(f"{name}: no row has a topic in {where}; pass a --topic_file with its ids, or omit topics")
    return topics


def _digest_taken(rows: Any, drawn: Sequence[int]) -> str:
    return hashlib.sha256(digest_rows(rows).encode() + np.array(drawn, dtype=np.int64).tobytes()).hexdigest()


def _digest_stream(rows: Any, weight: float, cap: int) -> str:
    beginning = digest_first_rows(itertools.islice(rows, _ROWS_OF_A_STREAM))
    return hashlib.sha256(f"{beginning} {weight} {cap}".encode()).hexdigest()


def load_streams(config: TrainConfig) -> tuple[ShuffledStream, list[Share]]:
    """The rows of a run as a stream, without an index, and the expected share of each data set.

    Raises:
        ValueError: a set is missing.
    """
    weights = config.data_weights or [1.0] * len(config.data)
    caps = config.data_caps or [0] * len(config.data)
    sets = []
    for name, cap in zip(config.data, caps, strict=True):
        rows = load_set(name, config, streaming=True)
        rows = rows.select_columns(_columns_of(rows))
        rows = rows.take(cap) if cap else rows
        sets.append(keep_first_turns(rows, config.turns_max) if config.turns_max else rows)
    drawn = config.max_steps * config.global_batch_dialogues
    notes = (f"the first {config.turns_max} turns of each dialogue",) if config.turns_max else ()
    shares = [
        Share(
            name,
            None,
            round(drawn * weight / sum(weights)),
            notes,
            functools.partial(_digest_stream, rows, weight, cap),
        )
        for name, rows, weight, cap in zip(config.data, sets, weights, caps, strict=True)
    ]
    return ShuffledStream(sets, weights, config.shuffle_rows, config.seed), shares


def show_mixture(shares: Sequence[Share]) -> str:
    """The mixture as a table, with a line for each note."""
    total = sum(share.num_taken for share in shares)
    width = max(len("data set"), *(len(share.name) for share in shares))
    lines = [f"{'data set':<{width}} {'rows':>10} {'taken':>10} {'share':>7}"]
    for share in shares:
        rows = "?" if share.num_rows is None else f"{share.num_rows:,}"
        lines.append(f"{share.name:<{width}} {rows:>10} {share.num_taken:>10,} {share.num_taken / total:>7.1%}")
    lines += [f"{share.name}: {note}" for share in shares for note in share.notes]
    return "\n".join(lines)


def write_mixture_image(shares: Sequence[Share], path: Path) -> None:
    """The mixture as a bar chart."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 1 + 0.5 * len(shares)), layout="constrained")
    axes = figure.subplots()
    names = [figure_text(share.name) for share in shares]
    bars = axes.barh(names, [share.num_taken for share in shares], color="tab:blue")
    axes.bar_label(bars, fmt="{:,.0f}", padding=3)
    axes.invert_yaxis()
    axes.margins(x=0.15)
    axes.set(xlabel="dialogues taken", title="What is trained on")
    figure.savefig(path, dpi=120)
