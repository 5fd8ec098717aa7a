"""All images first, or image by image? Dialogues in the manner of MMDU and of MMCR, in the controlled world.

    python -m experiments.exact_images --output_dir out/images --seeds 0 1 2 3 4

Both arms have equally many linked dialogues with the same numbers of turns and images. In one all images are shown with
the first question (MMDU's manner), in the other they come up over the turns (MMCR's). Half of the test dialogues are of
each manner.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, main
from experiments.exact_world import EXACT, MEASURES, REFERRING, TEST, TRAIN, BuildSet, ExactExperiment

_WORLD = ("--domains", "shapes", "--images", "2-4", "--turns", "8", "--ops", REFERRING)
_LABELS = {"start": "all images first (MMDU)", "spread": "image by image (MMCR)"}
_AGES = tuple(f"image_age_{age}" for age in range(4))


@dataclass(frozen=True, kw_only=True)
class ExactImages(ExactExperiment):
    """When images come up in the training dialogues, in the controlled world: all first, or over the turns."""

    metrics: tuple[str, ...] = tuple(f"mmcr_exact/{name}" for name in (*MEASURES, *_AGES))

    def sets(self) -> Mapping[str, BuildSet]:
        """Dialogues of either manner, and held-out ones of both."""
        train = (*_WORLD, "--telling", "linked", *TRAIN)
        test = (*_WORLD, "--telling", "all", "--images_at", "both")
        return {
            **{name: BuildSet(self.dialogues, (*train, "--images_at", name)) for name in _LABELS},
            TEST: BuildSet(self.test_dialogues, test),
        }

    def plan(self, conductor: Conductor) -> Experiment:
        """An arm for each manner."""
        return Experiment(
            title="When images are shown, in the controlled world",
            arms=[Arm(name, label, [self.place(name)], [self.dialogues]) for name, label in _LABELS.items()],
            against="start",
            notes=[
                f"Both arms train on {self.dialogues:,} linked dialogues of eight questions about two to four images, "
                "and differ only in when images are shown; half of the test dialogues are of each manner.",
                EXACT,
                "What may be said: whether this model learns references better from one manner. What may not: which of "
                "MMDU and MMCR is the better data set; their dialogues differ in much else.",
            ],
        )


if __name__ == "__main__":
    sys.exit(main(ExactImages))
