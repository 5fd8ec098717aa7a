"""Totals of benchmarks as weighted sums of means, with stratified cluster bootstrap intervals.

Accuracy is one mean; MME the sum of 2 x 14 means (questions and images of each sub-task); HallusionBench the mean of
three; a macro average the mean over categories. Whole groups are resampled, within the strata defined by the parts.

Shapes: G groups, P parts, R resamples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from eval_tasks.task import Scored, Total, Unit
from mmcr_bench.intervals import LEVEL, Difference, Interval, to_difference

_MAX_CELLS = 4_000_000  # counts in memory at once: 32 MB


def mean_total(scored: Iterable[Scored], metric: str, scale: float = 100.0) -> Total:
    """Mean of a metric; samples without points (no reply, unread) count as 0."""
    units = [Unit(one.sample.group, one.points.get(metric) or 0.0) for one in scored if one.unjudged is None]
    return Total(units, {"": scale})


def macro_total(units: Sequence[Unit], scale: float = 100.0) -> Total:
    """Macro average: mean over the parts' means."""
    parts = dict.fromkeys(unit.part for unit in units)
    return Total(units, {part: scale / len(parts) for part in parts})


def totals_by(scored: Iterable[Scored], key: str, metric: str = "accuracy") -> dict[str, Total]:
    """Mean of a metric for each value of a field of the target, in alphabetical order."""
    of: dict[str, list[Scored]] = {}
    for one in scored:
        of.setdefault(str(one.sample.target.get(key) or "none"), []).append(one)
    return {name: mean_total(of[name], metric) for name in sorted(of)}


def interval_of(total: Total, seed: int = 0, num_resamples: int = 2000) -> Interval:
    """The total with its 95 % confidence interval; -inf and inf with a single group."""
    if len({unit.group for unit in total.units}) < 2:
        return Interval(total.value, -np.inf, np.inf)
    values = resampled([total], seed, num_resamples)[0]
    low, high = np.quantile(values, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(total.value, float(low), float(high))


def difference_of(a: Total, b: Total, seed: int = 0, num_resamples: int = 2000) -> Difference:
    """Paired difference `a - b` of totals over the same groups.

    Args:
        a: total of the first run.
        b: total of the second run.
        seed: random seed.
        num_resamples: number of bootstrap resamples.

    Raises:
        ValueError: the two totals are not over the same groups.
    """
    if {unit.group for unit in a.units} != {unit.group for unit in b.units}:
        raise ValueError("the two runs have different groups; compare runs of the same samples")
    difference = a.value - b.value
    if len({unit.group for unit in a.units}) < 2:
        return to_difference(difference, None)
    of_a, of_b = resampled([a, b], seed, num_resamples)
    return to_difference(difference, of_a - of_b)


def resampled(totals: Sequence[Total], seed: int = 0, num_resamples: int = 2000) -> list[NDArray[np.float64]]:
    """Values [R] of each total in each resample; all totals use the same draws."""
    groups = sorted({unit.group for total in totals for unit in total.units})
    number = {group: index for index, group in enumerate(groups)}
    tables = [_sums_and_counts(total, number) for total in totals]
    strata: dict[bytes, list[int]] = {}
    for index, row in enumerate(tables[0][1] > 0):
        strata.setdefault(row.tobytes(), []).append(index)
    rng = np.random.default_rng(seed)
    step = max(1, _MAX_CELLS // len(groups))
    values = [np.empty(num_resamples) for _ in totals]
    for start in range(0, num_resamples, step):
        size = min(step, num_resamples - start)
        draws = np.zeros((size, len(groups)))
        for members in strata.values():
            draws[:, members] = rng.multinomial(len(members), [1 / len(members)] * len(members), size=size)
        for value, total, (sums_GP, counts_GP) in zip(values, totals, tables, strict=True):  # noqa: N806
            drawn = draws @ counts_GP
            means = np.divide(draws @ sums_GP, drawn, out=np.zeros_like(drawn), where=drawn > 0)
            value[start : start + size] = means @ np.array(list(total.weights.values()))
    return values


def _sums_and_counts(total: Total, number: Mapping[str, int]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    part_number = {part: index for index, part in enumerate(total.weights)}
    sums, counts = np.zeros((2, len(number), len(part_number)))
    for unit in total.units:
        place = number[unit.group], part_number[unit.part]
        sums[place] += unit.points
        counts[place] += 1
    return sums, counts
