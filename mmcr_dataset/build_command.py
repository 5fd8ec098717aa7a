"""python -m mmcr_dataset build; its flags are the fields of build_settings.py."""

from __future__ import annotations

from dataclasses import dataclass

from mmcr_dataset.build_settings import BuildSettings


@dataclass(frozen=True, slots=True)
class Build(BuildSettings):
    """Build a data set folder: documents -> dialogues -> filters -> Parquet with a card."""

    def run(self) -> None:
        """Build, and print Table 1."""
        from mmcr_dataset.pipeline import build
        from mmcr_dataset.publish.describe import load_statistics, show_table

        if build(self)[-1].stage == "filter":
            print(show_table(load_statistics(self.out)))
            print(f"\nwritten: {self.out}; stages, removed rows and report.html: {self.work}")
