"""How scores change with the number of turns that a trained dialogue has.

    python -m experiments.number_of_turns --config training/recipes/tiny_cpu.yaml --data mmcr-310k --turns 1 2 4 8 \
        --seeds 0 1 --out out/turns

Each arm trains on the first N turns of its dialogues and the images they show. All arms have as many tokens that
carry loss (so an arm of short dialogues has more of them, and at one seed those of an arm with longer ones are among
them), or with `--equal dialogues` the same dialogues.
"""

from __future__ import annotations

import argparse
import sys

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, main, make_parser
from experiments.volumes import check_rows, equal_token_rows


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = make_parser("number_of_turns", "Scores against the number of turns of a trained dialogue.")
    made.add_argument("--turns", nargs="+", type=int, default=[1, 2, 4, 8], metavar="N", help="default: 1 2 4 8")
    made.add_argument("--rows", type=int, metavar="N", help="dialogues of an arm at most (default: all)")
    made.add_argument(
        "--equal", choices=["trained_tokens", "dialogues"], default="trained_tokens", help="what is equal"
    )
    return made


def plan(args: argparse.Namespace, conductor: Conductor) -> Experiment:
    """An arm for each number of turns.

    Raises:
        ValueError: more than one data set, a number of turns below 1, or fewer rows than asked for.
    """
    if len(args.data) > 1:
        raise ValueError(f"--data names {len(args.data)} sets, expected one whose dialogues are cut")
    if min(args.turns) < 1:
        raise ValueError(f"--turns {min(args.turns)}: expected 1 or more")
    check_rows({args.data[0]: conductor.count_rows(args.data[0])}, args.rows or 0)
    turns = sorted(set(args.turns))
    flags = {number: ["--turns_max", str(number)] for number in turns}
    caps: list[int | None]
    if args.equal == "dialogues":
        caps, note = [args.rows or 0] * len(turns), "All arms train on the same dialogues; trained tokens differ."
    else:
        looks = [conductor.look(f"turns_{number}", ["--data", *args.data, *flags[number]]) for number in turns]
        found = [look for look in looks if look is not None]
        caps = [*equal_token_rows(found, args.rows)] if len(found) == len(turns) else [None] * len(turns)
        means = ", ".join(f"{look.tokens_a_dialogue:,.0f}" for look in found) or "not counted yet"
        note = f"All arms train on as many tokens that carry loss, by the mean of a dialogue ({means})."
    return Experiment(
        title="Number of turns",
        arms=[
            Arm(f"turns_{number}", f"{number} turn{'s' if number > 1 else ''}", args.data, [cap], flags[number],
                float(number))
            for number, cap in zip(turns, caps, strict=True)
        ],
        x_label="first turns of each dialogue",
        notes=[note, "A dialogue with fewer turns than an arm's number has all of them in it."],
    )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(parser(), plan, None))
