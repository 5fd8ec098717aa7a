"""Cluster bootstrap confidence intervals of means, paired differences and the Holm correction.

Dialogues of one topic are correlated, so whole groups (clusters) are resampled, not single values.

Shapes: R resamples, N items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
_Z_FOUND = 1.960 + 0.842  # 5 % two-sided, 80 % power
_MAX_CELLS = 4_000_000  # resampled group indices in memory at once: 32 MB, whatever the number of groups

Group = str | int


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean with its 95 % confidence interval; -inf and inf with a single group, where it is undefined."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """Mean of `a - b` with its 95 % confidence interval.

    Attributes:
        mean: positive where a is larger.
        low: lower end of the interval.
        high: upper end of the interval.
        significant: the interval excludes 0.
        p_value: two-sided, from the same resamples; correct it with `holm` for multiple comparisons.
        detectable: minimum detectable effect: smallest mean difference found with 80 % power at this standard error.
    """

    mean: float
    low: float
    high: float
    significant: bool
    p_value: float
    detectable: float


def bootstrap_interval(
    values: Sequence[float], groups: Sequence[Group] | None = None, seed: int = 0, num_resamples: int = 2000
) -> Interval:
    """Mean and 95 % confidence interval by cluster bootstrap.

    Args:
        values: one per dialogue (or question).
        groups: cluster of each value; None makes each value its own cluster.
        seed: random seed; the same seed gives the same interval.
        num_resamples: number of bootstrap resamples.

    Raises:
        ValueError: no values, a value that isn't finite, or a different number of groups than of values.
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
    """Paired difference: mean of `a - b` over the same dialogues in the same order, with its interval.

    Args:
        a: values of the first model.
        b: values of the second, of the same length.
        groups: cluster of each pair; None makes each pair its own cluster.
        seed: random seed.
        num_resamples: number of bootstrap resamples.

    Raises:
        ValueError: the two differ in length, or as in `bootstrap_interval`.
    """
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} values and b has {len(b)}: pass the same dialogues in the same order")
    differences = [float(x) - float(y) for x, y in zip(a, b, strict=True)]
    mean, means = _resampled_means(differences, groups, seed, num_resamples)
    return to_difference(mean, means)


def to_difference(mean: float, means_R: NDArray[np.float64] | None) -> Difference:
    """A difference with its interval and p-value from the resampled means; None with a single group."""
    if means_R is None:
        return Difference(mean, -np.inf, np.inf, significant=False, p_value=1.0, detectable=np.inf)
    low, high = np.quantile(means_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    rarer = min(int((means_R <= 0).sum()), int((means_R >= 0).sum()))
    p_value = min(1.0, 2 * (rarer + 1) / (len(means_R) + 1))
    return Difference(
        mean,
        float(low),
        float(high),
        significant=bool(low > 0 or high < 0),
        p_value=p_value,
        detectable=float(_Z_FOUND * means_R.std()),
    )


def _resampled_means(
    values: Sequence[float], groups: Sequence[Group] | None, seed: int, num_resamples: int
) -> tuple[float, NDArray[np.float64] | None]:
    """The mean, and the resampled means [R] (None with a single group)."""
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"expected one or more values in a row, got an array of shape {given.shape}")
    if not np.isfinite(given).all():
        place = int(np.flatnonzero(~np.isfinite(given))[0])
        raise ValueError(f"value {place} is {given[place]}; drop samples without a score and count them separately")
    if groups is not None and len(groups) != given.size:
        raise ValueError(f"{given.size} values but {len(groups)} groups: pass one group per value")
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


def bootstrap_statistic(
    statistic: Callable[[NDArray[np.int64]], float | None], num_items: int, seed: int = 0, num_resamples: int = 1000
) -> Interval | None:
    """Any statistic of N items and its 95 % percentile bootstrap interval.

    Args:
        statistic: called with item indices [N] drawn with replacement; returns None if undefined.
        num_items: number of items N.
        seed: random seed.
        num_resamples: number of bootstrap resamples.

    Returns:
        None if the statistic is undefined for the items themselves, or for half of the resamples.

    Raises:
        ValueError: there are no items.
    """
    if num_items < 1:
        raise ValueError("no items to measure")
    found = statistic(np.arange(num_items))
    rng = np.random.default_rng(seed)
    drawn = [statistic(rng.integers(num_items, size=num_items)) for _ in range(num_resamples)]
    defined = [value for value in drawn if value is not None]
    if found is None or 2 * len(defined) < num_resamples:
        return None
    low, high = np.quantile(defined, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Interval(found, float(low), float(high))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """P-values corrected for multiple comparisons (Holm, 1979); below 0.05 is significant.

    Raises:
        ValueError: a value outside 0..1.
    """
    for name, p_value in p_values.items():
        if not 0 <= p_value <= 1:
            raise ValueError(f"p-value of {name!r} is {p_value}, expected 0 to 1")
    corrected: dict[str, float] = {}
    highest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        highest = max(highest, min(1.0, p_values[name] * (len(p_values) - rank)))
        corrected[name] = highest
    return {name: corrected[name] for name in p_values}
