"""How far experts agree, and what the any-of-six rule costs. Marks come from a review (pass or flag, by criterion).

Where nearly everything passes, Krippendorff's alpha is low although the experts agree (the prevalence paradox), so
Gwet's AC1 and the raw share stand beside it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcr_bench.intervals import Interval, bootstrap_statistic

Counts = NDArray[np.int64]  # items x 2: how many experts passed an item, how many flagged it


@dataclass(frozen=True, slots=True)
class Mark:
    """What one expert said about one version of an item.

    Attributes:
        item: which version of which item.
        expert: name.
        flags: the criteria that were flagged; empty is a pass.
    """

    item: str
    expert: str
    flags: frozenset[str]


@dataclass(frozen=True, slots=True)
class Agreement:
    """Agreement on one criterion.

    Attributes:
        num_items: items that at least two experts marked.
        flagged: share of flags among all marks.
        raw: share of pairs of experts that say the same.
        alpha: Krippendorff's alpha, nominal; None where nobody or everybody flags, there is nothing to agree on then.
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
            raise ValueError(f"item {mark.item!r}: {mark.expert} marked it twice; pass the last mark only")
        given[mark.expert] = mark.flags
    several = {item: given for item, given in by_item.items() if len(given) > 1}
    if not several:
        raise ValueError(f"none of {len(by_item)} items has the marks of two experts; agreement needs two")
    return several


def raw_agreement(counts: Counts) -> float | None:
    """Share of pairs of experts that say the same, mean over items; every row needs two marks."""
    total = counts.sum(axis=1)
    return float(((counts * (counts - 1)).sum(axis=1) / (total * (total - 1))).mean())


def gwet_ac1(counts: NDArray[np.int64]) -> float | None:
    """Gwet's AC1 for any number of experts and categories, items x categories.

    Source: Gwet, "Computing inter-rater reliability and its variance in the presence of high agreement" (2008), with
    the treatment of missing marks of his handbook (4th edition, chapter 5).
    """
    total = counts.sum(axis=1)
    shares = (counts[total > 0] / total[total > 0][:, None]).mean(axis=0)
    chance = float((shares * (1 - shares)).sum() / (counts.shape[1] - 1))
    observed = raw_agreement(counts[total > 1])
    return None if observed is None else (observed - chance) / (1 - chance)


def krippendorff_alpha(counts: NDArray[np.int64]) -> float | None:
    """Krippendorff's alpha, nominal; None where all marks are one category."""
    import krippendorff

    if (counts.sum(axis=0) > 0).sum() < 2:
        return None
    return float(krippendorff.alpha(value_counts=counts, level_of_measurement="nominal"))


@dataclass(frozen=True, slots=True)
class FalseFlags:
    """What flags on good items cost.

    Attributes:
        by_expert: share of items flagged among those that most of the other experts passed.
        regenerated: expected share of good items that at least one expert flags, so that they are made again.
    """

    by_expert: Mapping[str, float]
    regenerated: float


def count_false_flags(marks: Iterable[Mark]) -> FalseFlags:
    """How often each expert flags what most others pass, and what the any-of-all rule makes of it.

    A flag alone may be the only one that is right; the number says what the rule costs if it isn't.
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
    return FalseFlags(rates, 1 - float(np.prod([1 - rate for rate in rates.values()])))
