"""MMBench: share of questions with all rotations correct (circular evaluation).

Load with `evaluate.load("eval_tasks/metrics/mmbench", RULES)`.
"""

from __future__ import annotations

from typing import Any

import evaluate
from datasets import Features, Sequence, Value

from eval_tasks.task_metric import totals_of
from eval_tasks.tasks.mmbench import TASK


class MMBench(evaluate.Metric):  # type: ignore[misc]  # evaluate is not typed
    """The scorer of `python -m eval_tasks`; the configuration's name is that of the scoring rules."""

    def _info(self) -> evaluate.MetricInfo:
        references = {"index": Value("int64"), "answer": Value("string"), "options": Sequence(Value("string"))}
        features = Features({"predictions": Value("string"), "references": references})
        return evaluate.MetricInfo(description=__doc__ or "", citation="arXiv 2307.06281", features=features)

    def _compute(self, predictions: list[str], references: list[dict[str, Any]]) -> dict[str, float]:
        return totals_of(TASK, self.config_name, predictions, references)
