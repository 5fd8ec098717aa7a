"""Shared code of the `evaluate` metrics in metrics/: predictions and references through a benchmark's scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval_tasks.task import Scored, Task


def totals_of(
    task: Task, config_name: str | None, predictions: Sequence[str], references: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """The benchmark's totals, and the number of replies that couldn't be parsed.

    Args:
        task: the benchmark.
        config_name: scoring rules, the configuration of `evaluate.load`; `default` or None for the default.
        predictions: one reply per row.
        references: the rows, with the benchmark's columns.

    Raises:
        ValueError: the rules are unknown, or a row lacks a column.
    """
    assert task.to_sample is not None
    rules = task.check_rules(None if config_name in (None, "default") else config_name)
    scored = []
    for number, (reply, row) in enumerate(zip(predictions, references, strict=True)):
        sample = task.to_sample(row, rules, number)
        scored.append(task.scored(Scored(sample, (reply,)), rules))
    totals = {name: total.value for name, total in task.totals(scored, rules).items()}
    return {**totals, "num_unread": float(sum(one.is_unread for one in scored))}
