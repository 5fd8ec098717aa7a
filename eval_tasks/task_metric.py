"""What the modules in metrics/ share: predictions and references of `evaluate` through a benchmark's own scorer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval_tasks.task import Scored, Task


def totals_of(
    task: Task, config_name: str | None, predictions: Sequence[str], references: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """The benchmark's totals, and how many replies couldn't be read.

    Args:
        task: the benchmark.
        config_name: its scoring rules, as `evaluate.load` was given them; `default` or None for its own default.
        predictions: a reply to each row.
        references: the rows, in the benchmark's own columns.

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
