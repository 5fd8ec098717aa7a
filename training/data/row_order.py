"""Shuffling: the order of rows, as row indices of a data set or rows of a shuffled stream."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset

Item = Any  # a row index, or of a stream the row itself


class RowOrder(Protocol):
    """Protocol of a row order."""

    @property
    def num_rows(self) -> int | None:
        """Rows of an epoch; None if unknown (a stream)."""
        ...

    def items(self, epoch: int, begin: int) -> Iterator[Item]:
        """The items of an epoch, without the first `begin`."""
        ...


@dataclass(frozen=True)
class ShuffledRows:
    """Row indices shuffled by seed and epoch."""

    num_rows: int
    seed: int = 0

    def items(self, epoch: int, begin: int) -> Iterator[int]:
        """See RowOrder."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.num_rows)
        return (int(row) for row in order[begin:])


@dataclass(frozen=True)
class ShuffledStream:
    """Interleaved rows of `datasets.IterableDataset`s, repeated endlessly, each epoch with another seed.

    Every rank reads the whole stream and trains its part, so that the steps don't depend on the number of ranks.

    Attributes:
        sets: the streams.
        weights: sampling weight of each stream.
        buffer_size: rows in the shuffle buffer of each stream.
        seed: random seed.
    """

    sets: Sequence[Any]
    weights: Sequence[float]
    buffer_size: int = 1000
    seed: int = 0

    @property
    def num_rows(self) -> None:
        """Unknown for a stream."""
        return

    def items(self, epoch: int, begin: int) -> Iterator[dict[str, Any]]:
        """Endless, from `begin` rows after the start.

        Raises:
            ValueError: a set has no row.
        """
        return itertools.islice(self._mixed(), begin, None)

    def _mixed(self) -> Iterator[dict[str, Any]]:
        rng = np.random.default_rng(self.seed)
        shares = np.array(self.weights) / sum(self.weights)
        passes = [self._repeat(number) for number in range(len(self.sets))]
        while True:
            yield next(passes[int(rng.choice(len(passes), p=shares))])

    def _repeat(self, number: int) -> Iterator[dict[str, Any]]:
        for epoch in itertools.count():
            rng = np.random.default_rng([self.seed, number, epoch])
            buffer: list[dict[str, Any]] = []
            row = None
            for row in self.sets[number]:
                if len(buffer) < self.buffer_size:
                    buffer.append(row)
                    continue
                place = int(rng.integers(len(buffer)))
                yield buffer[place]
                buffer[place] = row
            if row is None:
                raise ValueError(f"--data: stream number {number + 1} has no rows")
            yield from (buffer[place] for place in rng.permutation(len(buffer)))


def first_rows(rows: Any, count: int = 1000) -> Iterator[dict[str, Any]]:
    """The first rows of a data set or a ShuffledStream."""
    sets = rows.sets if isinstance(rows, ShuffledStream) else [rows]
    return itertools.islice(itertools.chain.from_iterable(sets), count)


class ItemDataset(Dataset[Any]):
    """Item -> row, in a worker: an index is looked up, a row of a stream is passed through."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __getitem__(self, item: Item) -> Any:
        return self.rows[item] if isinstance(item, int) else item
