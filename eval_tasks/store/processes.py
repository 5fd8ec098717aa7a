"""Several processes of one run, each with its share of the samples: `accelerate launch -m eval_tasks ...`."""

from __future__ import annotations

import os
from datetime import timedelta
from typing import Any, NamedTuple

from eval_tasks.task import Scored

Answered = dict[str, list[Scored]]  # by the name of the task
_LONGEST_WAIT = timedelta(days=7)  # of the first process to be ready for the last


class Share(NamedTuple):
    """This process and how many there are: it takes samples `rank`, `rank + total`, ..."""

    rank: int
    total: int


def my_share() -> Share:
    """From the environment that accelerate and torchrun set; a process alone has rank 0 of 1."""
    return Share(int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1")))


def join_shares(answered: Answered, share: Share) -> Answered | None:
    """All samples in the order of their samples for rank 0, when every process has its own; None for the others."""
    if share.total == 1:
        return answered
    import torch.distributed as processes

    processes.init_process_group("gloo", timeout=_LONGEST_WAIT)
    try:
        gathered: list[Any] | None = [None] * share.total if share.rank == 0 else None
        processes.gather_object(answered, gathered)
    finally:
        processes.destroy_process_group()
    return None if gathered is None else {name: _in_turn(gathered, name) for name in answered}


def _in_turn(gathered: list[Answered], name: str) -> list[Scored]:
    """One sample of each process in turn, until none has any left."""
    shares = [one[name] for one in gathered]
    return [shares[number % len(shares)][number // len(shares)] for number in range(sum(map(len, shares)))]
