"""CV-Bench: counting, relations, depth and distance in one image, as multiple-choice questions.

Source: Hub nyu-visionx/CV-Bench (configuration default, split test); columns: lmms-eval cv_bench/utils.py (0.7.2)
Licence: see the Hub card · Rows: all of the split
Metric: half of it 2D (mean of ADE20K and COCO), half 3D (Omni3D); over rows; by source · Paper: arXiv 2406.16860

The row's own prompt is asked; the weights are those of lmms-eval's cv_bench_default_aggregate_results; the letter is
read as VLMEvalKit does (image_mcq.py, August 2026).
"""

from __future__ import annotations

from collections.abc import Sequence

from eval_tasks.readers.multiple_choice import ChoiceRows, asked_with, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.task import Row, Sample, Scored, Total
from eval_tasks.totals import unit_of

WEIGHTS = {"ADE20K": 25.0, "COCO": 25.0, "Omni3D": 50.0}
HUB = HubRows("nyu-visionx/CV-Bench", "test", "default", columns=(("index", "idx"), ("category", "source")))


class PromptRows(ChoiceRows):
    """The rows, asked with their own prompts."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row.

        Raises:
            ValueError: a column is missing, or the source is another one.
        """
        prompt, source = require_cells(row := self.hub.renamed(row), ("prompt", "category"), f"row {number}")
        if source not in WEIGHTS:
            raise ValueError(f"row {number}: source {source!r}, expected one of {', '.join(WEIGHTS)}")
        return asked_with(super().to_sample(row, rules, number, has_gold), str(prompt))

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """The weighted accuracy, unless a source is missing (--limit), and that of rows and sources."""
        units = [unit_of(one, "accuracy", str(one.sample.target["category"])) for one in scored]
        weighted = {"CV-Bench": Total(units, WEIGHTS)} if {unit.part for unit in units} == set(WEIGHTS) else {}
        return weighted | super().totals(scored, rules)


ROWS = PromptRows(HUB, stem="CV-Bench")
TASK = choice_task("cv_bench", __doc__, ROWS, ("vlmevalkit@2026-08",))
