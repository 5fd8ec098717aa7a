"""MAIN: collect -> generate -> filter -> publish; with `--recipe mmdu` collect -> cluster -> generate -> ...

A build has two folders: OUT (the data set) and OUT.work (numbered stages, removed rows, the ledger). The same command
resumes: finished shards are kept. With a changed setting the stages that depend on it run again, and answers that were
paid for come from the ledger.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from mmcr_dataset.build_settings import BuildSettings
from mmcr_dataset.collect.document import DocumentSource
from mmcr_dataset.collect.draw import NOTES_NAME, Quota, draw_documents
from mmcr_dataset.collect.ranks import DrawOnRanks, drop_visits, visits_folder
from mmcr_dataset.collect.shards import collect_shards, find_resume_point
from mmcr_dataset.collect.sources.open_source import open_source
from mmcr_dataset.collect.visits import VisitTask
from mmcr_dataset.collect.web.window import Item
from mmcr_dataset.filters.clip_match import Matcher, open_matcher
from mmcr_dataset.filters.contamination import Against, index_sets
from mmcr_dataset.filters.decide import decide, thresholds_of
from mmcr_dataset.filters.filter_stage import FilterTask, score, write_kept
from mmcr_dataset.filters.prescreen import prescreen
from mmcr_dataset.filters.report import show_report
from mmcr_dataset.filters.rules import PAPER, read_modes
from mmcr_dataset.generate.ranks import GenerateTask
from mmcr_dataset.generate.run import generate
from mmcr_dataset.mmdu.cluster_stage import cluster_entries
from mmcr_dataset.mmdu.entries import images_apart
from mmcr_dataset.publish.card import write_card
from mmcr_dataset.publish.data_folder import begin_folder, check_replaceable, replace_folder
from mmcr_dataset.publish.describe import describe, write_statistics
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.publish.ranks import write_on_ranks
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import ImageLimits
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.progress import log_count, open_bar
from mmcr_dataset.stage.stages import ENTRIES, STAGES, Stage, StageCount, invalidate_shards, numbered, write_text
from mmcr_dataset.stage.takedowns import LOG_NAME, Takedowns, load_takedowns, publish_log, read_log
from mmcr_dataset.stage.work_folder import read_dialogues

MADE_BY = "build"


def build(settings: BuildSettings) -> list[StageCount]:
    """Build the data set; returns the counts of each finished stage, none if only publishing was submitted to a queue.

    Raises:
        ValueError: a setting is invalid, the source is unreadable, or no dialogue is left to publish.
    """
    check_replaceable(settings.out, MADE_BY)
    is_mmdu = settings.writer.recipe == "mmdu"
    source = open_source(settings.source, settings.licence, settings.columns, by_image=is_mmdu)
    settings.screen.check_source(settings.source, getattr(source, "probabilities", frozenset()))
    sets = list(index_sets(settings.evaluation_sets))
    open_once = cache(lambda: open_matcher(settings.matcher))
    if not settings.estimate_only and Stage.settings_on_disk(settings.work, "score") != _scored_by(settings):
        open_once()  # fail before anything is fetched or paid
    taken_out = load_takedowns(settings.out)
    entries = settings.work / ENTRIES if is_mmdu else None
    collected = collect(settings, images_apart(source) if is_mmdu else source, entries)
    if collected is None:
        return []
    counts = [collected]
    if is_mmdu:
        counts.append(
            cluster_entries(settings.work, settings.clusters, settings.seed, settings.num_multi, sets, taken_out)
        )
    against = Against(sets, taken_out)
    engine = EngineSettings() if settings.estimate_only else settings.engine
    if settings.writer.endpoint is not None and not prescreen(settings.work, against, engine):
        return counts
    fingerprints = tuple(one.fingerprint() for one in sets)
    task = GenerateTask(settings.work, settings.writer, settings.engine, fingerprints)
    generated = generate(task, settings.estimate_only)
    if generated is None:
        return counts
    counts.append(generated)
    filtered = filter_dialogues(settings, against, open_once)
    if filtered is None:
        return counts
    counts.append(filtered)
    write_text(settings.work / "report.html", show_report(settings.work, counts))
    if counts[-1].num_kept == 0:
        raise ValueError(f"nothing is left to publish; see the counts by reason above and {settings.work}/report.html")
    return counts if publish(settings, counts, taken_out) else []


def collect(settings: BuildSettings, source: DocumentSource, entries: Path | None = None) -> StageCount | None:
    """Sample documents, fetch and check their images, write candidates; None if a job was submitted to a queue.

    Args:
        settings: settings of the build.
        source: the documents.
        entries: work folder of the images to cluster, of which `num_single` are taken; None for that of the build.
    """
    limits = replace(settings.limits, reencode=settings.reencode)
    quota = Quota(settings.num_single, None if entries else settings.num_multi)
    wanted = [quota.single, quota.multi, settings.seed, settings.licence, asdict(settings.screen)]
    inputs = {"source": source.fingerprint, "take": wanted, "limits": _to_inputs(limits)}
    work = entries or settings.work
    stage = Stage.begin(work, "collect", inputs)
    first, num_before = find_resume_point(stage)
    documents: Iterator[Item] | None
    if settings.engine.name == "local":
        notes = stage.folder / NOTES_NAME
        documents = draw_documents(source, quota, settings.seed, settings.screen, notes, num_before)
    else:
        task = VisitTask(visits_folder(work, stage), settings.seed, settings.screen, settings.fetch, limits)
        documents = DrawOnRanks(source, quota, stage, num_before, task, work, settings.engine).results()
    if documents is None:
        return None
    with open_bar("collect", "document", quota.total) as bar:
        bar.update(num_before)
        changed = asyncio.run(collect_shards(stage, first, documents, settings.fetch, limits, bar.update))
    if entries is None:
        invalidate_shards(settings.work, "generate", changed)  # paid answers come from the ledger
    drop_visits(work)
    return log_count(stage.close())


def _to_inputs(limits: ImageLimits) -> dict[str, Any]:
    return {name: value for name, value in asdict(limits).items() if name != "reencode" or value}


def _scored_by(settings: BuildSettings) -> dict[str, Any]:
    return {"matcher": settings.matcher}


def filter_dialogues(
    settings: BuildSettings, against: Against, open_once: Callable[[], Matcher | None]
) -> StageCount | None:
    """Apply takedowns, rules, similarity, decontamination, dedup and the numbers by kind; each with its reason.

    Returns:
        Counts of the stage; None if a job was submitted to a queue.
    """
    work, keep, modes = settings.work, settings.keep, read_modes(settings.rules, settings.writer.recipe)
    generated, task = Stage.open(work, "generate"), FilterTask.make(work, settings.matcher, modes, against)
    scored = Stage.begin(work, "score", _scored_by(settings))
    if not score(task, scored, settings.engine, open_once):
        return None
    scored.close()
    asked: dict[str, Any] = {"similarity_min": thresholds_of(keep, work)}
    asked["evaluation_sets"] = [one.fingerprint() for one in against.sets]
    if keep.numbers or keep.image_shares:
        asked["keep"] = {"numbers": dict(keep.numbers), "image_shares": list(keep.image_shares.items())}
    if modes != PAPER:
        asked["rules"] = modes
    if against.taken_out:
        asked["taken_out"] = against.taken_out.fingerprint()
    stage = Stage.begin(work, "filter", {"input": [generated.content_hash(), scored.content_hash()], **asked})
    if not decide(work, asked["similarity_min"], keep, settings.engine):
        return None
    return log_count(stage.close()) if write_kept(task, stage, settings.engine) else None


def publish(settings: BuildSettings, counts: Sequence[StageCount], taken_out: Takedowns) -> bool:
    """Write shards, statistics, takedown log and card, then replace an earlier data set folder (atomic write).

    Returns:
        False if a job was submitted to a queue.
    """
    unfinished = begin_folder(settings.out)
    images = (settings.work / STAGES["collect"]).glob("*.parquet")
    texts = (path for _, path in numbered(settings.work / STAGES["filter"], "jsonl"))
    size_bytes = sum(path.stat().st_size for path in (*images, *texts))
    if settings.engine.name == "local":
        kept = read_dialogues(settings.work, "filter")
        write_dataset(_with_progress(kept, counts[-1].num_kept), unfinished, size_bytes)
    elif not write_on_ranks(settings.work, unfinished, size_bytes, settings.engine):
        return False
    write_text(unfinished / "funnel.json", json.dumps([asdict(count) for count in counts], indent=1) + "\n")
    gone = [entry for entry in taken_out.entries if "source" in entry]
    publish_log(unfinished, [*read_log(settings.out / LOG_NAME), *gone])
    write_statistics(unfinished, describe(unfinished))
    write_card(unfinished, settings.out.name)
    replace_folder(unfinished, settings.out, MADE_BY)
    return True


def _with_progress(dialogues: Iterator[Dialogue], total: int) -> Iterator[Dialogue]:
    with open_bar("publish", "row", total) as bar:
        for dialogue in dialogues:
            yield dialogue
            bar.update()
