"""Where a review stands: whose turn, how many items in which state, how far the experts agree."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from mmcr_bench.intervals import Interval
from mmcr_bench.review.event_log import ReviewLog, to_marks
from mmcr_bench.review.rounds import CRITERIA, Item
from mmcr_bench.trust.agreement import Agreement, count_false_flags, measure_agreement


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of a review.

    Attributes:
        by_status: items that are open, passed, to regenerate, to replace.
        by_round: open items by round.
        by_expert: current versions that each expert has marked.
        num_items: all.
        num_marks: marks ever made and not withdrawn, all versions.
        num_regenerated: versions written anew.
        num_replaced: items that were drawn anew.
    """

    by_status: Mapping[str, int]
    by_round: Mapping[int, int]
    by_expert: Mapping[str, int]
    num_items: int
    num_marks: int
    num_regenerated: int
    num_replaced: int


def to_progress(log: ReviewLog, experts: Sequence[str]) -> Progress:
    """The counts as they are now."""
    items, events = log.items(), log.events()
    status = Counter(item.status(log.num_experts) for item in items.values())
    kinds = Counter(event.kind for event in events)
    return Progress(
        by_status={name: status[name] for name in ("open", "passed", "regenerate", "replace")},
        by_round=dict(sorted(Counter(i.round for i in items.values() if i.status(log.num_experts) == "open").items())),
        by_expert={name: sum(name in item.marks for item in items.values()) for name in experts},
        num_items=len(items),
        num_marks=len(to_marks(events)),
        num_regenerated=kinds["regenerated"],
        num_replaced=kinds["replaced"],
    )


def next_item(items: Mapping[str, Item], expert: str, num_experts: int) -> str | None:
    """The item an expert should look at now, None if nothing waits for them; each expert has an order of their own."""
    waiting = [item.name for item in items.values() if expert not in item.marks and item.status(num_experts) == "open"]
    return min(waiting, key=lambda name: hashlib.sha256(f"{expert}\x1f{name}".encode()).digest(), default=None)


AGREEMENT_COLUMNS = ("criterion", "items", "flagged", "raw", "Krippendorff's alpha", "Gwet's AC1")


def show_agreement(log: ReviewLog, num_resamples: int = 300) -> list[list[str]]:
    """Rows of the agreement table, cells as text; a single row with the reason where there is nothing to measure."""
    marks = to_marks(log.events())
    try:
        found = measure_agreement(marks, CRITERIA, num_resamples)
    except ValueError as error:
        return [[str(error)]]
    rows = [[name, str(a.num_items), f"{a.flagged:.1%}", *_cells(a)] for name, a in found.items()]
    false = count_false_flags(marks)
    rates = ", ".join(f"{expert} {rate:.1%}" for expert, rate in false.by_expert.items())
    return [*rows, [f"Flags on what most others pass: {rates or 'none yet'}"], [_cost(false.regenerated)]]


def _cells(agreement: Agreement) -> list[str]:
    def cell(interval: Interval | None) -> str:
        return "-" if interval is None else f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"

    return [cell(value) for value in (agreement.raw, agreement.alpha, agreement.ac1)]


def _cost(regenerated: float) -> str:
    return f"If those flags are mistaken, {regenerated:.1%} of the good items are written anew by the any-flag rule."
