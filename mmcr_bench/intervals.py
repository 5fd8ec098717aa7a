"""How sure a mean is: bootstrap intervals over groups, and the paired difference of two models.

Dialogues of one topic are more alike than dialogues of two, so whole groups are drawn, not single values.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
_MAX_CELLS = 4_000_000  # drawn group numbers held at once: 32 MB, whatever the number of groups

Group = str | int


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean and where it may lie (95 %); -inf and inf with a single group, which says nothing about others."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of `a - b` with its interval.

    Attributes:
        mean: above 0 where a is larger.
        low: lower end, 95 %.
        high: upper end, 95 %.
        significant: the interval leaves 0 out.
        p_value: two-sided, from the same resamples; what `holm` corrects when several differences are tested.
    """

    mean: float
    low: float
    high: float
    significant: bool
    p_value: float


def bootstrap_interval(
    values: Sequence[float], groups: Sequence[Group] | None = None, seed: int = 0, num_resamples: int = 2000
) -> Interval:
    """Mean and 95 % interval of some values, with whole groups resampled.

    Args:
        values: one a dialogue (or question).
        groups: the group of each value; None makes each value its own group.
        seed: of the resampling; the same seed gives the same interval.
        num_resamples: how often the groups are drawn anew.

    Raises:
        ValueError: no values, a value that isn't finite, or another number of groups than of values.
    """
    mean, means = _resampled_means(values, groups, seed, num_resamples)
    if means is None:
        return Interval(mean, -np.inf, np.inf)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(mean, float(low), float(high))


def paired_difference(
    a: Sequence[float],
    b: Sequence[float],
    groups: Sequence[Group] | None = None,
    seed: int = 0,
    num_resamples: int = 2000,
) -> Difference:
    """Mean of `a - b` over the same dialogues in the same order, with its interval.

    Raises:
        ValueError: the two differ in length, or what `bootstrap_interval` raises.
    """
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} values and b has {len(b)}: pass the same dialogues in the same order")
    differences = [float(x) - float(y) for x, y in zip(a, b, strict=True)]
    mean, means = _resampled_means(differences, groups, seed, num_resamples)
    if means is None:
        return Difference(mean, -np.inf, np.inf, significant=False, p_value=1.0)
    low, high = np.quantile(means, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    rarer = min(int((means <= 0).sum()), int((means >= 0).sum()))
    p_value = min(1.0, 2 * (rarer + 1) / (len(means) + 1))
    return Difference(mean, float(low), float(high), significant=bool(low > 0 or high < 0), p_value=p_value)


def _resampled_means(
    values: Sequence[float], groups: Sequence[Group] | None, seed: int, num_resamples: int
) -> tuple[float, NDArray[np.float64] | None]:
    """The mean, and the means of the resamples (None with a single group)."""
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"expected one or more values in a row, got an array of shape {given.shape}")
    if not np.isfinite(given).all():
        place = int(np.flatnonzero(~np.isfinite(given))[0])
        raise ValueError(f"value {place} is {given[place]}; leave out what has no score and count it apart")
    if groups is not None and len(groups) != given.size:
        raise ValueError(f"{given.size} values but {len(groups)} groups: pass one group a value")
    if num_resamples < 1:
        raise ValueError(f"num_resamples is {num_resamples}, expected at least 1")
    numbers: dict[Group, int] = {}
    member = [
        numbers.setdefault(group, len(numbers)) for group in (groups if groups is not None else range(len(given)))
    ]
    sums = np.bincount(member, weights=given)
    counts = np.bincount(member)
    if len(sums) == 1:
        return float(given.mean()), None
    rng = np.random.default_rng(seed)
    rows = max(1, _MAX_CELLS // len(sums))
    means = np.empty(num_resamples)
    for start in range(0, num_resamples, rows):
        drawn = rng.integers(len(sums), size=(min(rows, num_resamples - start), len(sums)))
        means[start : start + len(drawn)] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return float(given.mean()), means
