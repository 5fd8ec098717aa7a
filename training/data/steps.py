"""The batch sampler: which dialogues make up a step, and how gradient accumulation splits it into micro-batches.

A step's dialogues are the same on any number of processes and workers; micro-batch number i of a step goes to process
i modulo their number.
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

Cut = Callable[[Sequence[Length | None], int], list[list[int]]]
Measure = Callable[[Iterable[Item]], Iterator[tuple[Item, Length]]]


def cut_evenly(lengths: Sequence[Any], num_processes: int, dialogues_at_once: int) -> list[list[int]]:
    """Split a step into micro-batches of at most so many dialogues; their number is a multiple of the processes."""
    wanted = -(-len(lengths) // dialogues_at_once)
    return spread_evenly([1] * len(lengths), _round_up(wanted, num_processes))


def cut_by_tokens(lengths: Sequence[Length], num_processes: int, bin_tokens: int, blank_tokens: int) -> list[list[int]]:
    """Split a step into bins of at most `bin_tokens` tokens; their number is a multiple of the processes.

    A bin of text alone gets a blank image (see Collator), for which a step that has text alone leaves room.
    """
    room = bin_tokens - (0 if all(length.has_images or not length.tokens for length in lengths) else blank_tokens)
    tokens = [length.tokens for length in lengths]
    alone = [[index] for index, length in enumerate(tokens) if length > room]
    shared = [index for index, length in enumerate(tokens) if length <= room]
    bins = alone + [[shared[place] for place in one] for one in fill_bins([tokens[index] for index in shared], room)]
    count = _round_up(len(bins), num_processes)
    if count > len(bins) and not alone:  # rather all bins a little emptier than some processes without work
        even = spread_evenly(tokens, count)
        if max(sum(tokens[index] for index in one) for one in even) <= room:
            return even
    return bins + [[] for _ in range(count - len(bins))]


def _round_up(count: int, multiple: int) -> int:
    return max(1, -(-count // multiple)) * multiple


@dataclass
class StepPlan:
    """A batch sampler: lists of items, the micro-batches of one process; their number differs from step to step.

    Attributes:
        order: the rows of an epoch, in order.
        dialogues_a_step: the global batch.
        cut: lengths of a step's dialogues, number of processes -> indices by micro-batch.
        measure: items -> items with their lengths, asked for as steps come; None where `cut` needs no lengths.
        num_processes: how many share the micro-batches of a step.
        process_index: which of them this one is.
        counts: micro-batches of the steps that were yielded and not yet taken by the loader.
    """

    order: RowOrder
    dialogues_a_step: int
    cut: Cut
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

    def go_to(self, step: int) -> None:
        """Resume: the next epoch begins at this step, counted from the beginning of the run."""
        self._epoch, self._begin = divmod(step, self.num_steps) if self.num_steps else (0, step)

    def show(self) -> str:
        """The plan in a line."""
        rows = "a stream of dialogues" if self.order.num_rows is None else f"{self.order.num_rows:,} dialogues"
        steps = "" if self.num_steps is None else f"{self.num_steps:,} steps an epoch of "
        processes = f"{self.num_processes} process{'es' if self.num_processes > 1 else ''}"
        return f"{rows}: {steps}{self.dialogues_a_step:,} dialogues a step over {processes}"

    def steps(self) -> Iterator[list[list[Item]]]:
        """The micro-batches of each step, over all processes."""
        items = self.order.items(self._epoch, self._begin * self.dialogues_a_step)
        measured = zip(items, itertools.repeat(None)) if self.measure is None else self.measure(items)
        while step := list(itertools.islice(measured, self.dialogues_a_step)):
            bins = self.cut([length for _, length in step], self.num_processes)
            yield [[step[index][0] for index in one] for one in bins]

    def __iter__(self) -> Iterator[list[Item]]:
        self.counts.clear()
        for bins in self.steps():
            own = bins[self.process_index :: self.num_processes]
            self.counts.append(len(own))
            yield from own
