"""python -m mmcr_dataset COMMAND: table of commands; their flags are in build_settings.py and commands.py."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from mmcr_dataset.command_line import Program, run_program

PROGRAM = Program(
    name="python -m mmcr_dataset",
    about="Web documents to published multi-turn, multi-image dialogues.",
    commands={
        "build": "mmcr_dataset.build_command:Build",
        "describe": "mmcr_dataset.commands:Describe",
        "check": "mmcr_dataset.commands:Check",
        "publish": "mmcr_dataset.commands:Publish",
        "remove": "mmcr_dataset.remove_command:Remove",
        "import": "mmcr_dataset.commands:Import",
        "join": "mmcr_dataset.commands:Join",
        "label": "mmcr_dataset.label_command:Label",
        "contamination": "mmcr_dataset.commands:Contamination",
        "ledger": "mmcr_dataset.commands:LedgerFiles",
    },
    renamed={"overlap": "contamination"},
    extra="dataset",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    return run_program(PROGRAM, argv)


if __name__ == "__main__":
    sys.exit(main())
