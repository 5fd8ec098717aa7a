"""MME: accuracy and accuracy of whole images, summed over the sub-tasks.

Load with `evaluate.load("eval_tasks/metrics/mme", RULES)`.
"""

from __future__ import annotations

from typing import Any

import evaluate
from datasets import Features, Value

from eval_tasks.task_metric import totals_of
from eval_tasks.tasks.mme import TASK


class MME(evaluate.Metric):  # type: ignore[misc]  # evaluate is not typed
    """The scorer of `python -m eval_tasks`; the configuration's name is that of the scoring rules."""

    def _info(self) -> evaluate.MetricInfo:
        references = {
            "question": Value("string"),
            "answer": Value("string"),
            "category": Value("string"),
            "image_path": Value("string"),
        }
        features = Features({"predictions": Value("string"), "references": references})
        return evaluate.MetricInfo(description=__doc__ or "", citation="arXiv 2306.13394", features=features)

    def _compute(self, predictions: list[str], references: list[dict[str, Any]]) -> dict[str, float]:
        return totals_of(TASK, self.config_name, predictions, references)
