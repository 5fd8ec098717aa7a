"""SEED-Bench-1, image part: multiple-choice questions about one image; questions about videos are left out.

Source: VLMEvalKit's SEEDBench_IMG.tsv
Licence: CC BY-NC 4.0 · Rows: 14233
Metric: accuracy · Paper: arXiv 2307.16125
"""

from __future__ import annotations

from pathlib import Path

from eval_tasks.readers.multiple_choice import VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.predictions import read_predictions
from eval_tasks.task import Predictions

ROWS = ChoiceRows(HubRows("lmms-lab-encoder/SEED-Bench", "test"), stem="SEEDBench")


def predictions(path: Path, data: str | None) -> Predictions:
    """Predictions without video questions, whose ids start with `v`."""
    found = read_predictions(path, data)
    rows = [one for one in found.rows if not str(one.row.get("question_id", "")).startswith("v")]
    return Predictions(rows, left_out={**found.left_out, "about videos": len(found.rows) - len(rows)})


TASK = choice_task("seedbench", __doc__, ROWS, VLMEVALKIT, predictions)
