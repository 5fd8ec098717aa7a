"""Hallucination rates from marked pairs, before and after the similarity filter, and the agreement of two people.

A pair counts as hallucinated if its text does not fit the image. Rates are of all pairs of the build: marks are
weighted by what they stand for. Intervals are Wilson's at the effective
number of marks, so that they are right near 0 too.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np

from mmcr_dataset.filters.label import Pair

_Z = 1.959964  # of the normal distribution, 95 %
_NUM_RESAMPLES = 2000
Rate = tuple[float, float, float]  # value, lower and upper end of the 95 % interval
Labels = Mapping[str, bool]


@dataclass(frozen=True, slots=True)
class Agreement:
    """How often two people give the same mark to pairs that both marked.

    Attributes:
        people: their names.
        num_pairs: pairs that both marked.
        same: share of equal marks.
        kappa: Cohen's kappa with its 95 % bootstrap interval, None where everybody gave one and the same mark.
    """

    people: tuple[str, str]
    num_pairs: int
    same: Rate
    kappa: Rate | None


def measure_rates(pairs: Sequence[Pair], labels: Sequence[Labels], threshold: float) -> dict[str, Rate | None]:
    """Hallucination rate of all pairs, of those that the filter keeps, and of those that it drops.

    Args:
        pairs: the sampled pairs.
        labels: the marks of each person; of several, each pair counts by the share of people who reject it.
        threshold: lowest similarity; a dialogue is kept if its worst image reaches it.

    Returns:
        Rates of `before`, `after` and `dropped`; None where no such pair is marked.
    """
    marked = [(pair, [one[pair.key] for one in labels if pair.key in one]) for pair in pairs]
    rows = [(pair, 1 - sum(marks) / len(marks)) for pair, marks in marked if marks]
    kept = [row for row in rows if row[0].worst >= threshold]
    dropped = [row for row in rows if row[0].worst < threshold]
    return {"before": _rate(rows), "after": _rate(kept), "dropped": _rate(dropped)}


def _rate(rows: Sequence[tuple[Pair, float]]) -> Rate | None:
    if not rows:
        return None
    weights = [pair.weight for pair, _ in rows]
    value = sum(pair.weight * share for pair, share in rows) / sum(weights)
    return wilson(value, sum(weights) ** 2 / sum(weight**2 for weight in weights))


def wilson(value: float, count: float) -> Rate:
    """Wilson's 95 % interval of a share (0..1) measured on `count` items."""
    middle = (value + _Z**2 / (2 * count)) / (1 + _Z**2 / count)
    half = _Z / (1 + _Z**2 / count) * math.sqrt(value * (1 - value) / count + _Z**2 / (4 * count**2))
    return value, max(0.0, min(value, middle - half)), min(1.0, max(value, middle + half))


def measure_agreement(labels: Mapping[str, Labels], seed: int = 0) -> list[Agreement]:
    """Agreement of every two people who marked the same pairs. Args: labels: of each person; seed: of the bootstrap."""
    found = []
    for a, b in combinations(sorted(labels), 2):
        keys = sorted(labels[a].keys() & labels[b].keys())
        if not keys:
            continue
        marks = np.array([[labels[a][key], labels[b][key]] for key in keys])
        same = float((marks[:, 0] == marks[:, 1]).mean())
        found.append(Agreement((a, b), len(keys), wilson(same, len(keys)), _kappa_interval(marks, seed)))
    return found


def _kappa_interval(marks: np.ndarray, seed: int) -> Rate | None:
    value = kappa(marks)
    if value is None:
        return None
    drawn = np.random.default_rng(seed).integers(len(marks), size=(_NUM_RESAMPLES, len(marks)))
    values = [one for one in (kappa(marks[rows]) for rows in drawn) if one is not None]
    low, high = np.quantile(values, [0.025, 0.975])
    return value, float(low), float(high)


def kappa(marks: np.ndarray) -> float | None:
    """Cohen's kappa of two people. Args: marks: booleans, shape (pairs, 2). None where chance alone agrees fully."""
    a, b = marks.mean(axis=0)
    by_chance = float(a * b + (1 - a) * (1 - b))
    same = float((marks[:, 0] == marks[:, 1]).mean())
    return None if by_chance >= 1 else (same - by_chance) / (1 - by_chance)


def show_rates(pairs: Sequence[Pair], labels: Mapping[str, Labels], threshold: float) -> str:
    """The rates of each person and of all, and their agreement, as text."""
    lines = [f"hallucination rate at threshold {threshold:.3f}, 95 % intervals", f"{'':<12}before               after"]
    of = {name: [one] for name, one in labels.items()} | ({"all": list(labels.values())} if len(labels) > 1 else {})
    for name, some in of.items():
        rates = measure_rates(pairs, some, threshold)
        shown = [_show(rates[what]) for what in ("before", "after")]
        lines.append(
            f"{name or 'one person':<12}{shown[0]:<21}{shown[1]:<21}(dropped pairs: {_show(rates['dropped'])})"
        )
    for one in measure_agreement(labels):
        who = " and ".join(name or "one person" for name in one.people)
        lines.append(
            f"{who}: the same mark for {_show(one.same)} of {one.num_pairs} pairs, Cohen's kappa {_show(one.kappa)}"
        )
    return "\n".join(lines)


def _show(rate: Rate | None) -> str:
    return "not defined" if rate is None else f"{rate[0]:.2f} [{rate[1]:.2f}, {rate[2]:.2f}]"
