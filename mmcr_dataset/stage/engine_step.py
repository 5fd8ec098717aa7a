"""The body of a rank as a step of datatrove; nothing of ours depends on the engine but this."""

from __future__ import annotations

from typing import Any

from datatrove.pipeline.base import PipelineStep

from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.run import write_ranks_shards
from mmcr_dataset.stage.engine import Writing, rank_ledger, to_rank


class WriteRank(PipelineStep):  # type: ignore[misc]  # datatrove has no types
    """Writes the shards of one rank."""

    name = "dialogues"
    type = "mmcr"

    def __init__(self, task: Writing, numbers: list[int], spent_usd: float) -> None:
        super().__init__()
        self._task, self._numbers, self._spent_usd = task, numbers, spent_usd

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:  # noqa: ANN401  (datatrove's contract)
        """One rank; gives no documents on."""
        work = self._task.work
        task = to_rank(self._task, rank, self._spent_usd)
        with Ledger(rank_ledger(work, rank), earlier=work / "ledger.sqlite") as ledger:
            write_ranks_shards(task, self._numbers[rank::world_size], ledger)
        yield from ()
