"""MAIN of MMDU: encyclopedia -> data set -> draw -> review by a model or rules -> frozen bench in both file forms.

Every step resumes: a finished one is recognized by its files. For a review by people stop after the draw (`--until
draw`) and use `python -m mmcr_bench review`.
"""

from __future__ import annotations

import json
import logging
import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path

from mmcr_bench.build import build_bench
from mmcr_bench.freeze import freeze_review
from mmcr_bench.mmdu.model_review import mark_items
from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.rewriting import rewrite_flagged
from mmcr_bench.review.rounds import ROUNDS_MAX, Event
from mmcr_bench.select.candidates import load_by_id, read_ids
from mmcr_dataset.build_settings import BuildSettings
from mmcr_dataset.mmdu.made_wiki import write_made_wiki
from mmcr_dataset.pipeline import build
from mmcr_dataset.stage.stages import write_text

log = logging.getLogger(__name__)
MADE_WIKI = "made_wiki"
_WORST_ROUNDS = 2 * (ROUNDS_MAX + 1)  # of an item, and of what replaces it


@dataclass(frozen=True, slots=True)
class Places:
    """Folders and files beside the data set."""

    dataset: Path

    def beside(self, ending: str) -> Path:
        """A path with the data set's name and an ending."""
        return self.dataset.with_name(self.dataset.name + ending)


def make_mmdu(settings: BuildSettings, frozen: Path, items: int, reviewer: str, version: str) -> str:
    """Build the data set, draw and freeze a bench of it; returns what was frozen.

    Args:
        settings: settings of the data set; `source` made_wiki:N makes up a wiki of N pages beside it.
        frozen: new folder of the bench.
        items: number of dialogues to draw.
        reviewer: `rules`, or URL#MODEL of the model that marks every item.
        version: X.Y.Z.

    Raises:
        ValueError: `frozen` exists, or a step fails.
    """
    if frozen.exists():
        raise ValueError(f"{frozen}: exists; a frozen version is immutable, name another folder with --bench")
    places = Places(settings.out)
    settings = with_made_wiki(settings, places)
    draft, review = places.beside("-draft"), places.beside("-review.sqlite")
    drawn = places.beside("-draft.json")  # the draw is done, its dialogues are out of the data set
    if not drawn.is_file():
        if not draft.exists():
            build(settings)
        found = build_bench(settings.out, draft, 0, items, settings.seed, overwrite=draft.exists(), recipe="mmdu")
        log.info("%s", found.show())
        write_text(drawn, json.dumps({"items": items, "seed": settings.seed}) + "\n")
    with_review(settings, draft, review, reviewer)
    return freeze_review(review, frozen, version)


def with_made_wiki(settings: BuildSettings, places: Places) -> BuildSettings:
    """The settings with a folder in place of `made_wiki:N`, written if it isn't there."""
    kind, _, number = settings.source.partition(":")
    if kind != MADE_WIKI:
        return settings
    if not number.isdecimal():
        raise ValueError(f"--source {settings.source}: expected made_wiki:N, with the number of pages")
    folder = places.beside(f"-wiki-{number}-{settings.seed}")
    if not folder.exists():
        unfinished = folder.with_name(folder.name + ".unfinished")
        shutil.rmtree(unfinished, ignore_errors=True)  # ours, of an interrupted run
        num_images = write_made_wiki(unfinished, int(number), settings.seed)
        unfinished.rename(folder)
        log.info("%s: a made-up wiki of %s pages and %d images", folder, number, num_images)
    return replace(settings, source=f"wiki:{folder}")


def with_review(settings: BuildSettings, draft: Path, review: Path, reviewer: str) -> None:
    """Rounds of marks by one reviewer and rewriting, until every item has passed or was dropped with a reason.

    Raises:
        ValueError: the reviewer's replies can't be read.
    """
    opened = ReviewLog(review, 1, "mmdu")
    for dialogue in load_by_id([draft], sorted(read_ids(draft) - opened.items().keys())):
        opened.add_dialogue(Event("opened", dialogue.id, 1, "build", time.time()), dialogue)
    ledger = settings.out.with_name(settings.out.name + "-ledger.sqlite")
    for number in range(1, _WORST_ROUNDS + 1):
        marked = mark_items(opened, reviewer, ledger)
        log.info("review round %d: %d passed, %d flagged", number, marked.num_passed, marked.num_flagged)
        if marked.unread:
            raise ValueError(f"{review}: replies of {reviewer} can't be read ({marked.unread}); run the command again")
        if not marked.num_flagged:
            break
        done = rewrite_flagged(opened, settings.writer, ledger, settings.out, settings.seed)
        log.info("%d rewritten, %d redrawn; unusable: %s", done.num_regenerated, done.num_replaced, done.failures)
        if not done.num_regenerated and not done.num_replaced:
            break
    for item in opened.items().values():
        if item.status(1) not in ("passed", "dropped"):
            reason = f"flagged, and no rewriting or replacement passed in {number} rounds"
            opened.append(Event("dropped", item.name, item.version, "build", time.time(), note=reason))
    opened.close()
