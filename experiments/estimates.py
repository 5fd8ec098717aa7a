"""What several seeds and a sample of questions say about a number: an interval over both, and differences of arms.

A benchmark's questions are a sample, and so are the seeds of a training. The variance of a mean over S seeds is the sum
of two parts: that of the questions, from resamples in which all runs see the same draws of whole groups, and that of
the seeds, their sample variance / S. Student's t with the degrees of freedom that belong to the sum (Satterthwaite,
1946) makes up for few seeds. What seeds and questions do together is in both parts, so intervals are a little wide
rather than narrow. With one seed the seeds' part is unknown, and the interval is over the questions alone.

Shapes: S seeds, R resamples of the questions.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcr_bench.intervals import LEVEL, to_difference


@dataclass(frozen=True)
class Runs:
    """One arm's runs in one measure.

    Attributes:
        values_S: the number of each seed.
        resampled_SR: the same in each resample.
        num_groups: groups of questions that were drawn.
    """

    values_S: NDArray[np.float64]
    resampled_SR: NDArray[np.float64]
    num_groups: int

    @property
    def num_seeds(self) -> int:
        """S."""
        return len(self.values_S)

    @property
    def seeds_variance(self) -> float:
        """Of the mean over seeds; 0 with one seed, whose variance nobody knows."""
        return float(np.var(self.values_S, ddof=1)) / self.num_seeds if self.num_seeds > 1 else 0.0


@dataclass(frozen=True)
class Estimate:
    """A number and where it may lie (95 %); infinite ends where a single group says nothing about others."""

    mean: float
    low: float
    high: float
    p_value: float = 1.0  # that a difference is none


def estimate(runs: Runs) -> Estimate:
    """The mean of an arm's runs."""
    mean, resampled_R = float(runs.values_S.mean()), runs.resampled_SR.mean(axis=0)
    if runs.num_groups < 2:
        return Estimate(mean, -math.inf, math.inf)
    if runs.num_seeds == 1:
        low, high = np.quantile(resampled_R, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
        return Estimate(mean, float(low), float(high))
    return _with_seeds(mean, resampled_R, runs.num_groups, [runs])


def difference(a: Runs, b: Runs) -> Estimate:
    """`a - b`, the questions paired and the seeds not."""
    mean = float(a.values_S.mean() - b.values_S.mean())
    resampled_R = a.resampled_SR.mean(axis=0) - b.resampled_SR.mean(axis=0)
    if a.num_groups < 2 or a.num_seeds == b.num_seeds == 1:
        said = to_difference(mean, None if a.num_groups < 2 else resampled_R)
        return Estimate(mean, said.low, said.high, said.p_value)
    return _with_seeds(mean, resampled_R, a.num_groups, [a, b])


def _with_seeds(mean: float, resampled_R: NDArray[np.float64], num_groups: int, sides: Sequence[Runs]) -> Estimate:
    from scipy.stats import t

    parts = [(float(np.var(resampled_R)), num_groups - 1)]
    parts += [(runs.seeds_variance, runs.num_seeds - 1) for runs in sides if runs.num_seeds > 1]
    variance = sum(part for part, _ in parts)
    if not variance:
        return Estimate(mean, mean, mean, float(mean == 0))
    freedom = variance**2 / sum(part**2 / degrees for part, degrees in parts)
    error = math.sqrt(variance)
    reach = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    return Estimate(mean, mean - reach, mean + reach, float(2 * t.sf(abs(mean) / error, freedom)))
