"""python -m training COMMAND: train (what train.py does), publish, settings, mini."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmcr_dataset.command_line import Program, run_program

PROGRAM = Program(
    name="python -m training",
    about="Fine-tune vision-language models on dialogues.",
    commands={
        "train": "training.commands:Train",
        "publish": "training.commands:Publish",
        "settings": "training.commands:Settings",
        "mini": "training.commands:Mini",
    },
    extra="train",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return run_program(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
