"""The commands of python -m eval_tasks exact: the figure of accuracy by distance, and the table for other harnesses."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg


@dataclass(frozen=True)
class ExactFigure:
    """Accuracy of MMCR-Exact by distance in turns with 95 % intervals, and what can be guessed as lines.

    Attributes:
        runs: folders of runs of mmcr_exact on the same set.
        output_file: the figure, .png, .svg or .pdf.
    """

    runs: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN ...")]]
    output_file: Annotated[Path, arg(metavar="FILE")] = Path("mmcr-exact.png")

    def run(self) -> None:
        """Print the table and write the figure.

        Raises:
            ValueError: no run is given, or the runs asked different questions.
        """
        from eval_tasks.exact.figure import draw_runs

        if not self.runs:
            raise ValueError("give at least one RUN, the folder of a run of mmcr_exact")
        print(draw_runs({str(run): run for run in self.runs}, self.output_file))
        print(f"\nfigure: {self.output_file}")


@dataclass(frozen=True)
class ExactExport:
    """Write a set as a table in the multi-turn form of VLMEvalKit's MMDU; score what comes back with --predictions.

    Attributes:
        folder: folder of the set.
        output_file: the tab-separated table.
    """

    folder: Positional[Annotated[Path, arg(metavar="FOLDER")]]
    output_file: Annotated[Path, arg(metavar="FILE.tsv")] = Path("MMCR-Exact.tsv")

    def run(self) -> None:
        """Write the table and print its number of rows."""
        from eval_tasks.exact.mmdu_form import write_table
        from eval_tasks.registry import find_tasks, load_task

        task = load_task(find_tasks()["mmcr_exact"])
        num_rows = write_table(task.samples(str(self.folder), task.check_rules(None)), self.output_file)
        print(f"{self.output_file}: {num_rows} dialogues (linked, resolved, alone)")
