"""The review protocol as a pure state machine over events (paper 3.3: six experts, five criteria, rounds).

Every expert marks (annotates) the current version of an item; a mark without flags is a pass. Once all have marked it,
an item without flags has passed; a flagged one is regenerated and annotated again from scratch. An item that fails in
more than three rounds is replaced by a new draw of the same topic, which starts at round one.

A keeper can drop an item, with a reason, and decide on a flag that only one expert set (a lone flag). Calibration items
carry a planted error; they are marked like the others and never become a part of the bench.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from mmcr_bench.judge.mmdu_rubric import MMDU_CRITERIA
from mmcr_bench.judge.rubric import NAMES
from mmcr_dataset.record.recipe import RecipeName

CRITERIA = tuple(name for name in NAMES if name != "overall")
CRITERIA_OF: Mapping[RecipeName, tuple[str, ...]] = {"mmcr": CRITERIA, "mmdu": MMDU_CRITERIA}
NUM_EXPERTS = 6  # paper 3.3
ROUNDS_MAX = 3  # paper 3.3: discarded after "more than three rounds"

LONE_OF_MIN = 3  # experts from which a flag of one alone is called a lone flag

Kind = Literal["opened", "marked", "withdrawn", "regenerated", "replaced", "dropped", "adjudicated"]
Status = Literal["open", "passed", "regenerate", "replace", "dropped", "calibration"]


class ReviewConflict(ValueError):
    """An event is invalid in the current state; `.reason` is an error code, the message says what to do."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Event:
    """One entry of the log.

    Attributes:
        kind: opened, regenerated and replaced carry a dialogue; marked carries flags and a note; withdrawn nothing;
            dropped a reason as note; adjudicated the flags that stand (none: the lone flag is dismissed) and a reason.
        item: id of the item, stable over all versions.
        version: for marked and withdrawn the annotated version, otherwise the number of the new one.
        actor: the expert, or the program that wrote the dialogue.
        at: Unix time in seconds.
        flags: flagged criteria; of an opened calibration item the criteria of its planted error.
        note: the expert's comment, or a reason; of an opened calibration item what was planted.
        dialogue: `record.dialogue.to_json` of the new version.
    """

    kind: Kind
    item: str
    version: int
    actor: str
    at: float
    flags: tuple[str, ...] = ()
    note: str = ""
    dialogue: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Item:
    """Current state of one item of the bench.

    Attributes:
        name: id, stable over all versions.
        version: from 1, incremented by regenerations and replacements.
        round: from 1, reset by a replacement.
        dialogue: the current version in the form of `record.dialogue.to_json`.
        marks: the last mark of each expert on this version.
        planted: criteria of a calibration item's planted error, empty for an item of the bench.
        dropped: the keeper's reason, empty while it is in the bench.
        decision: the keeper's decision on the flags of this version.
    """

    name: str
    version: int
    round: int
    dialogue: Mapping[str, Any]
    marks: Mapping[str, Event] = field(default_factory=dict)
    planted: tuple[str, ...] = ()
    dropped: str = ""
    decision: Event | None = None

    def status(self, num_experts: int) -> Status:
        """Open until all experts have marked it; then passed, or the required action."""
        if self.dropped:
            return "dropped"
        if len(self.marks) < num_experts:
            return "open"
        if self.planted:
            return "calibration"
        is_dismissed = self.decision is not None and not self.decision.flags
        if is_dismissed or not any(mark.flags for mark in self.marks.values()):
            return "passed"
        return "regenerate" if self.round <= ROUNDS_MAX else "replace"

    def has_lone_flag(self, num_experts: int) -> bool:
        """Whether all have marked it, one expert alone flagged it, and the keeper hasn't decided."""
        if self.status(num_experts) not in ("regenerate", "replace") or self.decision is not None:
            return False
        return num_experts >= LONE_OF_MIN and sum(bool(mark.flags) for mark in self.marks.values()) == 1


def apply(items: Mapping[str, Item], event: Event, num_experts: int, criteria: Collection[str] = CRITERIA) -> Item:
    """The item after an event; the given state is not modified.

    Args:
        items: the state before.
        event: the event.
        num_experts: experts who mark each item.
        criteria: what may be flagged.

    Raises:
        ReviewConflict: unknown_item, known_item, stale_version, unknown_criterion, no_mark, panel_full, not_flagged,
            no_dialogue, dropped, no_reason, not_lone.
    """
    item = items.get(event.item)
    if event.kind == "opened":
        if item is not None:
            raise ReviewConflict("known_item", f"{event.item!r} is in the review already")
        return Item(event.item, 1, 1, _dialogue_of(event), planted=event.flags)
    if item is None:
        raise ReviewConflict("unknown_item", f"{event.item!r} is not in this review")
    if item.dropped:
        raise ReviewConflict("dropped", f"{event.item!r} has left the bench: {item.dropped}; go on with another item")
    if event.kind in ("regenerated", "replaced"):
        return _with_new_version(item, event, num_experts)
    if event.version != item.version:
        raise ReviewConflict(
            "stale_version",
            f"{event.item!r} was regenerated (version {item.version}, you saw {event.version}); review it again",
        )
    if event.kind == "marked":
        return _marked(item, event, num_experts, criteria)
    if event.kind == "dropped":
        return replace(item, dropped=_reason_of(event))
    return _adjudicated(item, event, num_experts) if event.kind == "adjudicated" else _withdrawn(item, event)


def _reason_of(event: Event) -> str:
    if not event.note.strip():
        raise ReviewConflict("no_reason", f"{event.kind} of {event.item!r} needs a reason")
    return event.note.strip()


def _adjudicated(item: Item, event: Event, num_experts: int) -> Item:
    _reason_of(event)
    if not item.has_lone_flag(num_experts):
        raise ReviewConflict("not_lone", f"{item.name!r} has no lone flag that waits for a decision")
    given = {flag for mark in item.marks.values() for flag in mark.flags}
    if not set(event.flags) <= given:
        raise ReviewConflict("unknown_criterion", f"{sorted(event.flags)}, expected none or some of {sorted(given)}")
    return replace(item, decision=event)


def _dialogue_of(event: Event) -> Mapping[str, Any]:
    if event.dialogue is None:
        raise ReviewConflict("no_dialogue", f"{event.kind} of {event.item!r} carries no dialogue")
    return event.dialogue


def _with_new_version(item: Item, event: Event, num_experts: int) -> Item:
    status = item.status(num_experts)
    if status not in ("regenerate", "replace") or event.version != item.version + 1:
        raise ReviewConflict(
            "not_flagged", f"{item.name!r} version {item.version} is {status}; only a flagged version is regenerated"
        )
    number = 1 if event.kind == "replaced" else item.round + 1
    return Item(item.name, event.version, number, _dialogue_of(event))


def _marked(item: Item, event: Event, num_experts: int, criteria: Collection[str]) -> Item:
    unknown = set(event.flags) - set(criteria)
    if unknown:
        raise ReviewConflict("unknown_criterion", f"{sorted(unknown)}, expected some of {list(criteria)}")
    if event.actor not in item.marks and len(item.marks) >= num_experts:
        raise ReviewConflict("panel_full", f"{item.name!r} has been marked by its {num_experts} experts")
    return replace(item, marks={**item.marks, event.actor: event}, decision=None)


def _withdrawn(item: Item, event: Event) -> Item:
    if event.actor not in item.marks:
        raise ReviewConflict("no_mark", f"{event.actor} has no mark on {item.name!r} to withdraw")
    marks = {expert: mark for expert, mark in item.marks.items() if expert != event.actor}
    return replace(item, marks=marks, decision=None)
