"""mmcr PROGRAM COMMAND ...: the programs of the project under one name, such as `mmcr dataset build`."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence
from dataclasses import replace

from mmcr_dataset.command_line import Program, run_program

PROGRAMS = {
    "dataset": "mmcr_dataset.__main__",
    "bench": "mmcr_bench.__main__",
    "train": "training.train",
    "training": "training.__main__",
    "eval": "eval_tasks.__main__",
    "experiment": "experiments.__main__",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command of one program; returns the exit code."""
    words = list(sys.argv[1:] if argv is None else argv)
    if words and words[0] in PROGRAMS:
        module = importlib.import_module(PROGRAMS[words[0]])
        if words[0] == "train":
            return int(module.main(words[1:]))
        program: Program = module.PROGRAM
        return run_program(replace(program, name=f"mmcr {words[0]}"), words[1:])
    if words == ["--version"]:
        return run_program(Program("mmcr", "", {}, "dev"), words)
    said = sys.stdout if words in ([], ["--help"], ["-h"]) else sys.stderr
    print(f"usage: mmcr {'|'.join(PROGRAMS)} COMMAND [--flag value ...]; each with --help", file=said)
    return 0 if words and said is sys.stdout else 2


if __name__ == "__main__":
    sys.exit(main())
