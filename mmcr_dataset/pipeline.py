"""MAIN: collect -> generate -> filter -> publish; with `--recipe mmdu` collect -> cluster -> generate -> ...

A build has two folders: OUT (the data set) and OUT.work (numbered stages, removed rows, the ledger). The same command
resumes: finished shards are kept. With a changed setting the stages that depend on it run again, and answers that were
paid for come from the ledger.
"""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, replace
from functools import cache
from pathlib import Path
from typing import Any

from mmcr_dataset.build_settings import BuildSettings
from mmcr_dataset.collect.document import DocumentSource
from mmcr_dataset.collect.draw import Quota, draw_documents
from mmcr_dataset.collect.shards import collect_shards, find_resume_point
from mmcr_dataset.collect.sources.open_source import open_source
from mmcr_dataset.filters.clip_match import Matcher, open_matcher
from mmcr_dataset.filters.contamination import SetIndex, index_sets
from mmcr_dataset.filters.decide import Decisions, decide, thresholds_of
from mmcr_dataset.filters.prescreen import prescreen
from mmcr_dataset.filters.report import show_report
from mmcr_dataset.filters.rules import PAPER, read_modes, violated_but_kept
from mmcr_dataset.filters.scores import drop_other_shards, score_shard, with_similarity
from mmcr_dataset.generate.ranks import GenerateTask
from mmcr_dataset.generate.run import generate
from mmcr_dataset.mmdu.cluster_stage import cluster_entries
from mmcr_dataset.mmdu.entries import images_apart
from mmcr_dataset.publish.card import write_card
from mmcr_dataset.publish.data_folder import begin_folder, check_replaceable, replace_folder
from mmcr_dataset.publish.describe import describe, write_statistics
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import ImageLimits
from mmcr_dataset.stage.progress import log_count, open_bar
from mmcr_dataset.stage.stages import (
    ENTRIES,
    STAGES,
    Removed,
    Stage,
    StageCount,
    invalidate_shards,
    write_jsonl,
    write_text,
)
from mmcr_dataset.stage.takedowns import LOG_NAME, Takedowns, load_takedowns, publish_log, read_log
from mmcr_dataset.stage.work_folder import read_dialogues, read_similarities, read_values, without_images

MADE_BY = "build"


def build(settings: BuildSettings) -> list[StageCount]:
    """Build the data set; returns the counts of each stage.

    Raises:
        ValueError: a setting is invalid, the source is unreadable, or no dialogue is left to publish.
    """
    check_replaceable(settings.out, MADE_BY)
    is_mmdu = settings.writer.recipe == "mmdu"
    source = open_source(settings.source, settings.licence, by_image=is_mmdu)
    settings.screen.check_source(settings.source, getattr(source, "probabilities", frozenset()))
    sets = list(index_sets(settings.evaluation_sets))
    open_once = cache(lambda: open_matcher(settings.matcher))
    if not settings.estimate_only and Stage.settings_on_disk(settings.work, "score") != _scored_by(settings):
        open_once()  # fail before anything is fetched or paid
    taken_out = load_takedowns(settings.out)
    if is_mmdu:
        counts = [collect(settings, images_apart(source), settings.work / ENTRIES)]
        counts += [
            cluster_entries(settings.work, settings.clusters, settings.seed, settings.num_multi, sets, taken_out)
        ]
    else:
        counts = [collect(settings, source)]
    if settings.writer.endpoint is not None:
        prescreen(settings.work, sets, taken_out)
    fingerprints = tuple(one.fingerprint() for one in sets)
    task = GenerateTask(settings.work, settings.writer, settings.engine, fingerprints)
    generated = generate(task, settings.estimate_only)
    if generated is None:
        return counts
    counts += [generated, filter_dialogues(settings, sets, taken_out, open_once)]
    write_text(settings.work / "report.html", show_report(settings.work, counts))
    if counts[-1].num_kept == 0:
        raise ValueError(f"nothing is left to publish; see the counts by reason above and {settings.work}/report.html")
    publish(settings, counts, taken_out)
    return counts


