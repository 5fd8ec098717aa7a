"""The mean over the public benchmarks that the paper prints (MME / 28), with an interval."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any, NamedTuple

from eval_tasks.registry import GROUPS
from eval_tasks.report.paper import paper_scores

FULL_SCALE = {"mme": 28.0}  # divisor that brings a benchmark to 0..100


class Mean(NamedTuple):
    """A mean over benchmarks with its 95 % interval; the ends are None if a benchmark has none."""

    value: float
    low: float | None
    high: float | None
    tasks: tuple[str, ...]

    @property
    def name(self) -> str:
        """Name of the row: what is averaged."""
        missing = [task for task in GROUPS["public"] if task not in self.tasks]
        left_out = f", without {', '.join(missing)}" if missing else ""
        return f"mean of {len(self.tasks)} public benchmarks (MME / 28){left_out}"


def public_mean(values: Mapping[str, tuple[float | None, float | None, float | None]]) -> Mean | None:
    """The mean of the public benchmarks of a run, or of differences of two; None with fewer than two, or without one.

    Args:
        values: task -> (value, low, high) of its main metric.
    """
    tasks = tuple(task for task in GROUPS["public"] if task in values)
    parts = [[_scaled(task, one) for one in values[task]] for task in tasks]
    points = [part[0] for part in parts if part[0] is not None]
    if len(tasks) < 2 or len(points) < len(tasks):
        return None
    value = sum(points) / len(points)
    halves = [(part[2] - part[1]) / 2 for part in parts if part[1] is not None and part[2] is not None]
    if len(halves) < len(parts) or not all(map(math.isfinite, halves)):
        return Mean(value, None, None, tasks)
    reach = math.sqrt(sum(half**2 for half in halves)) / len(halves)
    return Mean(value, value - reach, value + reach, tasks)


def paper_mean(model: str, tasks: tuple[str, ...]) -> float | None:
    """The mean of a model of the paper over the same benchmarks; None if the paper lacks one."""
    found = {key.split("/")[0]: points for key, points in paper_scores(model).items()}
    if any(task not in found for task in tasks):
        return None
    return sum(found[task] / FULL_SCALE.get(task, 1.0) for task in tasks) / len(tasks)


def main_values(results: Mapping[str, Any]) -> dict[str, tuple[float | None, float | None, float | None]]:
    """Task -> value and interval of its main metric, of a run's results."""
    found = {}
    for name, entry in results["tasks"].items():
        if total := next(iter(entry["totals"].values()), None):
            found[name] = (total["value"], total["low"], total["high"])
    return found


def _scaled(task: str, value: float | None) -> float | None:
    return None if value is None else value / FULL_SCALE.get(task, 1.0)
