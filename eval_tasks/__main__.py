"""python -m eval_tasks --model hf:PATH|api:URL#NAME|scripted:FILE [--tasks a,b]; also: explain, report, ..."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence

from mmcr_dataset.command_line import Program, run_program

PROGRAM = Program(
    name="python -m eval_tasks",
    about="Evaluate a model on benchmarks.",
    commands={
        "run": "eval_tasks.run_command:Run",
        "score": "eval_tasks.commands:Score",
        "compare": "eval_tasks.commands:Compare",
        "explain": "eval_tasks.explain_command:Explain",
        "report": "eval_tasks.commands:Report",
        "import-yaml": "eval_tasks.import_yaml:ImportYaml",
        "exact": {
            "figure": "eval_tasks.exact.commands:ExactFigure",
            "export": "eval_tasks.exact.commands:ExactExport",
        },
    },
    extra="eval",
    default="eval_tasks.run_command:Run",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, by default `run`; returns the exit code. `--tasks_config FILE` is `--config FILE`."""
    words = sys.argv[1:] if argv is None else argv
    return run_program(PROGRAM, [re.sub(r"\A--tasks[_-]config(?==|\Z)", "--config", word) for word in words])


if __name__ == "__main__":
    sys.exit(main())