def collect(settings: BuildSettings, source: DocumentSource, entries: Path | None = None) -> StageCount:
    """Sample documents, fetch and check their images, write candidates.

    Args:
        settings: settings of the build.
        source: the documents.
        entries: work folder of the images to cluster, of which `num_single` are taken; None for that of the build.
    """
    limits = replace(settings.limits, reencode=settings.reencode)
    quota = Quota(settings.num_single, None if entries else settings.num_multi)
    wanted = [quota.single, quota.multi, settings.seed, settings.licence, asdict(settings.screen)]
    inputs = {"source": source.fingerprint, "take": wanted, "limits": _to_inputs(limits)}
    stage = Stage.begin(entries or settings.work, "collect", inputs)
    first, num_before = find_resume_point(stage)
    notes = stage.folder / "parts_drawn.jsonl"
    documents = draw_documents(source, quota, settings.seed, settings.screen, notes, num_before)
    with open_bar("collect", "document", quota.total) as bar:
        bar.update(num_before)
        changed = asyncio.run(collect_shards(stage, first, documents, settings.fetch, limits, bar.update))
    if entries is None:
        invalidate_shards(settings.work, "generate", changed)  # paid answers come from the ledger
    return log_count(stage.close())


def _to_inputs(limits: ImageLimits) -> dict[str, Any]:
    return {name: value for name, value in asdict(limits).items() if name != "reencode" or value}


def _scored_by(settings: BuildSettings) -> dict[str, Any]:
    return {"matcher": settings.matcher}


def filter_dialogues(
    settings: BuildSettings,
    sets: Sequence[SetIndex],
    taken_out: Takedowns,
    open_once: Callable[[], Matcher | None],
) -> StageCount:
    """Apply takedowns, rules, similarity, decontamination, dedup and the numbers by kind; each with its reason."""
    generated = Stage.open(settings.work, "generate")
    scored = Stage.begin(settings.work, "score", _scored_by(settings))
    modes = read_modes(settings.rules, settings.writer.recipe)
    broken: Decisions = {}
    with open_bar("similarity", "dialogue", generated.count().num_kept) as bar:
        for number, values in read_values(settings.work, "generate"):
            broken[number] = score_shard(scored, settings.work, number, values, open_once, modes)
            bar.update(len(values))
    drop_other_shards(scored, broken)
    scored.close()
    scores = read_similarities(settings.work)
    keep = settings.keep
    asked: dict[str, Any] = {"similarity_min": thresholds_of(keep, scores)}
    asked["evaluation_sets"] = [one.fingerprint() for one in sets]
    if keep.numbers or keep.image_shares:
        asked["keep"] = {"numbers": dict(keep.numbers), "image_shares": list(keep.image_shares.items())}
    if modes != PAPER:
        asked["rules"] = modes
    if taken_out:
        asked["taken_out"] = taken_out.fingerprint()
    stage = Stage.begin(settings.work, "filter", {"input": [generated.content_hash(), scored.content_hash()], **asked})
    decisions = decide(settings.work, broken, scores, keep, sets, taken_out)
    for number, values in read_values(settings.work, "generate"):
        if stage.is_finished(number):
            continue
        decided = list(zip(values, decisions[number], strict=True))
        kept = [with_similarity(value, scores.get(value["id"], [])) for value, reason in decided if reason is None]
        write_jsonl(stage.shard(number, "jsonl"), kept)
        removed = [Removed(value["id"], *reason) for value, reason in decided if reason is not None]
        counted = Counter(name for value in kept for name in violated_but_kept(without_images(value), modes))
        stage.finish(number, len(values), len(kept), removed, counted=counted)
    return log_count(stage.close())


def publish(settings: BuildSettings, counts: Sequence[StageCount], taken_out: Takedowns) -> None:
    """Write shards, statistics, takedown log and card, then replace an earlier data set folder (atomic write)."""
    unfinished = begin_folder(settings.out)
    size_bytes = sum(path.stat().st_size for path in (settings.work / STAGES["collect"]).glob("*.parquet"))
    kept = read_dialogues(settings.work, "filter")
    write_dataset(_with_progress(kept, counts[-1].num_kept), unfinished, size_bytes)
    write_text(unfinished / "funnel.json", json.dumps([asdict(count) for count in counts], indent=1) + "\n")
    gone = [entry for entry in taken_out.entries if "source" in entry]
    publish_log(unfinished, [*read_log(settings.out / LOG_NAME), *gone])
    write_statistics(unfinished, describe(unfinished))
    write_card(unfinished, settings.out.name)
    replace_folder(unfinished, settings.out, MADE_BY)


def _with_progress(dialogues: Iterator[Dialogue], total: int) -> Iterator[Dialogue]:
    with open_bar("publish", "row", total) as bar:
        for dialogue in dialogues:
            yield dialogue
            bar.update()
