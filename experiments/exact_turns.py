"""Does the number of turns of the training dialogues matter, at equal numbers of images and questions?

    python -m experiments.exact_turns --output_dir out/turns --seeds 0 1 2 3 4

Every arm has the same number of questions, one image for two of them, and the same number of questions in a batch: in
dialogues of two, four or six turns. All are evaluated on held-out dialogues of six turns by MMCR-Exact.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, main
from experiments.exact_world import EXACT, MEASURES, REFERRING, TEST, TRAIN, BuildSet, ExactExperiment

_QUESTIONS_AN_IMAGE = 2
_QUESTIONS_A_BATCH = 96
_SHAPES = ("--domains", "shapes", "--ops", REFERRING)
_DISTANCES = tuple(f"distance_{distance}" for distance in range(1, 6))


@dataclass(frozen=True, kw_only=True)
class ExactTurns(ExactExperiment):
    """The number of turns in the controlled world, at equal numbers of images and questions.

    Attributes:
        dialogues: dialogues of the arm with the most turns; the others have as many questions.
        turns: numbers of turns, one arm each; even numbers of which 96 is a multiple.
    """

    metrics: tuple[str, ...] = tuple(f"mmcr_exact/{name}" for name in (*MEASURES, *_DISTANCES))
    turns: tuple[int, ...] = (2, 4, 6)

    def sets(self) -> Mapping[str, BuildSet]:
        """Dialogues of each number of turns, and held-out ones of six.

        Raises:
            ValueError: a number of turns doesn't divide a batch into dialogues.
        """
        wrong = [turns for turns in self.turns if turns < 2 or turns % 2 or _QUESTIONS_A_BATCH % turns]
        if wrong or len(set(self.turns)) < 2:
            raise ValueError(f"--turns {wrong[0] if wrong else self.turns}: expected two or more of 2, 4, 6, 8, 12, 16")
        found = {}
        for turns in self.turns:
            images = str(turns // _QUESTIONS_AN_IMAGE)
            flags = ("--images", images, "--turns", str(turns), "--telling", "linked", *_SHAPES, *TRAIN)
            found[f"turns_{turns}"] = BuildSet(self._num_dialogues(turns), flags)
        test = ("--images", "1-3", "--turns", "6", "--telling", "all", *_SHAPES)
        return {**found, TEST: BuildSet(self.test_dialogues, test)}

    def _num_dialogues(self, turns: int) -> int:
        return self.dialogues * max(self.turns) // turns

    def plan(self, conductor: Conductor) -> Experiment:
        """An arm for each number of turns."""
        arms = [
            Arm(
                f"turns_{turns}",
                f"{turns} turns",
                [self.place(f"turns_{turns}")],
                [self._num_dialogues(turns)],
                ["--global_batch_dialogues", str(_QUESTIONS_A_BATCH // turns)],
                float(turns),
            )
            for turns in self.turns
        ]
        return Experiment(
            title="Number of turns in the controlled world",
            arms=arms,
            x_label="turns of a training dialogue",
            against=arms[-1].name,
            notes=[
                f"Every arm trains on {self.dialogues * max(self.turns):,} questions, one image for two of them, "
                f"{_QUESTIONS_A_BATCH} questions a step; the test dialogues have six turns and one to three images.",
                EXACT,
                "What may be said: how far back a model of 0.4 million weights learns to refer from shorter dialogues. "
                "What may not: anything about large models, or about dialogues whose turns are not equally hard.",
            ],
        )


if __name__ == "__main__":
    sys.exit(main(ExactTurns))
