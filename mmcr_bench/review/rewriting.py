"""What follows a flag: the writer regenerates the dialogue, or another of the same topic takes its place."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.rounds import Event, Item
from mmcr_bench.select.candidates import load_by_id, read_candidates
from mmcr_bench.select.draw import Candidate as DrawCandidate
from mmcr_bench.select.draw import Images, add_images, find_sharing, shows_any, to_order
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.filters.rules import reason_to_drop
from mmcr_dataset.generate.dialogues import write_dialogues
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.remove import remove_rows
from mmcr_dataset.record.dialogue import Dialogue, Turn, image_entries
from mmcr_dataset.stage.stages import Removed

ATTEMPTS_MAX = 3  # unusable replies of the writer in a row, then another dialogue is drawn
_PASSING = ("timeout", "connection")  # failures that say nothing about the item: the next call tries again


@dataclass(frozen=True, slots=True)
class Rewriting:
    """What was done.

    Attributes:
        num_regenerated: items regenerated.
        num_replaced: items redrawn.
        failures: unusable or missing replies of the writer, by reason.
        shortages: items for which the data set has no other dialogue, by topic.
    """

    num_regenerated: int
    num_replaced: int
    failures: Mapping[str, int]
    shortages: Mapping[str, int]


def rewrite_flagged(log: ReviewLog, settings: WriterSettings, ledger_path: Path, dataset: Path, seed: int) -> Rewriting:
    """Give every flagged item a new version.

    An item whose writer gives nothing usable three times is redrawn; one that the endpoint could not answer stays
    flagged for the next call.

    Args:
        log: the review.
        settings: the writer.
        ledger_path: where paid replies are kept.
        dataset: folder that replacements are drawn from; they and their look-alikes leave it.
        seed: of that draw.
    """
    items = log.items().values()
    waiting = [item for item in items if item.status(log.num_experts) == "regenerate"]
    failed = [item for item in items if item.status(log.num_experts) == "replace"]
    num_regenerated = 0
    failures: Counter[str] = Counter()
    for attempt in range(1, ATTEMPTS_MAX + 1):
        candidates = [_to_candidate(log, item, attempt, settings.writer) for item in waiting]
        written = write_dialogues(candidates, settings, ledger_path, _be_quiet)
        unusable: list[Item] = []
        for item, found in zip(waiting, written, strict=True):
            reason = _store_version(log, item, found, settings.writer)
            if reason is None:
                num_regenerated += 1
                continue
            failures[reason] += 1
            if reason not in _PASSING and not reason.startswith("http_"):
                unusable.append(item)
        waiting = unusable
    failed += waiting
    shortages = _replace_failed(log, failed, dataset, seed) if failed else Counter()
    return Rewriting(num_regenerated, len(failed) - sum(shortages.values()), dict(failures), dict(shortages))


def _store_version(log: ReviewLog, item: Item, found: Dialogue | Removed, writer: str) -> str | None:
    """Put a new version into the review; None, or the reason why it can't be used."""
    if isinstance(found, Removed):
        return found.reason
    before = log.dialogue(item)
    if found.turns == before.turns:
        return "unchanged"
    dropped = reason_to_drop(found)
    if dropped is not None:
        return dropped[0]
    event = Event("regenerated", item.name, item.version + 1, writer, time.time())
    log.add_dialogue(event, replace(found, domain=before.domain, topic=before.topic))
    return None


def _be_quiet(note: str) -> None:
    """A review rewrites a few items; it needs no progress line."""


def _to_candidate(log: ReviewLog, item: Item, attempt: int, writer: str) -> Candidate:
    """What the writer gets: the images, the rejected conversation, and what the experts wrote about it.

    The offline writer quotes what it gets and can't be told what is wrong, so it gets the images alone.
    """
    dialogue = log.dialogue(item)
    numbers = range(1, len(dialogue.images) + 1)
    name = f"{item.name} version {item.version + 1}"
    if writer == "offline":
        return Candidate(name, tuple(numbers), dialogue.images, dialogue.source)
    text = "\n".join([*_show_turns(dialogue.turns), "", "What reviewers found wrong with it:", *_show_flags(item)])
    text = f"A former conversation, version {item.version}, attempt {attempt} to write a better one:\n{text}"
    return Candidate(name, (*numbers, text), dialogue.images, dialogue.source)


def _show_turns(turns: Iterable[Turn]) -> list[str]:
    return [f"Question: {turn.human_text}\nAnswer: {turn.assistant}" for turn in turns]


def _show_flags(item: Item) -> list[str]:
    """One line a criterion and a note; who said it stays in the log."""
    flags = Counter(flag for mark in item.marks.values() for flag in mark.flags)
    lines = [f"{flag}: {count} of {len(item.marks)}" for flag, count in sorted(flags.items())]
    return lines + sorted(mark.note for mark in item.marks.values() if mark.flags and mark.note.strip())


def _replace_failed(log: ReviewLog, items: Sequence[Item], dataset: Path, seed: int) -> Counter[str]:
    """Draw a new dialogue of the same topic and kind for each item; returns what is missing, by topic."""
    candidates, _ = read_candidates([dataset])
    seen = Images()
    for event in log.events():
        if event.dialogue is not None:
            hashes = [image["phash"] for image in image_entries(event.dialogue) if image["phash"]]
            add_images(seen, DrawCandidate(event.item, None, tuple(hashes)))
    shortages: Counter[str] = Counter()
    drawn: list[str] = []
    for item in items:
        topic, count = item.dialogue["topic"], len(image_entries(item.dialogue))
        alike = [c for c in candidates if c.topic == topic and (len(c.phashes) > 1) == (count > 1) and c.phashes]
        free = next((c for c in to_order(alike, seed) if c.id not in drawn and not shows_any(seen, c)), None)
        if free is None:
            shortages[str(topic)] += 1
            continue
        add_images(seen, free)
        drawn.append(free.id)
        (dialogue,) = load_by_id([dataset], [free.id])
        log.add_dialogue(Event("replaced", item.name, item.version + 1, "draw", time.time()), dialogue)
    why = dict.fromkeys(drawn, "drawn for the bench") | dict.fromkeys(
        find_sharing(candidates, drawn), "shows an image of the bench"
    )
    if why:
        remove_rows(dataset, why)
        refresh_card(dataset)
    return shortages
