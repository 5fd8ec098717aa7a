"""Shuffling: the order in which rows are trained, as row numbers of a data set or rows of a shuffled stream."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset

Item = Any  # a row number, or of a stream the row itself


class RowOrder(Protocol):
    """Protocol of a row order, as a plan of steps uses it."""

    @property
    def num_rows(self) -> int | None:
        """Rows of an epoch; None if unknown (a stream)."""
        ...

    def items(self, epoch: int, begin: int) -> Iterator[Item]:
        """The items of an epoch, without the first `begin`."""
        ...


@dataclass(frozen=True)
class ShuffledRows:
    """Row numbers in an order that seed and epoch alone decide."""

    num_rows: int
    seed: int = 0

    def items(self, epoch: int, begin: int) -> Iterator[int]:
        """See RowOrder."""
        order = np.random.default_rng([self.seed, epoch]).permutation(self.num_rows)
        return (int(row) for row in order[begin:])


@dataclass(frozen=True)
class ShuffledStream:
    """Rows of `datasets.IterableDataset`s, repeated without end, every epoch shuffled with another seed.

    Every process reads the whole stream and trains its own part, so that the steps are the same on any number of them.

    Attributes:
        sets: the streams.
        weights: one a stream: how often it is drawn from.
        held: rows of each stream held at once; the next is drawn among them.
        seed: of the draws.
    """

    sets: Sequence[Any]
    weights: Sequence[float]
    held: int = 1000
    seed: int = 0

    @property
    def num_rows(self) -> None:
        """A stream has no known end."""
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
        passes = [self._over_and_over(number) for number in range(len(self.sets))]
        while True:
            yield next(passes[int(rng.choice(len(passes), p=shares))])

    def _over_and_over(self, number: int) -> Iterator[dict[str, Any]]:
        for epoch in itertools.count():
            rng = np.random.default_rng([self.seed, number, epoch])
            held: list[dict[str, Any]] = []
            row = None
            for row in self.sets[number]:
                if len(held) < self.held:
                    held.append(row)
                    continue
                place = int(rng.integers(len(held)))
                yield held[place]
                held[place] = row
            if row is None:
                raise ValueError(f"--data: stream number {number + 1} has no row")
            yield from (held[place] for place in rng.permutation(len(held)))


def first_rows(rows: Any, count: int = 1000) -> Iterator[dict[str, Any]]:
    """Some rows of a data set or a ShuffledStream."""
    sets = rows.sets if isinstance(rows, ShuffledStream) else [rows]
    return itertools.islice(itertools.chain.from_iterable(sets), count)


class PickedRows(Dataset[Any]):
    """The row of an item, in a worker: a number is looked up, a row of a stream is passed through."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __getitem__(self, item: Item) -> Any:
        return self.rows[item] if isinstance(item, int) else item
