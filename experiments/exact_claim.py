"""Do dialogues with references teach what single questions don't? The paper's claim, in the controlled world.

    python -m experiments.exact_claim --output_dir out/claim --seeds 0 1 2 3 4

Three arms train on equally many dialogues of six questions about one to three images. A tenth of each arm is linked
dialogues, so that every arm has seen the words that refer back; the rest is linked too, or has its references resolved,
or asks unrelated questions in a row. All are evaluated on held-out scenes by MMCR-Exact.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass, replace

from experiments.arm import Arm, Experiment
from experiments.commands import Command
from experiments.conduct import Conductor, ExperimentSettings, conduct, main
from experiments.runs import exit_on_sigterm, lock_folder, run_step

REFERRING = "attr,name,it,ellipsis,correct,called,back,same"
_WORLD = "--style plain --side 2 --domains shapes --images 1-3 --turns 6 --wordings 1".split()
_TRAIN = ("--split", "train", "--guesses", "none")
SETS = {  # name -> flags of `exact build`
    "linked": ("--telling", "linked", "--ops", REFERRING, *_TRAIN),
    "resolved": ("--telling", "resolved", "--ops", REFERRING, *_TRAIN),
    "unrelated": ("--telling", "linked", "--ops", "attr,name", *_TRAIN),
    "test": ("--telling", "all", "--ops", REFERRING),
}


@dataclass(frozen=True, kw_only=True)
class ExactClaim(ExperimentSettings):
    """The paper's claim in the controlled world: linked dialogues against resolved ones and unrelated questions.

    Attributes:
        config: training recipe, the same for all arms.
        data: the training sets are built here; leave it as it is.
        tasks: comma-separated benchmarks.
        dialogues: dialogues of an arm.
        linked_percent: share of linked dialogues in the arms that are not linked.
        test_dialogues: dialogues of the test set.
    """

    config: str = "training/recipes/mini_cpu.yaml"
    data: tuple[str, ...] = ("sets/linked",)
    tasks: str = "mmcr_exact"
    dialogues: int = 3000
    linked_percent: int = 10
    test_dialogues: int = 200

    def run(self) -> int:
        """Build the sets, train and evaluate the arms, plot the figure; returns 1 if an arm failed."""
        sets = self.out / "sets"
        if not self.dry_run:
            with exit_on_sigterm(), lock_folder(sets) as lock:
                for number, name in enumerate(SETS):
                    run_step(f"build_{name}", self._build(name, number), sets, lock)
        flags = f"{self.eval_flags} --data mmcr_exact={sets / 'test'} --max_new_tokens 16"
        return conduct(replace(self, data=(str(sets / "linked"),), eval_flags=flags))

    def plan(self, conductor: Conductor) -> Experiment:
        """The three arms, of equally many dialogues."""
        sets, share = self.out / "sets", self.dialogues * self.linked_percent // 100
        linked, rest = str(sets / "linked"), self.dialogues - share
        return Experiment(
            title="Dialogues with references",
            arms=[
                Arm("linked", "linked", [linked], [self.dialogues]),
                Arm("resolved", "references resolved", [linked, str(sets / "resolved")], [share, rest]),
                Arm("unrelated", "unrelated questions", [linked, str(sets / "unrelated")], [share, rest]),
            ],
            against="unrelated",
            notes=[
                f"Every arm trains on {self.dialogues:,} dialogues of six questions about one to three images of the "
                f"same distribution; {share:,} of them are linked in the arms that are not linked as a whole.",
                "Answers are computed and held-out scenes are in no training set; no judge is asked.",
                "What may be said: which of these a model of 0.4 million weights learns references from. What may not: "
                "anything about large models or about real images.",
            ],
        )

    def _build(self, name: str, number: int) -> Command:
        rows = self.test_dialogues if name == "test" else self.dialogues
        ends = ["--dialogues", str(rows), "--seed", str(number), "--output_dir", str(self.out / "sets" / name)]
        return Command([self.python], ["-m", "mmcr_bench", "exact", "build", *_WORLD, *SETS[name], *ends])


if __name__ == "__main__":
    sys.exit(main(ExactClaim))
