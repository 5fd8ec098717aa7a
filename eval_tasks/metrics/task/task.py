"""The scorer of any benchmark of `python -m eval_tasks --list` as a metric of `evaluate`.

Load with `evaluate.load("eval_tasks/metrics/task", "mmstar")`, or `"mmstar:RULES"` for other rules than the default.
Predictions are replies, references the rows in the benchmark's columns. Of mmcr_bench, which needs a judge, it is the
word overlap of each turn with its reference: lists of replies and of references, a check and no score of the bench.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import evaluate
from datasets import Features, Value

from eval_tasks.registry import choose_tasks, find_tasks, load_task
from eval_tasks.task_metric import overlap_of, totals_of


class Task(evaluate.Metric):  # type: ignore[misc]  # evaluate is not typed
    """Totals of a benchmark, with the number of replies that the rules can't read; `config_name` is TASK[:RULES]."""

    def _info(self) -> evaluate.MetricInfo:
        features = Features({"predictions": Value("string"), "references": Value("string")})  # any row, as JSON
        return evaluate.MetricInfo(description=__doc__ or "", citation="arXiv 2503.18533", features=features)

    def add_batch(self, *, predictions: Sequence[Any] = (), references: Sequence[Any] = (), **kwargs: object) -> None:
        """Add replies and their rows."""
        said, rows = ([json.dumps(one) for one in values] for values in (predictions, references))
        super().add_batch(predictions=said, references=rows, **kwargs)

    def add(self, *, prediction: Any = None, reference: Any = None, **kwargs: object) -> None:  # noqa: ANN401
        """Add a reply and its row."""
        self.add_batch(predictions=[prediction], references=[reference], **kwargs)

    def _compute(self, predictions: list[str], references: list[str]) -> dict[str, float]:
        name, _, rules = (self.config_name or "").partition(":")
        if name in ("", "default"):
            raise ValueError('name the benchmark: evaluate.load("eval_tasks/metrics/task", "mmstar")')
        found = find_tasks()
        task = load_task(found[choose_tasks(name, list(found))[0]])
        said, rows = ([json.loads(one) for one in values] for values in (predictions, references))
        if task.judge == "bench":
            return overlap_of(said, rows)
        return totals_of(task, rules or None, said, rows)
