"""Scores as a function of the number of training dialogues: the paper's Figure 5.

    python -m experiments.data_volume --config training/recipes/tiny_cpu.yaml --data mmcr-310k --volumes 0 8 16 32 \
        --seeds 0 1 --output_dir out/volume

Each arm trains on N dialogues of `--data`; at one seed a smaller arm's dialogues are a subset of a larger one's. With
`--beside PLACE` all arms also train on that data set, and volume 0 on it alone; else volume 0 is the model before
training.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

from experiments.arm import Arm, Experiment
from experiments.conduct import Conductor, ExperimentSettings, main
from experiments.volumes import check_rows


@dataclass(frozen=True, kw_only=True)
class DataVolume(ExperimentSettings):
    """Scores against the number of dialogues (the paper's Figure 5).

    Attributes:
        volumes: number of dialogues of --data, one arm each.
        beside: additional data sets of all arms.
        beside_rows: number of dialogues of each of them; default all.
    """

    volumes: tuple[int, ...]
    beside: tuple[str, ...] = ()
    beside_rows: tuple[int, ...] = ()

    def plan(self, conductor: Conductor) -> Experiment:
        """An arm for each volume.

        Raises:
            ValueError: the data set is smaller than a volume, or the flags are inconsistent.
        """
        if len(self.data) > 1:
            raise ValueError(
                f"--data names {len(self.data)} sets, expected the one whose volume changes; use --beside for others"
            )
        if self.beside_rows and len(self.beside_rows) != len(self.beside):
            raise ValueError(
                f"--beside_rows has {len(self.beside_rows)} numbers for {len(self.beside)} sets; give one per set"
            )
        if min(self.volumes) < 0:
            raise ValueError(f"--volumes {min(self.volumes)}: expected 0 or more")
        check_rows({self.data[0]: conductor.count_rows(self.data[0])}, max(self.volumes))
        caps = self.beside_rows or [0] * len(self.beside)
        arms = [
            # the other sets come first: the seed of a set depends on its index, so their sample is equal in all arms
            Arm(f"volume_{volume}", f"{volume:,} dialogues", [*self.beside, *self.data[: volume > 0]],
                [*caps, volume][: len(caps) + (volume > 0)], x=float(volume))
            for volume in sorted(set(self.volumes))
            if volume or self.beside
        ]  # fmt: skip
        beside = f" beside {', '.join(self.beside)}" if self.beside else ""
        return Experiment(
            title="Data volume",
            arms=arms,
            x_label=f"dialogues{beside}",
            base_x=None if self.beside else 0.0,
            notes=[
                f"Arms train on N dialogues of {self.data[0]}{beside}; a smaller arm's are a subset of a larger arm's.",
                "The paper plots Figure 5 without its numbers.",
            ],
        )  # fmt: skip


if __name__ == "__main__":
    sys.exit(main(DataVolume))
