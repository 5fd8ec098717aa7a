"""Do dialogues with references teach what single questions don't? The paper's claim, in the controlled world.

    python -m experiments.exact_claim --output_dir out/claim --seeds 0 1 2 3 4

Three arms train on equally many dialogues of six questions about one to three images. A tenth of each arm is linked
dialogues, so that every arm has seen the words that refer back; the rest is linked too, or has its references resolved,
or asks unrelated questions in a row. All are evaluated on held-out scenes by MMCR-Exact. `--models`, one of
`python -m experiments.mini --seed N` for each seed, makes the seeds cover the weights that training starts from.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, main
from experiments.exact_world import EXACT, EXPLICIT, REFERRING, TEST, TRAIN, BuildSet, ExactExperiment

_WORLD = ("--domains", "shapes", "--images", "1-3", "--turns", "6")


@dataclass(frozen=True, kw_only=True)
class ExactClaim(ExactExperiment):
    """The paper's claim in the controlled world: linked dialogues against resolved ones and unrelated questions.

    Attributes:
        linked_percent: share of linked dialogues in the arms that are not linked.
    """

    linked_percent: int = 10

    def sets(self) -> Mapping[str, BuildSet]:
        """The dialogues of the three arms, and held-out ones."""
        return {
            "linked": BuildSet(self.dialogues, (*_WORLD, "--telling", "linked", "--ops", REFERRING, *TRAIN)),
            "resolved": BuildSet(self.dialogues, (*_WORLD, "--telling", "resolved", "--ops", REFERRING, *TRAIN)),
            "unrelated": BuildSet(self.dialogues, (*_WORLD, "--telling", "linked", "--ops", EXPLICIT, *TRAIN)),
            TEST: BuildSet(self.test_dialogues, (*_WORLD, "--telling", "all", "--ops", REFERRING)),
        }

    def plan(self, conductor: Conductor) -> Experiment:
        """The three arms, of equally many dialogues."""
        share = self.dialogues * self.linked_percent // 100
        linked, rest = self.place("linked"), self.dialogues - share
        return Experiment(
            title="Dialogues with references",
            arms=[
                Arm("linked", "linked", [linked], [self.dialogues]),
                Arm("resolved", "references resolved", [linked, self.place("resolved")], [share, rest]),
                Arm("unrelated", "unrelated questions", [linked, self.place("unrelated")], [share, rest]),
            ],
            against="unrelated",
            notes=[
                f"Every arm trains on {self.dialogues:,} dialogues of six questions about one to three images of the "
                f"same distribution; {share:,} of them are linked in the arms that are not linked as a whole.",
                EXACT,
                "What may be said: which of these a model of 0.4 million weights learns references from, and what that "
                "costs on questions without references. What may not: anything about large models or real images.",
            ],
        )


if __name__ == "__main__":
    sys.exit(main(ExactClaim))
