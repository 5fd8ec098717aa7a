"""The batch sampler: the dialogues of each step (global batch), split into micro-batches for gradient accumulation.

The dialogues of a step don't depend on the number of ranks and workers; micro-batch i of a step goes to rank
i modulo the world size.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from training.data.lengths import Length
from training.data.packing import fill_bins, spread_evenly
from training.data.row_order import Item, RowOrder

Split = Callable[[Sequence[Length | None], int], list[list[int]]]
Measure = Callable[[Iterable[Item]], Iterator[tuple[Item, Length]]]


def split_evenly(lengths: Sequence[Any], num_processes: int, micro_batch_size: int) -> list[list[int]]:
    """Split a step into micro-batches of at most `micro_batch_size`; their number is a multiple of `num_processes`."""
    wanted = -(-len(lengths) // micro_batch_size)
    return spread_evenly([1] * len(lengths), _round_up(wanted, num_processes))


def split_by_tokens(
    lengths: Sequence[Length], num_processes: int, bin_tokens: int, dummy_tokens: int
) -> list[list[int]]:
    """Split a step into bins of at most `bin_tokens`; their number is a multiple of `num_processes`.

    Args:
        lengths: of the dialogues of the step.
        num_processes: world size.
        bin_tokens: maximum tokens of a bin.
        dummy_tokens: length of the dummy dialogue of a text-only bin, reserved in steps with text-only dialogues.

    Returns:
        Indices of the dialogues by bin.
    """
    room = bin_tokens - (0 if all(length.has_images or not length.tokens for length in lengths) else dummy_tokens)
    tokens = [length.tokens for length in lengths]
    alone = [[index] for index, length in enumerate(tokens) if length > room]
    shared = [index for index, length in enumerate(tokens) if length <= room]
    bins = alone + [[shared[place] for place in one] for one in fill_bins([tokens[index] for index in shared], room)]
    count = _round_up(len(bins), num_processes)
    if count > len(bins) and not alone:  # balanced bins rather than idle ranks
        even = spread_evenly(tokens, count)
        if max(sum(tokens[index] for index in one) for one in even) <= room:
            return even
    return bins + [[] for _ in range(count - len(bins))]


def _round_up(count: int, multiple: int) -> int:
    return max(1, -(-count // multiple)) * multiple


@dataclass
class StepPlan:
    """A batch sampler: lists of items, the micro-batches of one rank; their number differs between steps.

    Attributes:
        order: the rows of an epoch, in order.
        dialogues_a_step: global batch size.
        split: (lengths of a step's dialogues, world size) -> indices by micro-batch.
        measure: items -> items with their lengths, lazily; None if `split` needs no lengths.
        num_processes: world size.
        process_index: rank.
        counts: number of micro-batches of the steps yielded but not yet consumed by the loader.
    """

    order: RowOrder
    dialogues_a_step: int
    split: Split
    measure: Measure | None = None
    num_processes: int = 1
    process_index: int = 0
    counts: deque[int] = field(default_factory=deque, init=False)
    _epoch: int = field(default=0, init=False)
    _begin: int = field(default=0, init=False)

    @property
    def num_steps(self) -> int | None:
        """Steps of an epoch, None for a stream."""
        return None if self.order.num_rows is None else -(-self.order.num_rows // self.dialogues_a_step)

    def seek(self, step: int) -> None:
        """Resume: the next epoch starts at this step, counted from the start of the run."""
        self._epoch, self._begin = divmod(step, self.num_steps) if self.num_steps else (0, step)

    def show(self) -> str:
        """A line about the plan."""
        rows = "a stream of dialogues" if self.order.num_rows is None else f"{self.order.num_rows:,} dialogues"
        steps = "" if self.num_steps is None else f"{self.num_steps:,} steps an epoch of "
        processes = f"{self.num_processes} process{'es' if self.num_processes > 1 else ''}"
        return f"{rows}: {steps}{self.dialogues_a_step:,} dialogues a step over {processes}"

    def steps(self) -> Iterator[list[list[Item]]]:
        """The micro-batches of each step, over all ranks."""
        items = self.order.items(self._epoch, self._begin * self.dialogues_a_step)
        measured = zip(items, itertools.repeat(None)) if self.measure is None else self.measure(items)
        while step := list(itertools.islice(measured, self.dialogues_a_step)):
            bins = self.split([length for _, length in step], self.num_processes)
            yield [[step[index][0] for index in one] for one in bins]

    def __iter__(self) -> Iterator[list[Item]]:
        self.counts.clear()
        for bins in self.steps():
            own = bins[self.process_index :: self.num_processes]
            self.counts.append(len(own))
            yield from own
