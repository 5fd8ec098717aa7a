"""Which of two data sets teaches more at equal volume: the paper's Table 5, for MMDU and MMCR or any two places.

    python -m experiments.mmdu_or_mmcr --config training/recipes/ovis2_1b.yaml --data mmdu-45k mmcr-310k --rows 45000 \
        --tasks public --eval_flags '--data LMUData' --seeds 0 1 2 --out out/mmdu_or_mmcr

Equal volume is as many dialogues (paper: about 45,000 and 50,000), or with `--equal trained_tokens` as many tokens that
carry loss, for which dialogues of both sets are counted first.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, main, make_parser
from experiments.volumes import equal_rows, equal_token_rows

_PAPER = {"mmdu": "Ovis-1B+MMDU", "mmcr": "Ovis-1B+MMCR"}


def parser() -> argparse.ArgumentParser:
    """The flags."""
    made = make_parser("mmdu_or_mmcr", "Two data sets at equal volume (the paper's Table 5).")
    made.add_argument("--rows", type=int, metavar="N", help="of each set at most (default: the smaller one's)")
    made.add_argument("--equal", choices=["dialogues", "trained_tokens"], default="dialogues", help="what is equal")
    return made


def plan(args: argparse.Namespace, conductor: Conductor) -> Experiment:
    """An arm for each data set.

    Raises:
        ValueError: not two sets, or one is too small.
    """
    if len(args.data) != 2:
        raise ValueError(f"--data names {len(args.data)} sets, expected the two to compare")
    names = [Path(place).name.replace(" ", "_") for place in args.data]
    caps: list[int | None]
    if args.equal == "dialogues":
        equal = equal_rows({place: conductor.count_rows(place) for place in args.data}, args.rows)
        caps, note = [equal, equal], f"Each arm trains on {equal:,} dialogues; trained tokens differ."
    else:
        looks = [conductor.look(name, ["--data", place]) for name, place in zip(names, args.data, strict=True)]
        found = [look for look in looks if look is not None]
        caps = [*equal_token_rows(found, args.rows)] if len(found) == 2 else [None, None]
        means = " and ".join(f"{look.tokens_a_dialogue:,.0f} ({look.dialogues:,} dialogues)" for look in found)
        note = f"Arms train on as many tokens that carry loss, by the mean of a dialogue: {means or 'not counted yet'}."
    paper = {name: model for word, model in _PAPER.items() for name in names if word in name.lower()}
    return Experiment(
        title=f"{names[0]} or {names[1]} at equal volume",
        arms=[Arm(name, name, [place], [cap]) for name, place, cap in zip(names, args.data, caps, strict=True)],
        against=names[0],
        notes=[note],
        paper={"base": "Ovis-1B", **paper} if len(set(paper.values())) == len(_PAPER) else {},
    )


if __name__ == "__main__":
    sys.exit(main(parser(), plan, None))
