"""Confidence intervals of scores and of differences between arms, over questions and training seeds.

Both the questions of a benchmark and the seeds of a training are samples. The variance of a mean over S seeds is the
sum of two components: that of the questions, by cluster bootstrap with the same draws for all runs, and that of the
seeds, their sample variance / S. Intervals use Student's t with Satterthwaite's degrees of freedom (1946), for few
seeds. The interaction of seeds and questions is part of both components, so intervals are conservative. With one seed
the seeds' component is unknown, and the interval covers the questions alone.

Shapes: S seeds, R resamples of the questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from mmcr_bench.intervals import LEVEL, MANY_CLUSTERS, MIN_CLUSTERS, to_difference


@dataclass(frozen=True)
class Runs:
    """One arm's runs in one measure.

    Attributes:
        values_S: score of each seed.
        resampled_SR: score of each seed in each resample.
        num_groups: number of groups of questions (clusters).
        scale: lowest and highest score that there can be.
    """

    values_S: NDArray[np.float64]
    resampled_SR: NDArray[np.float64]
    num_groups: int
    scale: tuple[float, float] = (-math.inf, math.inf)

    @property
    def num_seeds(self) -> int:
        """Number of seeds S."""
        return len(self.values_S)

    @property
    def seeds_variance(self) -> float:
        """Variance of the mean over seeds; 0 with one seed, where it is unknown."""
        return float(np.var(self.values_S, ddof=1)) / self.num_seeds if self.num_seeds > 1 else 0.0


@dataclass(frozen=True)
class Estimate:
    """A mean or difference with its 95 % confidence interval; infinite ends with a single group."""

    mean: float
    low: float
    high: float
    p_value: float = 1.0  # of a difference, two-sided


def estimate(runs: Runs) -> Estimate:
    """The mean of an arm's runs, with its interval inside the scale."""
    found = _estimate(runs)
    if not math.isfinite(found.low):
        return found
    return replace(found, low=max(found.low, runs.scale[0]), high=min(found.high, runs.scale[1]))


def _estimate(runs: Runs) -> Estimate:
    mean, resampled_R = float(runs.values_S.mean()), runs.resampled_SR.mean(axis=0)
    if runs.num_groups < 2:
        return Estimate(mean, -math.inf, math.inf)
    if runs.num_seeds == 1 and runs.num_groups >= MANY_CLUSTERS:
        low, high = np.quantile(resampled_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(mean, float(low), float(high))
    return _with_seeds(mean, resampled_R, runs.num_groups, [runs])


def difference(a: Runs, b: Runs, is_paired: bool = False) -> Estimate:
    """Difference `a - b` with its interval, paired over questions.

    Args:
        a: runs of one arm.
        b: runs of another.
        is_paired: the runs of one seed start from the same weights, so the seeds are paired too if both have as many.
    """
    if is_paired and a.num_seeds == b.num_seeds > 1:
        each = Runs(a.values_S - b.values_S, a.resampled_SR - b.resampled_SR, a.num_groups)
        if each.num_groups < 2:
            return estimate(each)
        return _with_seeds(float(each.values_S.mean()), each.resampled_SR.mean(axis=0), each.num_groups, [each])
    mean = float(a.values_S.mean() - b.values_S.mean())
    resampled_R = a.resampled_SR.mean(axis=0) - b.resampled_SR.mean(axis=0)
    if a.num_groups < 2 or (a.num_seeds == b.num_seeds == 1 and a.num_groups >= MANY_CLUSTERS):
        said = to_difference(mean, None if a.num_groups < 2 else resampled_R)
        return Estimate(mean, said.low, said.high, said.p_value)
    return _with_seeds(mean, resampled_R, a.num_groups, [a, b])


def _with_seeds(mean: float, resampled_R: NDArray[np.float64], num_groups: int, sides: Sequence[Runs]) -> Estimate:
    from scipy.stats import t

    parts = [(float(np.var(resampled_R)) * num_groups / (num_groups - 1), num_groups - 1)]
    parts += [(runs.seeds_variance, runs.num_seeds - 1) for runs in sides if runs.num_seeds > 1]
    variance = sum(part for part, _ in parts)
    if not variance:
        return Estimate(mean, mean, mean, float(mean == 0))
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    error = math.sqrt(variance)
    reach = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    p_value = float(2 * t.sf(abs(mean) / error, freedom)) if num_groups >= MIN_CLUSTERS else 1.0
    return Estimate(mean, mean - reach, mean + reach, p_value)
