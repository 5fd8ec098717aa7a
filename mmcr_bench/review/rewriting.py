"""Handling of flagged items: the writer regenerates the dialogue, or another of the same topic replaces it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.rounds import Event, Item, ReviewConflict
from mmcr_bench.select.candidates import load_by_id, read_candidates
from mmcr_bench.select.draw import Candidate as DrawCandidate
from mmcr_bench.select.draw import Images, add_images, draw_order, find_contaminated, shares_image
from mmcr_bench.select.topics_of_rows import read_topics, with_topic_of, with_topics
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.filters.rules import MODES_OF, reason_to_drop
from mmcr_dataset.generate.dialogues import write_dialogues
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.remove import remove_rows
from mmcr_dataset.record.dialogue import Dialogue, Turn, image_entries
from mmcr_dataset.record.plain_text import cut_text
from mmcr_dataset.stage.stages import Removed

_NOTE_CHARACTERS = 400
ATTEMPTS_MAX = 3  # consecutive unusable replies of the writer before the item is replaced
_CHANGED = "review_changed"  # an expert or the keeper changed the item while it was rewritten
_TRANSIENT = ("timeout", "connection", _CHANGED)  # not failures of the item: retried in the next call


@dataclass(frozen=True, slots=True)
class Rewriting:
    """Result of a rewrite.

    Attributes:
        num_regenerated: number of regenerated items.
        num_replaced: number of redrawn items.
        failures: unusable or missing replies of the writer, by reason.
        shortages: items without a replacement in the data set, by topic.
        num_lone: items that wait for the keeper's decision on a lone flag.
    """

    num_regenerated: int
    num_replaced: int
    failures: Mapping[str, int]
    shortages: Mapping[str, int]
    num_lone: int = 0


def rewrite_flagged(
    log: ReviewLog,
    settings: WriterSettings,
    ledger_path: Path,
    dataset: Path,
    seed: int,
    *,
    wait_for_decisions: bool = False,
) -> Rewriting:
    """Create a new version of every flagged item.

    An item with three unusable replies of the writer is redrawn; one that failed with an endpoint error stays flagged
    for the next call.

    Args:
        log: the review.
        settings: settings of the writer.
        ledger_path: SQLite file that stores paid replies.
        dataset: folder that replacements are drawn from; they and dialogues sharing their images are removed from it.
        seed: seed of the draw.
        wait_for_decisions: leave items alone that only one expert flagged until the keeper has decided.
    """
    items = list(log.items().values())
    lone = [item for item in items if wait_for_decisions and item.has_lone_flag(log.num_experts)]
    items = [item for item in items if item not in lone]
    waiting = [item for item in items if item.status(log.num_experts) == "regenerate"]
    failed = [item for item in items if item.status(log.num_experts) == "replace"]
    num_regenerated = 0
    failures: Counter[str] = Counter()
    for attempt in range(1, ATTEMPTS_MAX + 1):
        candidates = [_to_candidate(log, item, attempt, settings.writer) for item in waiting]
        written = write_dialogues(candidates, settings, ledger_path, _no_progress)
        unusable: list[Item] = []
        for item, found in zip(waiting, written, strict=True):
            reason = _store_version(log, item, found, settings.writer)
            if reason is None:
                num_regenerated += 1
                continue
            failures[reason] += 1
            if reason not in _TRANSIENT and not reason.startswith("http_"):
                unusable.append(item)
        waiting = unusable
    failed += waiting
    num_replaced, shortages = _replace_failed(log, failed, dataset, seed) if failed else (0, Counter[str]())
    return Rewriting(num_regenerated, num_replaced, dict(failures), dict(shortages), len(lone))


def _store_version(log: ReviewLog, item: Item, found: Dialogue | Removed, writer: str) -> str | None:
    """Store a new version in the review; None, or the reason why it is unusable."""
    if isinstance(found, Removed):
        return found.reason
    before = log.dialogue(item)
    if found.turns == before.turns:
        return "unchanged"
    dropped = reason_to_drop(found, MODES_OF[log.recipe])
    if dropped is not None:
        return dropped[0]
    event = Event("regenerated", item.name, item.version + 1, writer, time.time())
    try:
        log.add_dialogue(event, replace(found, domain=before.domain, topic=before.topic))
    except ReviewConflict:
        return _CHANGED
    return None


def _no_progress(note: str) -> None:
    """Progress callback that shows nothing."""


def _to_candidate(log: ReviewLog, item: Item, attempt: int, writer: str) -> Candidate:
    """Input of the writer: the images, the rejected conversation, and the experts' notes.

    The offline writer quotes its input and can't follow notes, so it gets the images alone.
    """
    dialogue = log.dialogue(item)
    numbers = range(1, len(dialogue.images) + 1)
    name = f"{item.name} version {item.version + 1}"
    if writer == "offline":
        return Candidate(name, tuple(numbers), dialogue.images, dialogue.source)
    if log.recipe == "mmdu":
        return Candidate(name, tuple(_to_mmdu_blocks(item, dialogue, attempt)), dialogue.images, dialogue.source)
    text = "\n".join([*_show_turns(dialogue.turns), "", "What reviewers found wrong with it:", *_show_flags(item)])
    text = f"A former conversation, version {item.version}, attempt {attempt} to write a better one:\n{text}"
    return Candidate(name, (*numbers, text), dialogue.images, dialogue.source)


def _to_mmdu_blocks(item: Item, dialogue: Dialogue, attempt: int) -> Iterator[int | str]:
    """Each image with the notes and what was said of it, for a writer whose requests show a few images each."""
    note = f"Version {item.version}, attempt {attempt}. Reviewers found wrong: {'; '.join(_show_flags(item))}"
    for turn in dialogue.turns:
        for number in turn.introduces:
            yield number
            yield f"{cut_text(note, _NOTE_CHARACTERS)}\nFormerly said of image {number}: {turn.assistant}"


def _show_turns(turns: Iterable[Turn]) -> list[str]:
    return [f"Question: {turn.human_text}\nAnswer: {turn.assistant}" for turn in turns]


def _show_flags(item: Item) -> list[str]:
    """One line per criterion and per note, anonymized."""
    flags = Counter(flag for mark in item.marks.values() for flag in mark.flags)
    lines = [f"{flag}: {count} of {len(item.marks)}" for flag, count in sorted(flags.items())]
    return lines + sorted(mark.note for mark in item.marks.values() if mark.flags and mark.note.strip())


def _replace_failed(log: ReviewLog, items: Sequence[Item], dataset: Path, seed: int) -> tuple[int, Counter[str]]:
    """Draw a new dialogue of the same topic and kind for each item; returns their number and the shortages by topic."""
    topics = read_topics(dataset)
    candidates = [with_topic_of(candidate, topics) for candidate in read_candidates([dataset])[0]]
    seen = Images()
    for event in log.events():
        if event.dialogue is not None:
            hashes = [image["phash"] for image in image_entries(event.dialogue) if image["phash"]]
            add_images(seen, DrawCandidate(event.item, None, tuple(hashes)))
    shortages: Counter[str] = Counter()
    drawn: list[str] = []
    for item in items:
        topic, count = item.dialogue["topic"], len(image_entries(item.dialogue))
        same = [c for c in candidates if c.topic == topic and (len(c.phashes) > 1) == (count > 1) and c.phashes]
        free = next((c for c in draw_order(same, seed) if c.id not in drawn and not shares_image(seen, c)), None)
        if free is None:
            shortages[str(topic)] += 1
            continue
        (dialogue,) = load_by_id([dataset], [free.id])
        event = Event("replaced", item.name, item.version + 1, "draw", time.time())
        try:
            log.add_dialogue(event, with_topics(dialogue, topics))
        except ReviewConflict:  # withdrawn or dropped meanwhile: the drawn dialogue stays in the data set
            continue
        add_images(seen, free)
        drawn.append(free.id)
    why = dict.fromkeys(drawn, "drawn for the bench") | dict.fromkeys(
        find_contaminated(candidates, drawn), "shows an image of the bench"
    )
    if why:
        remove_rows(dataset, why)
        refresh_card(dataset)
    return len(drawn), shortages
