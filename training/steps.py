"""Which dialogues make up a step, and how it is cut into micro-batches: every dialogue once an epoch, by seed alone.

The plan knows nothing of processes and workers: micro-batch number i of a step goes to process i modulo their number,
so the same seed trains the same steps on one process or eight.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from training.config import TrainConfig
from training.encode import Encoder
from training.measure import Measurer
from training.packing import fill_bins

_SAMPLE_ROWS = 256  # enough to know the mean length of a step within a few per cent


@dataclass
class StepPlan:
    """A batch sampler: lists of row numbers, `micro_batches` of them a step.

    Attributes:
        num_rows: rows of the data set.
        dialogues_a_step: the global batch.
        micro_batches: how many a step is cut into, a multiple of the number of processes; those of the last step of an
            epoch, or of a step with fewer dialogues than micro-batches, may be empty.
        seed: of the order.
        measure: row number -> tokens, asked for the dialogues of a step just before it; None cuts a step evenly by
            number of dialogues, not by tokens.
        epoch: which order; set by the trainer.
    """

    num_rows: int
    dialogues_a_step: int
    micro_batches: int
    seed: int = 0
    measure: Callable[[int], int] | None = None
    epoch: int = field(default=0, init=False)

    @property
    def num_steps(self) -> int:
        """Steps of an epoch."""
        return -(-self.num_rows // self.dialogues_a_step)

    def set_epoch(self, epoch: int) -> None:
        """Choose the order of this epoch."""
        self.epoch = epoch

    def show(self, num_processes: int) -> str:
        """The plan in a line."""
        return (
            f"{self.num_rows:,} dialogues: {self.num_steps:,} steps an epoch of {self.dialogues_a_step:,} dialogues in "
            f"{self.micro_batches} micro-batches over {num_processes} process{'es' if num_processes > 1 else ''}"
        )

    def __len__(self) -> int:
        return self.num_steps * self.micro_batches

    def __iter__(self) -> Iterator[list[int]]:
        order = np.random.default_rng([self.seed, self.epoch]).permutation(self.num_rows)
        for begin in range(0, self.num_rows, self.dialogues_a_step):
            yield from self._cut([int(row) for row in order[begin : begin + self.dialogues_a_step]])

    def _cut(self, rows: Sequence[int]) -> list[list[int]]:
        lengths = [1] * len(rows) if self.measure is None else [self.measure(row) for row in rows]
        return [[rows[index] for index in one] for one in fill_bins(lengths, self.micro_batches)]


def plan_steps(config: TrainConfig, rows: Any, encoder: Encoder, num_processes: int) -> StepPlan:
    """The plan of a run; with packing, as many bins a step as the mean length of a few hundred rows asks for."""
    measure = None
    wanted = config.global_batch_dialogues / config.micro_batch_dialogues
    if config.packing:
        measurer = Measurer(encoder)

        def measure(row: int) -> int:
            return measurer.measure(rows[row])

        sample = np.random.default_rng(config.seed).permutation(len(rows))[:_SAMPLE_ROWS]
        mean_tokens = float(np.mean([measure(int(row)) for row in sample]))
        dialogues = min(config.global_batch_dialogues, len(rows))
        wanted = dialogues * mean_tokens / config.bin_tokens
    micro_batches = max(1, math.ceil(wanted / num_processes)) * num_processes
    return StepPlan(len(rows), config.global_batch_dialogues, micro_batches, config.seed, measure)
