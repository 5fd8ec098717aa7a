"""Confidence intervals of means and paired differences over clusters, and the Holm correction.

Dialogues of one topic are correlated, so the cluster (topic, image, circular group) is the unit. Below MANY_CLUSTERS
clusters the interval is Student's t of the cluster means with G - 1 degrees of freedom, at and above it the percentile
bootstrap of whole clusters. Below MIN_CLUSTERS there is an interval, but no verdict. The coverage of both is measured
by `python -m benchmarks.eval_coverage`.

Shapes: R resamples, N items, G clusters.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

LEVEL = 0.95
MIN_CLUSTERS = 5  # fewer give no verdict: one odd cluster decides it
MANY_CLUSTERS = 50  # the percentile bootstrap's intervals are too short below
_POWER = 0.8  # of `detectable`
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
        significant: the interval excludes 0; never with fewer than MIN_CLUSTERS clusters.
        p_value: two-sided, by the interval's own method, 1 without a verdict; correct it with `holm` for multiple
            comparisons.
        detectable: minimum detectable effect: smallest mean difference found with 80 % power at this standard error.
        num_clusters: number of clusters.
    """

    mean: float
    low: float
    high: float
    significant: bool
    p_value: float
    detectable: float
    num_clusters: int = MANY_CLUSTERS

    @property
    def has_verdict(self) -> bool:
        """False with too few clusters to call a difference significant or not."""
        return self.num_clusters >= MIN_CLUSTERS


