"""python -m mmcr_bench build DATASET --out mmcr-bench: the bench's command line."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path


def build_parser() -> argparse.ArgumentParser:
    """The flags of every command; they are frozen by a test."""
    parser = argparse.ArgumentParser(prog="python -m mmcr_bench", description="Build and trust MMCR-Bench.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser(
        "build",
        help="draw the bench from a data set, and take its pictures out of the data set",
        description="Draws dialogues into --out and removes them, and every dialogue that shows one of their pictures, "
        "from DATASET: the bench is never trained on.",
    )
    build.add_argument("dataset", type=Path, metavar="DATASET", help="folder written by `python -m mmcr_dataset build`")
    build.add_argument(
        "--out", type=Path, default=Path("mmcr-bench"), help="folder of the bench (default: %(default)s)"
    )
    build.add_argument("--single", type=int, default=10, help="one-picture dialogues a topic (default: %(default)s)")
    build.add_argument(
        "--multi", type=int, default=5, help="dialogues of 2 to 4 pictures a topic (default: %(default)s)"
    )
    build.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    build.add_argument(
        "--overwrite", action="store_true", help="replace an existing bench; its dialogues can be redrawn"
    )
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = build_parser().parse_args(arguments)
    from mmcr_bench.build import build_bench

    try:
        report = build_bench(
            options.dataset, options.out, options.single, options.multi, options.seed, overwrite=options.overwrite
        )
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(report.show())
    return 0


if __name__ == "__main__":
    sys.exit(main())
