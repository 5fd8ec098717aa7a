"""How scores change with the number of dialogues: the paper's Figure 5.

    python -m experiments.data_volume --config training/recipes/tiny_cpu.yaml --data mmcr-310k --volumes 0 8 16 32 \
        --seeds 0 1 --out out/volume

Each arm trains on so many dialogues of `--data`; at one seed a smaller arm's dialogues are among a larger one's. With
`--beside PLACE` all arms train on that data set, too, and volume 0 on it alone; else volume 0 is the model before
training.
"""

from __future__ import annotations

import argparse
import sys

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, main, make_parser
from experiments.volumes import check_rows


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = make_parser("data_volume", "Scores against the number of dialogues (the paper's Figure 5).")
    made.add_argument("--volumes", nargs="+", type=int, required=True, metavar="N", help="dialogues of --data")
    made.add_argument("--beside", nargs="+", default=[], metavar="PLACE", help="data sets that all arms train on whole")
    made.add_argument("--beside_rows", nargs="+", type=int, default=[], metavar="N", help="of each; default: all")
    return made


def plan(args: argparse.Namespace, conductor: Conductor) -> Experiment:
    """An arm for each volume.

    Raises:
        ValueError: a volume isn't there, or the flags don't fit each other.
    """
    if len(args.data) > 1:
        raise ValueError(f"--data names {len(args.data)} sets, expected the one whose volume changes; name --beside")
    if args.beside_rows and len(args.beside_rows) != len(args.beside):
        raise ValueError(
            f"--beside_rows has {len(args.beside_rows)} numbers for {len(args.beside)} sets; give one each"
        )
    if min(args.volumes) < 0:
        raise ValueError(f"--volumes {min(args.volumes)}: expected 0 or more")
    check_rows({args.data[0]: conductor.count_rows(args.data[0])}, max(args.volumes))
    caps = args.beside_rows or [0] * len(args.beside)
    arms = [
        # the other sets come first: a draw goes by the place in the list, so theirs is the same in all arms
        Arm(f"volume_{volume}", f"{volume:,} dialogues", [*args.beside, *args.data[: volume > 0]],
            [*caps, volume][: len(caps) + (volume > 0)], x=float(volume))
        for volume in sorted(set(args.volumes))
        if volume or args.beside
    ]  # fmt: skip
    beside = f" beside {', '.join(args.beside)}" if args.beside else ""
    return Experiment(
        title="Data volume",
        arms=arms,
        x_label=f"dialogues{beside}",
        base_x=None if args.beside else 0.0,
        notes=[
            f"Arms train on so many dialogues of {args.data[0]}{beside}; a smaller arm's are among a larger's.",
            "The paper draws Figure 5 and prints none of its numbers.",
        ],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(parser(), plan, None))
