"""How many dialogues does it take, and what is gained and forgotten on the way? In the controlled world.

    python -m experiments.exact_volume --output_dir out/volume --seeds 0 1 2 3 4
    python -m experiments.exact_volume --equal epochs --output_dir out/abilities --seeds 0 1 2 3 4

By default all arms train for the same number of steps, on few dialogues many times or on many once or twice: the effect
of volume. With `--equal epochs` each arm sees its dialogues once, so the arms are stages of longer and longer training:
one curve for each ability, those that the model had before (questions without references, resolved ones, single ones)
beside those that it learns, which shows whether and when anything is forgotten.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, main
from experiments.exact_world import EXACT, MEASURES, REFERRING, TEST, TRAIN, BuildSet, ExactExperiment

_BATCH = 16  # dialogues a step of the recipe
_WORLD = ("--domains", "shapes", "--images", "1-3", "--turns", "6", "--ops", REFERRING)


@dataclass(frozen=True, kw_only=True)
class ExactVolume(ExactExperiment):
    """Volume of linked dialogues in the controlled world, and what is learned and forgotten with it.

    Attributes:
        dialogues: dialogues that are built; --volumes are at most that.
        volumes: numbers of dialogues, one arm each.
        equal: steps, or epochs: every dialogue is seen once.
    """

    metrics: tuple[str, ...] = tuple(f"mmcr_exact/{name}" for name in (*MEASURES, "alone_accuracy"))
    dialogues: int = 9600
    volumes: tuple[int, ...] = (300, 1200, 4800, 9600)
    equal: Literal["steps", "epochs"] = "steps"

    def sets(self) -> Mapping[str, BuildSet]:
        """Linked dialogues, and held-out ones."""
        return {
            "linked": BuildSet(self.dialogues, (*_WORLD, "--telling", "linked", *TRAIN)),
            TEST: BuildSet(self.test_dialogues, (*_WORLD, "--telling", "all")),
        }

    def plan(self, conductor: Conductor) -> Experiment:
        """An arm for each volume.

        Raises:
            ValueError: a volume is below 1, or more than the dialogues.
        """
        volumes = sorted(set(self.volumes))
        if not volumes or volumes[0] < 1 or volumes[-1] > self.dialogues:
            raise ValueError(f"--volumes {self.volumes}: expected numbers from 1 to --dialogues {self.dialogues}")
        arms = []
        for volume in volumes:
            steps = math.ceil((volumes[-1] if self.equal == "steps" else volume) / _BATCH)
            flags = ["--max_steps", str(steps)]
            arms.append(
                Arm(f"volume_{volume}", f"{volume:,} dialogues", [self.place("linked")], [volume], flags, float(volume))
            )
        trained = "for equally many steps" if self.equal == "steps" else "once through, so longer for more dialogues"
        return Experiment(
            title="Volume in the controlled world" if self.equal == "steps" else "Abilities along the training",
            arms=arms,
            x_label="linked dialogues",
            base_x=0.0,
            notes=[
                f"Every arm trains {trained}. `resolved_accuracy`, `explicit` and `alone_accuracy` ask what the model "
                "could do before: where they fall, something is forgotten.",
                EXACT,
                "What may be said: what this model gains and forgets with this data. What may not: how many dialogues "
                "a large model needs.",
            ],
        )


if __name__ == "__main__":
    sys.exit(main(ExactVolume))
