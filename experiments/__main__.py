"""python -m experiments COMMAND: the experiments; each can also be run as a module."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmcr_dataset.command_line import Program, run_program

PROGRAM = Program(
    name="python -m experiments",
    about="The paper's data ablations: train and evaluate arms, plot scores with confidence intervals.",
    commands={
        "data-volume": "experiments.data_volume:DataVolume",
        "exact-balance": "experiments.exact_balance:ExactBalance",
        "exact-claim": "experiments.exact_claim:ExactClaim",
        "exact-images": "experiments.exact_images:ExactImages",
        "exact-probes": "experiments.exact_probes:ExactProbes",
        "exact-turns": "experiments.exact_turns:ExactTurns",
        "exact-volume": "experiments.exact_volume:ExactVolume",
        "mini": "experiments.mini:Mini",
        "mmdu-or-mmcr": "experiments.mmdu_or_mmcr:MmduOrMmcr",
        "number-of-turns": "experiments.number_of_turns:NumberOfTurns",
        "topic-balance": "experiments.topic_balance:TopicBalance",
    },
    extra="eval",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one experiment; returns the exit code."""
    return run_program(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
