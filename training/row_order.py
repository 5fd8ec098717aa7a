"""The order in which rows are trained: shuffled row numbers of a data set, or the rows of a shuffled stream."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from torch.utils.data import Dataset

Item = Any  # a row number, or of a stream the row itself


class RowOrder(Protocol):
    """What a plan of steps asks."""

    @property
    def num_rows(self) -> int | None:
        """Rows of an epoch, None if nobody knows."""
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
    """Rows of a `datasets.IterableDataset`, over and over, each pass shuffled in another way.

    Every process reads the whole stream and trains its own part, so that the steps are the same on any number of them.
    """

    rows: Any

    @property
    def num_rows(self) -> None:
        """A stream has no known end."""
        return

    def items(self, epoch: int, begin: int) -> Iterator[dict[str, Any]]:
        """All passes, one after the other, from `begin` rows after the start.

        Raises:
            ValueError: a pass has no row.
        """
        return itertools.islice(self._passes(), begin, None)

    def _passes(self) -> Iterator[dict[str, Any]]:
        for number in itertools.count():
            self.rows.set_epoch(number)
            row = None
            for row in self.rows:
                yield row
            if row is None:
                raise ValueError("--data: the stream has no row")


class PickedRows(Dataset[Any]):
    """Gives the row of an item, in a worker: looks a number up, hands a row of a stream on."""

    def __init__(self, rows: Any) -> None:
        self.rows = rows

    def __getitem__(self, item: Item) -> Any:
        return self.rows[item] if isinstance(item, int) else item
