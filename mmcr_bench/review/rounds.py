"""The review protocol as a pure state machine over events (paper 3.3: six experts, five criteria, rounds).

Every expert marks (annotates) the current version of an item; a mark without flags is a pass. Once all have marked it,
an item without flags has passed; a flagged one is regenerated and annotated again from scratch. An item that fails in
more than three rounds is replaced by a new draw of the same topic, which starts at round one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mmcr_bench.judge.rubric import NAMES

CRITERIA = tuple(name for name in NAMES if name != "overall")
NUM_EXPERTS = 6  # paper 3.3
ROUNDS_MAX = 3  # paper 3.3: discarded after "more than three rounds"

Kind = Literal["opened", "marked", "withdrawn", "regenerated", "replaced"]
Status = Literal["open", "passed", "regenerate", "replace"]


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
        kind: opened, regenerated and replaced carry a dialogue; marked carries flags and a note; withdrawn nothing.
        item: id of the item, stable over all versions.
        version: for marked and withdrawn the annotated version, otherwise the number of the new one.
        actor: the expert, or the program that wrote the dialogue.
        at: Unix time in seconds.
        flags: flagged criteria.
        note: the expert's comment.
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
    """

    name: str
    version: int
    round: int
    dialogue: Mapping[str, Any]
    marks: Mapping[str, Event] = field(default_factory=dict)

    def status(self, num_experts: int) -> Status:
        """Open until all experts have marked it; then passed, or the required action."""
        if len(self.marks) < num_experts:
            return "open"
        if not any(mark.flags for mark in self.marks.values()):
            return "passed"
        return "regenerate" if self.round <= ROUNDS_MAX else "replace"


def apply(items: Mapping[str, Item], event: Event, num_experts: int) -> Item:
    """The item after an event; the given state is not modified.

    Raises:
        ReviewConflict: unknown_item, known_item, stale_version, unknown_criterion, no_mark, panel_full, not_flagged,
            no_dialogue.
    """
    item = items.get(event.item)
    if event.kind == "opened":
        if item is not None:
            raise ReviewConflict("known_item", f"{event.item!r} is in the review already")
        return Item(event.item, 1, 1, _dialogue_of(event))
    if item is None:
        raise ReviewConflict("unknown_item", f"{event.item!r} is not in this review")
    if event.kind in ("regenerated", "replaced"):
        return _with_new_version(item, event, num_experts)
    if event.version != item.version:
        raise ReviewConflict(
            "stale_version",
            f"{event.item!r} was regenerated (version {item.version}, you saw {event.version}); review it again",
        )
    return _marked(item, event, num_experts) if event.kind == "marked" else _withdrawn(item, event)


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


def _marked(item: Item, event: Event, num_experts: int) -> Item:
    unknown = set(event.flags) - set(CRITERIA)
    if unknown:
        raise ReviewConflict("unknown_criterion", f"{sorted(unknown)}, expected some of {list(CRITERIA)}")
    if event.actor not in item.marks and len(item.marks) >= num_experts:
        raise ReviewConflict("panel_full", f"{item.name!r} has been marked by its {num_experts} experts")
    return Item(item.name, item.version, item.round, item.dialogue, {**item.marks, event.actor: event})


def _withdrawn(item: Item, event: Event) -> Item:
    if event.actor not in item.marks:
        raise ReviewConflict("no_mark", f"{event.actor} has no mark on {item.name!r} to withdraw")
    marks = {expert: mark for expert, mark in item.marks.items() if expert != event.actor}
    return Item(item.name, item.version, item.round, item.dialogue, marks)
