"""Progress of a review: next item of each expert, items by status, inter-annotator agreement."""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from mmcr_bench.intervals import Interval
from mmcr_bench.review.accounts import Accounts
from mmcr_bench.review.calibration import measure_sensitivity
from mmcr_bench.review.event_log import ReviewLog, to_marks
from mmcr_bench.review.keeper_log import Act
from mmcr_bench.review.rounds import Event, Item, ReviewConflict, Status
from mmcr_bench.trust.agreement import Agreement, FalseFlags, count_false_flags, measure_agreement

DAY_S = 24 * 3600.0
WEEK_S = 7 * DAY_S


@dataclass(frozen=True, slots=True)
class Progress:
    """Counts of a review.

    Attributes:
        by_status: items that are open, passed, to regenerate, to replace; dropped ones if there are any.
        by_round: open items by round.
        by_expert: current versions that each expert has marked.
        num_items: number of items of the bench, dropped ones too.
        num_planted: number of calibration items, which are in no other count but by_expert and num_to_mark.
        num_to_mark: items that every expert marks.
        num_marks: marks not withdrawn, over all versions.
        num_regenerated: number of regenerated versions.
        num_replaced: number of redrawn items.
    """

    by_status: Mapping[str, int]
    by_round: Mapping[int, int]
    by_expert: Mapping[str, int]
    num_items: int
    num_planted: int
    num_to_mark: int
    num_marks: int
    num_regenerated: int
    num_replaced: int


def to_progress(log: ReviewLog, experts: Sequence[str]) -> Progress:
    """The current counts."""
    everything, events = log.items(), log.events()
    items = [item for item in everything.values() if not item.planted]
    to_mark = [item for item in everything.values() if not item.dropped]
    status = Counter(item.status(log.num_experts) for item in items)
    kinds = Counter(event.kind for event in events)
    shown: list[Status] = ["open", "passed", "regenerate", "replace"]
    shown += ["dropped"] if status["dropped"] else []
    return Progress(
        by_status={name: status[name] for name in shown},
        by_round=dict(sorted(Counter(i.round for i in items if i.status(log.num_experts) == "open").items())),
        by_expert={name: sum(name in item.marks for item in to_mark) for name in experts},
        num_items=len(items),
        num_planted=len(everything) - len(items),
        num_to_mark=len(to_mark),
        num_marks=len(to_marks(events)),
        num_regenerated=kinds["regenerated"],
        num_replaced=kinds["replaced"],
    )


def next_item(
    items: Mapping[str, Item], expert: str, num_experts: int, predecessors: Collection[str] = ()
) -> str | None:
    """An expert's next open item, None if there is none; the order differs between experts.

    Args:
        items: the items.
        expert: the expert.
        num_experts: experts who mark each item.
        predecessors: experts whose part this one has taken over: what they have marked is done.
    """
    done = {expert, *predecessors}
    waiting = [
        item.name for item in items.values() if not done & item.marks.keys() and item.status(num_experts) == "open"
    ]
    return min(waiting, key=lambda name: hashlib.sha256(f"{expert}\x1f{name}".encode()).digest(), default=None)


def count_recent(events: Iterable[Event], since: float) -> Counter[str]:
    """Marks by expert from a time on, calibration items and changed marks included."""
    return Counter(event.actor for event in events if event.kind == "marked" and event.at >= since)


def to_next_steps(log: ReviewLog, experts: Sequence[str], expert: str) -> list[str]:
    """What an expert without open items waits for, in sentences, with how long it may take."""
    items = [item for item in log.items().values() if not item.dropped]
    status = Counter(item.status(log.num_experts) for item in items)
    steps = []
    if status["open"]:
        missing = sum(log.num_experts - len(item.marks) for item in items if item.status(log.num_experts) == "open")
        recent = count_recent(log.events(), time.time() - WEEK_S)
        others = sum(recent[name] for name in experts if name != expert)
        pace = (
            f"about {missing * 7 / others:.0f} days at their pace of the last week"
            if others
            else "no pace is known yet"
        )
        steps.append(f"{status['open']} items wait for {missing} marks of other experts ({pace}).")
    if waiting := status["regenerate"] + status["replace"]:
        steps.append(
            f"{waiting} flagged items wait to be rewritten or replaced. The keeper starts that, at the latest when all "
            "experts are done; then they come back here in a new round with what was flagged and what has changed."
        )
    if not steps:
        steps.append("Every item has passed. The review is finished; the keeper can freeze the bench.")
    return steps


def to_decision(log: ReviewLog, name: str, keeper: str, dismiss: bool, reason: str) -> Event:
    """The event of a keeper's decision on a lone flag; `append` refuses it where there is none."""
    item = log.items().get(name)
    if item is None:
        raise ReviewConflict("unknown_item", f"{name!r} is not in this review")
    flags = () if dismiss else tuple(sorted({flag for mark in item.marks.values() for flag in mark.flags}))
    return Event("adjudicated", name, item.version, keeper, time.time(), flags, reason)


def to_acts(log: ReviewLog, accounts: Accounts) -> list[Act]:
    """What keepers did with accounts and with items, oldest first."""
    acts = accounts.acts()
    for event in log.events():
        if event.kind == "dropped":
            acts.append(Act(event.at, event.actor, "dropped", event.item, event.note))
        elif event.kind == "adjudicated":
            said = "stands" if event.flags else "dismissed"
            acts.append(Act(event.at, event.actor, "adjudicated", event.item, f"flag {said}: {event.note}"))
    return sorted(acts, key=lambda act: act.at)


AGREEMENT_COLUMNS = ("criterion", "items", "flagged", "raw", "Krippendorff's alpha", "Gwet's AC1")


def show_agreement(log: ReviewLog, num_resamples: int = 300) -> list[list[str]]:
    """Rows of the agreement table; a single row with the reason if agreement can't be measured."""
    marks = to_marks(log.events())
    try:
        found = measure_agreement(marks, log.criteria, num_resamples)
    except ValueError as error:
        return [[str(error)]]
    rows = [[name, str(a.num_items), f"{a.flagged:.1%}", *_cells(a)] for name, a in found.items()]
    false = count_false_flags(marks)
    rates = ", ".join(f"{expert} {rate:.1%}" for expert, rate in false.by_expert.items())
    found_errors = [[f"{expert}: {found.show()}."] for expert, found in measure_sensitivity(log.items()).items()]
    return [*rows, [f"Flags on what most others pass: {rates or 'none yet'}"], [_cost(false)], *found_errors]


def _cells(agreement: Agreement) -> list[str]:
    def cell(interval: Interval | None) -> str:
        return "-" if interval is None else f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"

    return [cell(value) for value in (agreement.raw, agreement.alpha, agreement.ac1)]


def _cost(false: FalseFlags) -> str:
    return (
        f"If those flags are mistaken, {false.regenerated:.1%} of the good items are regenerated by the any-flag rule, "
        f"{false.regenerated_by_two:.1%} where a flag of one expert alone is dismissed by the keeper."
    )
