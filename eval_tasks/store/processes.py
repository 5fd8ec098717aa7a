"""Data-parallel evaluation: each rank answers a part of the samples (`accelerate launch -m eval_tasks ...`)."""

from __future__ import annotations

import os
from datetime import timedelta
from itertools import groupby
from typing import Any, NamedTuple

from eval_tasks.task import Scored

Answered = dict[str, list[Scored]]  # by the name of the task
_GATHER_TIMEOUT = timedelta(days=7)  # ranks may finish at very different times


class Process(NamedTuple):
    """Rank and world size of this process; it answers samples `rank`, `rank + world_size`, ..."""

    rank: int
    world_size: int


def this_process() -> Process:
    """From the environment variables of accelerate and torchrun; rank 0 of 1 without them."""
    return Process(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def gather_answers(answered: Answered, process: Process) -> Answered | None:
    """Gather the samples of all ranks on rank 0, in their original order; None on the other ranks."""
    if process.world_size == 1:
        return answered
    import torch.distributed as processes

    processes.init_process_group("gloo", timeout=_GATHER_TIMEOUT)
    try:
        gathered: list[Any] | None = [None] * process.world_size if process.rank == 0 else None
        processes.gather_object(answered, gathered)
    finally:
        processes.destroy_process_group()
    return None if gathered is None else {name: _interleave(gathered, name) for name in answered}


def _interleave(gathered: list[Answered], name: str) -> list[Scored]:
    """Round-robin over the ranks; the answers to one sample stay together."""
    parts = [[list(same) for _, same in groupby(one[name], lambda one: one.sample.dialogue.id)] for one in gathered]
    order = range(sum(map(len, parts)))
    return [one for number in order for one in parts[number % len(parts)][number // len(parts)]]
