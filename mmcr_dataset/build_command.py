"""python -m mmcr_dataset build; its flags are the fields of build_settings.py."""

from __future__ import annotations

from dataclasses import dataclass

from mmcr_dataset.build_settings import BuildSettings


@dataclass(frozen=True, slots=True)
class Build(BuildSettings):
    """Build a data set folder: documents -> dialogues -> filters -> Parquet with a card."""

    def run(self) -> None:
        """Build, and print Table 1; or print the scripts of all stages for Slurm and stop."""
        from mmcr_dataset.pipeline import build
        from mmcr_dataset.publish.describe import load_statistics, show_table
        from mmcr_dataset.stage.engine import show_script

        if self.engine.dry_run:
            logs = self.work.resolve() / "engine"
            print(show_script("generate", logs, self.engine))
            for name in ("collect", "score", "filter", "spill", "publish"):
                print(show_script(name, logs / name, self.engine))
            return
        counts = build(self)
        if counts and counts[-1].stage == "filter":
            print(show_table(load_statistics(self.out)))
            print(f"\nwritten: {self.out}; stages, removed rows and report.html: {self.work}")