def mean_interval(
    values: Sequence[float], groups: Sequence[Group] | None = None, seed: int = 0, num_resamples: int = 2000
) -> Interval:
    """Mean and 95 % confidence interval over clusters: Student's t, or the bootstrap for many clusters.

    Args:
        values: one per dialogue (or question).
        groups: cluster of each value; None makes each value its own cluster.
        seed: random seed of the bootstrap; the same seed gives the same interval.
        num_resamples: number of bootstrap resamples.

    Raises:
        ValueError: no values, a value that isn't finite, or a different number of groups than of values.
    """
    sums, counts = _by_cluster(values, groups, num_resamples)
    mean = float(sums.sum() / counts.sum())
    if len(sums) < MANY_CLUSTERS:
        return t_interval(mean, _influences(sums, counts))
    low, high = np.quantile(_resampled_means(sums, counts, seed, num_resamples), [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
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
        seed: random seed of the bootstrap.
        num_resamples: number of bootstrap resamples.

    Raises:
        ValueError: the two differ in length, or as in `mean_interval`.
    """
    if len(a) != len(b):
        raise ValueError(f"a has {len(a)} values and b has {len(b)}: pass the same dialogues in the same order")
    sums, counts = _by_cluster([float(x) - float(y) for x, y in zip(a, b, strict=True)], groups, num_resamples)
    mean = float(sums.sum() / counts.sum())
    if len(sums) < MANY_CLUSTERS:
        return t_difference(mean, _influences(sums, counts))
    return to_difference(mean, _resampled_means(sums, counts, seed, num_resamples))


def clustered_t(differences: Sequence[float], groups: Sequence[Group]) -> Difference:
    """Student's t of the mean of paired differences over clusters, however many; errors as in `mean_interval`."""
    sums, counts = _by_cluster(differences, groups, num_resamples=1)
    return t_difference(float(sums.sum() / counts.sum()), _influences(sums, counts))


def t_interval(estimate: float, influences_G: NDArray[np.float64], num_strata: int = 1) -> Interval:
    """Student's t interval of an estimate that is a sum of parts of its clusters, such as a mean or a ratio.

    Args:
        estimate: the estimate.
        influences_G: what each cluster adds to the estimate's error; they sum to 0.
        num_strata: number of strata that the clusters belong to; each costs a degree of freedom.
    """
    error, freedom = _standard_error(influences_G, num_strata)
    if freedom < 1:
        return Interval(estimate, -np.inf, np.inf)
    half = _t_quantile((1 + LEVEL) / 2, freedom) * error
    return Interval(estimate, estimate - half, estimate + half)


def t_difference(difference: float, influences_G: NDArray[np.float64], num_strata: int = 1) -> Difference:
    """A paired difference with its t interval and p-value; arguments as in `t_interval`."""
    found = t_interval(difference, influences_G, num_strata)
    num = len(influences_G)
    error, freedom = _standard_error(influences_G, num_strata)
    if freedom < 1:
        return Difference(difference, -np.inf, np.inf, False, 1.0, np.inf, num)
    if num < MIN_CLUSTERS:
        p_value = 1.0
    elif error > 0:
        p_value = 2 * _t_tail(abs(difference) / error, freedom)
    else:  # all clusters agree: the smallest p-value that a sign test of them can have
        p_value = 1.0 if difference == 0 else 2.0 ** (1 - num)
    reach = _t_quantile((1 + LEVEL) / 2, freedom) + _t_quantile(_POWER, freedom)
    return Difference(
        difference, found.low, found.high, p_value < 1 - LEVEL, p_value, detectable=reach * error, num_clusters=num
    )


def _standard_error(influences_G: NDArray[np.float64], num_strata: int) -> tuple[float, int]:
    """Standard error of the estimate and its degrees of freedom; below 1 degree it is unknown."""
    num = len(influences_G)
    if num - num_strata < 1:
        return np.inf, 0
    squares = float((influences_G**2).sum())
    floor = 1e-24 * max(1.0, float(np.abs(influences_G).max()) ** 2)  # rounding errors of equal clusters
    return float(np.sqrt(num / (num - 1) * squares)) if squares > floor else 0.0, num - num_strata


def _t_quantile(share: float, freedom: int) -> float:
    from scipy.special import stdtrit

    return float(stdtrit(freedom, share))


def _t_tail(value: float, freedom: int) -> float:
    from scipy.special import stdtr

    return float(stdtr(freedom, -value))


def to_difference(
    mean: float,
    means_R: NDArray[np.float64] | None,
    num_clusters: int = MANY_CLUSTERS,
) -> Difference:
    """A difference with its interval and p-value from the resampled means; None with a single group."""
    if means_R is None:
        return Difference(mean, -np.inf, np.inf, False, 1.0, np.inf, num_clusters=1)
    low, high = np.quantile(means_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    rarer = min(int((means_R <= 0).sum()), int((means_R >= 0).sum()))
    return Difference(
        mean,
        float(low),
        float(high),
        significant=bool(low > 0 or high < 0) and num_clusters >= MIN_CLUSTERS,
        p_value=min(1.0, 2 * (rarer + 1) / (len(means_R) + 1)) if num_clusters >= MIN_CLUSTERS else 1.0,
        detectable=float((1.960 + 0.842) * means_R.std()),
        num_clusters=num_clusters,
    )


def _by_cluster(
    values: Sequence[float], groups: Sequence[Group] | None, num_resamples: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Sum and number of the values of each cluster [G]."""
    given = np.asarray(values, dtype=np.float64)
    if given.ndim != 1 or given.size == 0:
        raise ValueError(f"expected one or more values in a row, got an array of shape {given.shape}")
    if not np.isfinite(given).all():
        place = int(np.flatnonzero(~np.isfinite(given))[0])
        raise ValueError(f"value {place} is {given[place]}; count a sample without a score as the lowest score")
    if groups is not None and len(groups) != given.size:
        raise ValueError(f"{given.size} values but {len(groups)} groups: pass one group per value")
    if num_resamples < 1:
        raise ValueError(f"num_resamples is {num_resamples}, expected at least 1")
    numbers: dict[Group, int] = {}
    member = [
        numbers.setdefault(group, len(numbers)) for group in (groups if groups is not None else range(len(given)))
    ]
    return np.bincount(member, weights=given).astype(np.float64), np.bincount(member).astype(np.int64)


def _influences(sums: NDArray[np.float64], counts: NDArray[np.int64]) -> NDArray[np.float64]:
    """What each cluster adds to the error of the mean over all values [G]."""
    influences: NDArray[np.float64] = (sums - sums.sum() / counts.sum() * counts) / counts.sum()
    return influences


def _resampled_means(
    sums: NDArray[np.float64], counts: NDArray[np.int64], seed: int, num_resamples: int
) -> NDArray[np.float64]:
    """The means [R] of clusters drawn with replacement."""
    rng = np.random.default_rng(seed)
    rows = max(1, _MAX_CELLS // len(sums))
    means = np.empty(num_resamples)
    for start in range(0, num_resamples, rows):
        drawn = rng.integers(len(sums), size=(min(rows, num_resamples - start), len(sums)))
        means[start : start + len(drawn)] = sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1)
    return means


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
