"""How well scores tell right replies from wrong ones: AUC and means with intervals clustered by dialogue.

Shapes: G clusters (dialogues).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcr_bench.intervals import Interval

LEVEL = 0.95


@dataclass(frozen=True, slots=True)
class Mean:
    """A mean over clusters and its standard error; the error is infinite with a single cluster.

    Attributes:
        value: the mean.
        error: its standard error.
        num_clusters: number of clusters.
    """

    value: float
    error: float
    num_clusters: int

    def half_width(self, alpha: float) -> float:
        """Distance of the mean from its one-sided bound that errs with probability `alpha` (Student's t)."""
        if self.num_clusters < 2:
            return math.inf
        if self.error == 0.0:
            return 0.0
        from scipy.special import stdtrit

        return float(stdtrit(self.num_clusters - 1, 1 - alpha)) * self.error

    def interval(self, lowest: float = -math.inf, highest: float = math.inf) -> Interval:
        """The mean with its two-sided 95 % interval, within the scale."""
        half = self.half_width((1 - LEVEL) / 2)
        return Interval(self.value, max(lowest, self.value - half), min(highest, self.value + half))


def mean_of(values_G: Sequence[float]) -> Mean:
    """Mean of one value a cluster."""
    values = np.asarray(values_G, dtype=np.float64)
    error = float(values.std(ddof=1) / math.sqrt(len(values))) if len(values) > 1 else math.inf
    return Mean(float(values.mean()), error if error > 1e-9 else 0.0, len(values))


def win_rate(right: Sequence[float], wrong: Sequence[float]) -> float:
    """Share of pairs in which the right one scores higher, ties half: the area under the ROC curve."""
    if not right or not wrong:
        raise ValueError(f"{len(right)} right and {len(wrong)} wrong scores: at least one of each is needed")
    gaps = np.subtract.outer(np.asarray(right), np.asarray(wrong))
    return float(np.mean(gaps > 0) + np.mean(gaps == 0) / 2)


def auc(right_G: Sequence[Sequence[float]], wrong_G: Sequence[Sequence[float]]) -> Mean:
    """AUC over all right and wrong scores, its error by clusters (DeLong's method, obuchowski's for clusters).

    Args:
        right_G: the scores of right replies of each dialogue.
        wrong_G: the scores of its wrong ones; a dialogue may lack either.

    Raises:
        ValueError: no right or no wrong score at all.
    """
    right, wrong = np.concatenate([*map(_row, right_G)]), np.concatenate([*map(_row, wrong_G)])
    area = win_rate(right.tolist(), wrong.tolist())
    num = len(right_G)
    parts: NDArray[np.float64] = np.zeros(num)
    for place, (rights, wrongs) in enumerate(zip(right_G, wrong_G, strict=True)):
        parts[place] += sum(_beats(score, wrong) - area for score in rights) / len(right)
        parts[place] += sum(1 - _beats(score, right) - area for score in wrongs) / len(wrong)
    error = math.sqrt(num / (num - 1) * float((parts**2).sum())) if num > 1 else math.inf
    return Mean(area, error if error > 1e-9 else 0.0, num)


def _row(values: Sequence[float]) -> NDArray[np.float64]:
    return np.asarray(values, dtype=np.float64)


def _beats(score: float, others: NDArray[np.float64]) -> float:
    """Share of others below a score, ties half."""
    return float(np.mean(others < score) + np.mean(others == score) / 2)


@dataclass(frozen=True, slots=True)
class Share:
    """`count` of `total`."""

    count: int
    total: int


def corrected_share(passed: Share, sensitivity: Share, specificity: Share, alpha: float = 0.05) -> Interval | None:
    """Share of truly right replies behind a judge's passes, by the judge's own errors (Rogan and Gladen).

    The interval is Lang and Reiczigel's, which adds pseudo-observations to all three shares and so keeps its coverage
    near 0 and 1. Sources: arXiv 2511.21140; Lang and Reiczigel, Preventive Veterinary Medicine 113 (2014).

    Args:
        passed: replies that the judge passes, of those whose truth is unknown.
        sensitivity: right replies that it passes, of those known to be right.
        specificity: wrong replies that it fails, of those known to be wrong.
        alpha: the interval errs with this probability.

    Returns:
        None where the judge passes wrong replies as often as right ones, so that its passes say nothing.
    """
    from scipy.special import ndtri

    if min(passed.total, sensitivity.total, specificity.total) < 1:
        raise ValueError("passed, sensitivity and specificity need at least one reply each")
    z = float(ndtri(1 - alpha / 2))
    true_pass, true_fail = (share.count / share.total for share in (sensitivity, specificity))
    if true_pass + true_fail <= 1:
        return None
    value = (passed.count / passed.total + true_fail - 1) / (true_pass + true_fail - 1)
    n, p = passed.total + z * z, (passed.count + z * z / 2) / (passed.total + z * z)
    n_se, se = sensitivity.total + 2, (sensitivity.count + 1) / (sensitivity.total + 2)
    n_sp, sp = specificity.total + 2, (specificity.count + 1) / (specificity.total + 2)
    youden = se + sp - 1
    if youden <= 0:
        return None
    middle = (p + sp - 1) / youden
    shift = 2 * z * z * (middle * se * (1 - se) / n_se - (1 - middle) * sp * (1 - sp) / n_sp)
    spread = p * (1 - p) / n + middle**2 * se * (1 - se) / n_se + (1 - middle) ** 2 * sp * (1 - sp) / n_sp
    half = z * math.sqrt(spread) / youden
    low, high = middle + shift - half, middle + shift + half
    return Interval(*(min(1.0, max(0.0, end)) for end in (value, low, high)))
