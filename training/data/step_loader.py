"""The data loader: steps as iterators of micro-batches, which workers decode, encode and prefetch."""

from __future__ import annotations

import functools
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.data import DataLoader

from training.config import TrainConfig
from training.data.collate import Collator
from training.data.lengths import Length, Measurer
from training.data.row_order import Item, ItemDataset, ShuffledRows, ShuffledStream
from training.data.steps import Measure, StepPlan, split_by_tokens, split_evenly

_ROWS_AT_ONCE = 32  # rows per task of a measuring worker


@dataclass(frozen=True)
class Step:
    """The micro-batches of one step on this rank, a lazy iterator."""

    num_batches: int
    batches: Iterator[dict[str, Any]]


class StepLoader:
    """The steps of the plan, with micro-batches from `num_workers` workers, in order, with prefetch factor 2.

    Args:
        plan: the batch sampler.
        rows: a data set, or a ShuffledStream.
        collate: rows -> micro-batch.
        num_workers: number of workers; 0 for this process.
        pin: pin memory.
    """

    def __init__(
        self, plan: StepPlan, rows: Any, collate: Callable[[list[Any]], dict[str, Any]], num_workers: int, pin: bool
    ) -> None:
        self.plan = plan
        self.dataset = rows
        self._collate, self._num_workers, self._pin = collate, num_workers, pin

    def __len__(self) -> int:
        if self.plan.num_steps is None:
            raise TypeError("a stream has no length")  # the trainer then needs max_steps
        return self.plan.num_steps

    def __iter__(self) -> Iterator[Step]:
        batches = iter(
            DataLoader(
                ItemDataset(self.dataset),
                batch_sampler=self.plan,
                collate_fn=self._collate,
                num_workers=self._num_workers,
                pin_memory=self._pin,
                prefetch_factor=2 if self._num_workers else None,
                generator=torch.Generator(),  # leaves the global random state alone
            )
        )
        for first in batches:
            count = self.plan.counts.popleft()
            step = Step(count, itertools.chain([first], itertools.islice(batches, count - 1)))
            yield step
            assert next(step.batches, None) is None, "a step was left before its last micro-batch"


@dataclass(frozen=True)
class LengthPrefetcher:
    """Measures lengths in `num_workers` workers with prefetch; with 0 in this process."""

    measurer: Measurer
    rows: Any
    num_workers: int

    def __call__(self, items: Iterable[Item]) -> Iterator[tuple[Item, Length]]:
        """The items with their lengths, in order."""
        asked: deque[tuple[Item, ...]] = deque()
        lengths = DataLoader(
            ItemDataset(self.rows),
            batch_sampler=_chunks(items, asked),
            collate_fn=self._measure,
            num_workers=self.num_workers,
            prefetch_factor=8 if self.num_workers else None,
            generator=torch.Generator(),
        )
        for chunk in lengths:
            yield from zip(asked.popleft(), chunk, strict=True)

    def _measure(self, rows: list[Any]) -> list[Length]:
        return [self.measurer.measure(row) for row in rows]


def _chunks(items: Iterable[Item], asked: deque[tuple[Item, ...]]) -> Iterator[list[Item]]:
    """The items in chunks, each also appended to `asked`."""
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, _ROWS_AT_ONCE)):
        asked.append(tuple(chunk))
        yield chunk


def plan_steps(
    config: TrainConfig, rows: Any, collator: Collator, num_processes: int = 1, process_index: int = 0
) -> StepPlan:
    """The batch sampler of a run: bins by measured lengths, or without packing a fixed micro-batch size.

    Args:
        config: the settings.
        rows: a data set, or a ShuffledStream.
        collator: the collator, to measure lengths.
        num_processes: world size.
        process_index: rank.
    """
    order = rows if isinstance(rows, ShuffledStream) else ShuffledRows(len(rows), config.seed)
    measure: Measure | None = None
    split: Any = functools.partial(split_evenly, micro_batch_size=config.micro_batch_dialogues)
    if config.packing:
        measurers = -(-config.num_workers // 4)  # measuring takes a fraction of encoding
        measure = LengthPrefetcher(Measurer(collator.encoder, collator.family), rows, measurers)
        split = functools.partial(split_by_tokens, bin_tokens=config.bin_tokens, dummy_tokens=len(collator.dummy))
    return StepPlan(order, config.global_batch_dialogues, split, measure, num_processes, process_index)
