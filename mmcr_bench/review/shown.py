"""What the review page shows of an item: turns with image blocks, what was flagged, and what a rewriting changed."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmcr_bench.judge.mmdu_rubric import CLUSTER, MMDU_DIMENSIONS
from mmcr_bench.judge.rubric import DIMENSIONS
from mmcr_bench.review.rounds import CRITERIA_OF, Event, Item
from mmcr_dataset.record.dialogue import image_entries
from mmcr_dataset.record.recipe import RecipeName

_EXAMPLES = {  # criterion -> good, bad
    "precision": (
        "“Two red boats lie on the left shore.” (short, and the image shows it)",
        "“One can see several nice things, such as boats or similar.” (vague), or three boats where there are two",
    ),
    "consistency": (
        "“Like the red boat of my first answer, this one has no sail.” (the same boat, described alike)",
        "“The blue boat I spoke of” where it was red, or image 2 described as image 1",
    ),
    "logical": (
        "A question about the boats, then about the shore they lie on, then about what both say of the place",
        "An answer to another question, or one that draws on what no turn and no image has said",
    ),
    "clarity": (
        "Every turn adds to one theme: how the harbour is used",
        "Two turns about the harbour, then one about prices of houses",
    ),
    "creativity": (
        "“Which of these bridges would still stand if the river rose by two metres?” (new, and the images can tell)",
        "Every question is “What do you see in image n?”",
    ),
    "richness": (
        "An answer that describes, compares, and adds what the page says",
        "“Image 2 shows a bridge.” and nothing else",
    ),
    "visual_perception": (
        "“The third arch of image 2 is walled up.” (and the image shows it)",
        "Four arches where there are three, or details that nobody can see",
    ),
    "logical_coherence": (
        "An answer that follows from what was said of images 1 to 3 before",
        "An answer that contradicts an earlier one, or answers another question",
    ),
    "answer_accuracy": (
        "The year in the answer is the year that the page gives",
        "A name, number or reason that neither the images nor the pages give",
    ),
    "image_relationship": (
        "“Unlike image 1, the deck of image 4 hangs from cables.” (the right images, a true difference)",
        "Image 4 described as image 1, or images told one by one without a word on what they share",
    ),
    "cluster": (
        "Eight bridges of different kinds and places",
        "Seven bridges and a fish, or the same bridge twice",
    ),
    "redundancy": (
        "The last answer sums up in one new sentence",
        "The last answer says again, in other words, what the first two said",
    ),
}


@dataclass(frozen=True, slots=True)
class Criterion:
    """A criterion at the point of use.

    Attributes:
        name: name in events.
        title: heading.
        bands: (scores, description), from worst to best.
        good: an example that passes.
        bad: an example to flag.
    """

    name: str
    title: str
    bands: tuple[tuple[str, str], ...]
    good: str
    bad: str


_BANDS = ("1-2", "3-4", "5-6", "7-8", "9-10")
SHOWN_CRITERIA: Mapping[RecipeName, tuple[Criterion, ...]] = {
    recipe: tuple(
        Criterion(d.name, d.title, tuple(zip(_BANDS, d.bands, strict=True)), *_EXAMPLES[d.name])
        for d in (*DIMENSIONS, *MMDU_DIMENSIONS, CLUSTER)
        if d.name in criteria
    )
    for recipe, criteria in CRITERIA_OF.items()
}


@dataclass(frozen=True, slots=True)
class Before:
    """The version before the one that is shown.

    Attributes:
        is_replaced: the item is a new draw, with other images; there is no diff.
        flags: criterion -> experts who flagged it.
        notes: what experts wrote, in alphabetical order, so that the order names nobody.
        turns: per turn the pieces of question and answer: (`same`, `new` or `old`, text).
    """

    is_replaced: bool
    flags: Mapping[str, int]
    notes: tuple[str, ...]
    turns: tuple[tuple[tuple[str, str], ...], ...]


def find_before(events: Iterable[Event], item: Item) -> Before | None:
    """What was flagged in the version before and what changed; None for a first version."""
    if item.version == 1:
        return None
    of_item = [event for event in events if event.item == item.name]
    old = [event for event in of_item if event.dialogue is not None and event.version == item.version - 1][-1]
    new = [event for event in of_item if event.dialogue is not None and event.version == item.version][-1]
    marks: dict[str, Event] = {}
    for event in of_item:
        if event.kind in ("marked", "withdrawn") and event.version == old.version:
            marks[event.actor] = event
    flagged = [mark for mark in marks.values() if mark.kind == "marked" and mark.flags]
    is_replaced = new.kind == "replaced"
    return Before(
        is_replaced,
        dict(sorted(Counter(flag for mark in flagged for flag in mark.flags).items())),
        tuple(sorted(mark.note for mark in flagged if mark.note.strip())),
        () if is_replaced or old.dialogue is None else _diff_turns(old.dialogue, item.dialogue),
    )


def _diff_turns(old: Mapping[str, Any], new: Mapping[str, Any]) -> tuple[tuple[tuple[str, str], ...], ...]:
    before, after = ([_turn_text(turn) for turn in dialogue["turns"]] for dialogue in (old, new))
    length = max(len(before), len(after))
    before += [""] * (length - len(before))
    after += [""] * (length - len(after))
    return tuple(tuple(diff_words(one, other)) for one, other in zip(before, after, strict=True))


def _turn_text(turn: Mapping[str, Any]) -> str:
    asked = "".join(block if isinstance(block, str) else f"[image {block}]" for block in turn["human"])
    return f"{asked.strip()}\n{turn['assistant']}"


def diff_words(old: str, new: str) -> list[tuple[str, str]]:
    """Pieces of both texts in reading order, by words.

    Example: `diff_words("a red boat", "a blue boat")` -> [("same", "a "), ("old", "red"), ("new", "blue"),
    ("same", " boat")]
    """
    before, after = (re.findall(r"\s+|\S+", text) for text in (old, new))
    pieces: list[tuple[str, str]] = []
    for kind, i1, i2, j1, j2 in difflib.SequenceMatcher(None, before, after, autojunk=False).get_opcodes():
        if kind == "equal":
            pieces.append(("same", _join(before[i1:i2])))
            continue
        pieces += [("old", _join(before[i1:i2]))] if i2 > i1 else []
        pieces += [("new", _join(after[j1:j2]))] if j2 > j1 else []
    return pieces


def _join(words: Sequence[str]) -> str:
    return "".join(words)


def to_shown_turns(dialogue: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Turns for the template: image blocks with number and hash."""
    hashes = [image["sha256"] for image in image_entries(dialogue)]
    return [
        {
            "human": [
                {"text": block} if isinstance(block, str) else {"number": block, "sha256": hashes[block - 1]}
                for block in turn["human"]
            ],
            "assistant": turn["assistant"],
        }
        for turn in dialogue["turns"]
    ]
