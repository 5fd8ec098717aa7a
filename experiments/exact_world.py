"""Experiments in the controlled world: their sets are built here, a small model is fine-tuned, answers are exact."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from experiments.commands import Command
from experiments.conduct import ExperimentSettings, conduct
from experiments.runs import exit_on_sigterm, lock_folder, run_step

EXPLICIT = "attr,name"  # operators that refer to nothing
REFERRING = f"{EXPLICIT},it,ellipsis,correct,called,back,same"
TRAIN = ("--split", "train", "--guesses", "none")
TEST = "test"
MEASURES = ("referring", "above_guess_referring", "explicit", "pair_history", "pair_image", "resolved_accuracy")
EXACT = "Answers are computed, and held-out scenes are in no training set; no judge is asked."
WORLD = ("--style", "plain", "--side", "2", "--wordings", "1")


class BuildSet(NamedTuple):
    """A set of the controlled world.

    Attributes:
        dialogues: how many.
        flags: its flags of `python -m mmcr_bench exact build`, beside those that all sets share.
    """

    dialogues: int
    flags: Sequence[str]


@dataclass(frozen=True, kw_only=True)
class ExactExperiment(ExperimentSettings):
    """An experiment whose sets are built first.

    Attributes:
        config: training recipe, the same for all arms.
        data: the training sets are built here; leave it as it is.
        tasks: comma-separated benchmarks.
        metrics: measures beside the accuracy, each a TASK/METRIC of results.json.
        dialogues: dialogues of an arm.
        test_dialogues: dialogues of the test set.
    """

    config: str = "training/recipes/mini_cpu.yaml"
    data: tuple[str, ...] = ("sets",)
    tasks: str = "mmcr_exact"
    metrics: tuple[str, ...] = tuple(f"mmcr_exact/{name}" for name in MEASURES)
    dialogues: int = 3000
    test_dialogues: int = 200

    def sets(self) -> Mapping[str, BuildSet]:
        """The training sets by name, and `test`.

        Raises:
            ValueError: a flag is invalid.
        """
        raise AssertionError("overridden by every experiment")

    def place(self, name: str) -> str:
        """Folder of a set."""
        return str(self.out / "sets" / name)

    def run(self) -> int:
        """Build the sets, train and evaluate the arms, plot the figure; returns 1 if an arm failed."""
        sets, folder = self.sets(), self.out / "sets"
        if not self.dry_run:
            with exit_on_sigterm(), lock_folder(folder) as lock:
                for number, (name, one) in enumerate(sets.items()):
                    run_step(f"build_{name}", self._build(name, one, number), folder, lock)
        flags = f"{self.eval_flags} --data mmcr_exact={self.place(TEST)} --max_new_tokens 16"
        return conduct(replace(self, data=(self.place(next(iter(sets))),), eval_flags=flags))

    def _build(self, name: str, one: BuildSet, number: int) -> Command:
        ends = ["--dialogues", str(one.dialogues), "--seed", str(number), "--output_dir", self.place(name)]
        return Command([self.python], ["-m", "mmcr_bench", "exact", "build", *WORLD, *one.flags, *ends])
