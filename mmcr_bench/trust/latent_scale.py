"""Leads between models as judges see them, on one scale for all judges: whatever their strictness, spread and ceiling.

A judge's score is taken as a latent value, quality plus noise, cut at thresholds of its own. Between two models the
probits of "at least this score" differ by the same number at every cut, so neither a shift, a stretch nor a ceiling
changes it. Judges differ in noise, too: a lead is divided by the judge's reliability, which follows from how judges
correlate over dialogues (tetrachoric, within a model; triads), a preference for a whole family leaves it as it is.

Shapes: J judges, M models, T topics (clusters), C cuts; R = T + 1 rows: all topics, then all but one.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr, ndtri

Array = NDArray[np.float64]
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(24)
_NUM_STEPS = 40
_MIN_CORRELATION = 0.1  # below, the reliabilities of judges can't be told apart


@dataclass(frozen=True)
class Leads:
    """What is known of all judges, once for all topics and once without each.

    Attributes:
        d: [R, J, M, M] lead of the first model over the second in the judge's latent standard deviations.
        reliability: [R, J] correlation of a judge's latent score with quality; 1 for all where it can't be told.
        is_scaled: whether it could be told.
        spread: [J] standard deviation of a judge's scores within a model.
    """

    d: Array
    reliability: Array
    is_scaled: bool
    spread: Array


def measure_leads(scores_JMN: Array, topic_N: NDArray[np.int64]) -> Leads:
    """The leads and reliabilities.

    Args:
        scores_JMN: scores of every judge, model and dialogue.
        topic_N: number of the topic of each dialogue.
    """
    num_topics = int(topic_N.max()) + 1
    one_hot_NT = np.eye(num_topics)[topic_N]
    num_R = _with_left_out(one_hot_NT.sum(axis=0)[None])[:, 0]
    d = np.stack([_leads_of(scores_MN, one_hot_NT, num_R) for scores_MN in scores_JMN], axis=1)
    reliability = _reliabilities(scores_JMN, one_hot_NT, num_R)
    shape = (num_topics + 1, len(scores_JMN))
    spread = scores_JMN.std(axis=2).mean(axis=1)
    return Leads(d, np.ones(shape) if reliability is None else reliability, reliability is not None, spread)


def _with_left_out(sums_XT: Array) -> Array:
    """[R, X]: the sum over all topics, then over all but each."""
    total = sums_XT.sum(axis=-1, keepdims=True)
    return np.moveaxis(np.concatenate([total, total - sums_XT], axis=-1), -1, 0)


def _leads_of(scores_MN: Array, one_hot_NT: Array, num_R: Array) -> Array:
    cuts = np.unique(scores_MN)[1:]
    if not len(cuts):
        return np.zeros((len(num_R), len(scores_MN), len(scores_MN)))
    counts_CMT = np.stack([(scores_MN >= cut).astype(np.float64) @ one_hot_NT for cut in cuts])
    share_RCM = (_with_left_out(counts_CMT) + 0.5) / (num_R[:, None, None] + 1)
    probit = ndtri(share_RCM)
    density = np.exp(-(probit**2) / 2) / np.sqrt(2 * np.pi)
    variance = share_RCM * (1 - share_RCM) / density**2
    weight = 1 / (variance[:, :, :, None] + variance[:, :, None, :])
    gaps = probit[:, :, :, None] - probit[:, :, None, :]
    return np.asarray((weight * gaps).sum(axis=1) / weight.sum(axis=1))


def _reliabilities(scores_JMN: Array, one_hot_NT: Array, num_R: Array) -> Array | None:
    """[R, J], None where judges correlate too little to tell."""
    num_judges = len(scores_JMN)
    if num_judges < 3:
        return None
    high_JMN = np.stack([[_split(row) for row in scores_MN] for scores_MN in scores_JMN])
    r_RJJ = np.ones((len(num_R), num_judges, num_judges))
    share_RJM = (_with_left_out(high_JMN @ one_hot_NT) + 0.5) / (num_R[:, None, None] + 1)
    for j in range(num_judges):
        for k in range(j):
            both = (_with_left_out((high_JMN[j] * high_JMN[k]) @ one_hot_NT) + 0.25) / (num_R[:, None] + 1)
            r_RJJ[:, j, k] = r_RJJ[:, k, j] = tetrachoric(share_RJM[:, j], share_RJM[:, k], both).mean(axis=1)
    pairs = [(k, m) for k in range(num_judges) for m in range(k)]
    if min(r_RJJ[0, k, m] for k, m in pairs) < _MIN_CORRELATION:
        return None
    squares = np.empty((len(num_R), num_judges))
    for j in range(num_judges):
        others = [(k, m) for k, m in pairs if j not in (k, m)]
        squares[:, j] = sum(r_RJJ[:, j, k] * r_RJJ[:, j, m] for k, m in others) / sum(r_RJJ[:, k, m] for k, m in others)
    return np.asarray(np.sqrt(np.clip(squares, 0.01, 1.0)))


def _split(row_N: Array) -> Array:
    """1 where a score lies above the cut that halves the row best."""
    cuts = np.unique(row_N)[1:]
    if not len(cuts):
        return np.zeros(len(row_N))
    best = min(cuts, key=lambda cut: abs(float((row_N >= cut).mean()) - 0.5))
    return np.asarray(row_N >= best, dtype=np.float64)


def tetrachoric(p: Array, q: Array, both: Array) -> Array:
    """Correlation of two latent normal values from the shares above their cuts, and above both.

    Args:
        p: share above the first cut.
        q: share above the second cut.
        both: share above both; all of one shape.
    """
    h, k = -ndtri(p), -ndtri(q)
    low, high = np.full(p.shape, -0.999), np.full(p.shape, 0.999)
    for _ in range(_NUM_STEPS):
        middle = (low + high) / 2
        is_below = _upper_tail(h, k, middle) < both
        low, high = np.where(is_below, middle, low), np.where(is_below, high, middle)
    return np.asarray((low + high) / 2)


def _upper_tail(h: Array, k: Array, r: Array) -> Array:
    """P(X > h, Y > k) at correlation r (Plackett's integral over the correlation)."""
    t = r[..., None] * (_NODES + 1) / 2
    rest = 1 - t**2
    exponent = -(h[..., None] ** 2 - 2 * h[..., None] * k[..., None] * t + k[..., None] ** 2) / (2 * rest)
    density = np.exp(exponent) / (2 * np.pi * np.sqrt(rest))
    return np.asarray(ndtr(-h) * ndtr(-k) + r / 2 * (density * _WEIGHTS).sum(axis=-1))
