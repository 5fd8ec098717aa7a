"""Inter-annotator agreement of a review (pass or flag, by criterion), and the cost of the any-flag rule.

If nearly everything passes, Krippendorff's alpha is low although the experts agree (the prevalence paradox), so Gwet's
AC1 and the raw agreement are reported too.

Shapes: N items, K categories (pass, flag), R resamples.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcr_bench.intervals import Interval, bootstrap_statistic

Counts = NDArray[np.int64]  # [N, K]: number of experts who put an item into each category


@dataclass(frozen=True, slots=True)
class Mark:
    """One expert's annotation of one version of an item.

    Attributes:
        item: item and version.
        expert: name of the expert.
        flags: flagged criteria; empty is a pass.
    """

    item: str
    expert: str
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement on one criterion.

    Attributes:
        num_items: items marked by at least two experts.
        flagged: share of flags among all marks.
        raw: share of agreeing pairs of experts.
        alpha: Krippendorff's alpha, nominal; None if all marks are equal, where it is undefined.
        ac1: Gwet's AC1.
    """

    num_items: int
    flagged: float
    raw: Interval | None
    alpha: Interval | None
    ac1: Interval | None


def measure_agreement(
    marks: Iterable[Mark], criteria: Sequence[str], num_resamples: int = 1000, seed: int = 0
) -> dict[str, Agreement]:
    """Agreement by criterion, and under `any` on whether an item is flagged at all.

    Args:
        marks: one per item and expert.
        criteria: the criteria that can be flagged.
        num_resamples: number of bootstrap resamples.
        seed: random seed.

    Raises:
        ValueError: an expert marked an item twice, flagged an unknown criterion, or no item has two marks.
    """
    by_item = _group(marks, criteria)
    found: dict[str, Agreement] = {}
    for criterion in (*criteria, "any"):
        rows = []
        for given in by_item.values():
            flags = sum(bool(flagged) if criterion == "any" else criterion in flagged for flagged in given.values())
            rows.append((len(given) - flags, flags))
        counts = np.array(rows, dtype=np.int64)
        statistics = (raw_agreement, krippendorff_alpha, gwet_ac1)
        raw, alpha, ac1 = (
            bootstrap_statistic(lambda items, f=f, c=counts: f(c[items]), len(counts), seed, num_resamples)  # type: ignore[misc]
            for f in statistics
        )
        found[criterion] = Agreement(len(counts), float(counts[:, 1].sum() / counts.sum()), raw, alpha, ac1)
    return found


def _group(marks: Iterable[Mark], criteria: Sequence[str]) -> dict[str, dict[str, frozenset[str]]]:
    """Flags by item and expert, items with two or more marks."""
    by_item: dict[str, dict[str, frozenset[str]]] = {}
    for mark in marks:
        unknown = mark.flags - set(criteria)
        if unknown:
            raise ValueError(f"item {mark.item!r}: {mark.expert} flags {sorted(unknown)}, expected some of {criteria}")
        given = by_item.setdefault(mark.item, {})
        if mark.expert in given:
            raise ValueError(f"item {mark.item!r}: {mark.expert} marked it twice; pass only the last mark")
        given[mark.expert] = mark.flags
    several = {item: given for item, given in by_item.items() if len(given) > 1}
    if not several:
        raise ValueError(f"none of {len(by_item)} items has been marked by two experts; agreement needs two")
    return several


def raw_agreement(counts_NK: Counts) -> float | None:
    """Share of agreeing pairs of experts, mean over items; every item needs two marks."""
    total_N = counts_NK.sum(axis=1)
    return float(((counts_NK * (counts_NK - 1)).sum(axis=1) / (total_N * (total_N - 1))).mean())


def gwet_ac1(counts_NK: Counts) -> float | None:
    """Gwet's AC1 for any number of experts and categories.

    Source: Gwet, "Computing inter-rater reliability and its variance in the presence of high agreement" (2008), with
    the treatment of missing marks of his handbook (4th edition, chapter 5).
    """
    total_N = counts_NK.sum(axis=1)
    shares = (counts_NK[total_N > 0] / total_N[total_N > 0][:, None]).mean(axis=0)
    chance = float((shares * (1 - shares)).sum() / (counts_NK.shape[1] - 1))
    observed = raw_agreement(counts_NK[total_N > 1])
    return None if observed is None else (observed - chance) / (1 - chance)


def krippendorff_alpha(counts_NK: Counts) -> float | None:
    """Krippendorff's alpha, nominal; None if all marks are of one category."""
    import krippendorff

    if (counts_NK.sum(axis=0) > 0).sum() < 2:
        return None
    return float(krippendorff.alpha(value_counts=counts_NK, level_of_measurement="nominal"))


@dataclass(frozen=True, slots=True)
class FalseFlags:
    """False positives: the cost of flags on good items.

    Attributes:
        by_expert: share flagged by each expert among the items that most other experts passed.
        regenerated: expected share of good items flagged by at least one expert, and so regenerated.
        regenerated_by_two: expected share flagged by at least two, which no keeper's decision on a lone flag saves.
    """

    by_expert: Mapping[str, float]
    regenerated: float
    regenerated_by_two: float


def count_false_flags(marks: Iterable[Mark]) -> FalseFlags:
    """Rate at which each expert flags what most others pass, and its effect under the any-flag rule.

    A single flag may still be correct; the number is the cost of the rule if it isn't.
    """
    by_item: dict[str, dict[str, bool]] = {}
    for mark in marks:
        by_item.setdefault(mark.item, {})[mark.expert] = bool(mark.flags)
    seen: dict[str, list[bool]] = {}
    for given in by_item.values():
        for expert, flagged in given.items():
            others = [mark for name, mark in given.items() if name != expert]
            if others and 2 * sum(others) < len(others):
                seen.setdefault(expert, []).append(flagged)
    rates = {expert: sum(flags) / len(flags) for expert, flags in sorted(seen.items())}
    chances = np.array([1.0])  # of 0, 1, 2, ... flags on a good item
    for rate in rates.values():
        chances = np.convolve(chances, [1 - rate, rate])
    return FalseFlags(rates, 1 - float(chances[0]), 1 - float(chances[:2].sum()))
