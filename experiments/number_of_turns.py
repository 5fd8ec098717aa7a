"""Scores as a function of the number of turns of the training dialogues.

    python -m experiments.number_of_turns --config training/recipes/tiny_cpu.yaml --data mmcr-310k --turns 1 2 4 8 \
        --seeds 0 1 --output_dir out/turns

Each arm trains on the first N turns of its dialogues and their images. All arms have equal numbers of tokens with loss
(so an arm with fewer turns has more dialogues, at one seed a superset of those of the others), or with
`--equal dialogues` the same dialogues.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import Literal

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, ExperimentSettings, main
from experiments.volumes import check_rows, equal_token_rows


@dataclass(frozen=True, kw_only=True)
class NumberOfTurns(ExperimentSettings):
    """Scores against the number of turns of a trained dialogue.

    Attributes:
        turns: number of first turns to train on, one arm each.
        rows: maximum number of dialogues of an arm; default all.
        equal: unit of equal volume.
    """

    turns: tuple[int, ...] = (1, 2, 4, 8)
    rows: int | None = None
    equal: Literal["trained_tokens", "dialogues"] = "trained_tokens"

    def plan(self, conductor: Conductor) -> Experiment:
        """An arm for each number of turns.

        Raises:
            ValueError: more than one data set, a number of turns below 1, or fewer rows than requested.
        """
        if len(self.data) > 1:
            raise ValueError(f"--data names {len(self.data)} sets, expected one, whose dialogues are truncated")
        if min(self.turns) < 1:
            raise ValueError(f"--turns {min(self.turns)}: expected 1 or more")
        check_rows({self.data[0]: conductor.count_rows(self.data[0])}, self.rows or 0)
        turns = sorted(set(self.turns))
        flags = {number: ["--turns_max", str(number)] for number in turns}
        caps: list[int | None]
        if self.equal == "dialogues":
            caps, note = [self.rows or 0] * len(turns), "All arms train on the same dialogues; trained tokens differ."
        else:
            runs = [conductor.dry_run(f"turns_{number}", ["--data", *self.data, *flags[number]]) for number in turns]
            found = [run for run in runs if run is not None]
            caps = [*equal_token_rows(found, self.rows)] if len(found) == len(turns) else [None] * len(turns)
            means = ", ".join(f"{run.tokens_a_dialogue:,.0f}" for run in found) or "not counted yet"
            note = f"All arms train on equal numbers of tokens with loss, by their mean per dialogue ({means})."
        return Experiment(
            title="Number of turns",
            arms=[
                Arm(f"turns_{number}", f"{number} turn{'s' if number > 1 else ''}", self.data, [cap], flags[number],
                    float(number))
                for number, cap in zip(turns, caps, strict=True)
            ],
            x_label="first turns of each dialogue",
            notes=[note, "Dialogues with fewer turns than an arm's number aren't truncated."],
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(NumberOfTurns))
