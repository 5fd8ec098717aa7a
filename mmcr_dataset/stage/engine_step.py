"""A rank's function as a datatrove pipeline step."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from datatrove.pipeline.base import PipelineStep


class RankStep(PipelineStep):  # type: ignore[misc]  # datatrove has no types
    """Runs the function of one rank."""

    type = "mmcr"

    def __init__(self, name: str, run_rank: Callable[[int], None]) -> None:
        super().__init__()
        self.name = name
        self._run_rank = run_rank

    def run(self, data: Any, rank: int = 0, world_size: int = 1) -> Any:  # noqa: ANN401  (datatrove's contract)
        """Run the function; yields no documents."""
        self._run_rank(rank)
        yield from ()
