"""MAIN: collect -> generate -> filter -> publish. Reads top to bottom; each step is one call a shard.

A build has two folders: OUT (what is published) and OUT.work (numbered stages, removed rows, the ledger). Run the same
command again and finished shards are kept; change a setting and the stages it concerns are made again, while answers
that were paid for come from the ledger.
"""

from __future__ import annotations

import asyncio
import json
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np

from mmcr_dataset.collect.candidates import (
    draw_ids,
    open_source,
    read_candidates,
    read_shards_of_documents,
    write_candidates,
)
from mmcr_dataset.collect.document import Candidate, Document, to_candidate
from mmcr_dataset.collect.fetch import FetchSettings, fetch_pictures
from mmcr_dataset.describe import describe, write_statistics
from mmcr_dataset.engine import EngineSettings, Writing
from mmcr_dataset.filters.clip_match import Matcher, open_matcher, score_dialogues
from mmcr_dataset.filters.rules import reason_to_drop
from mmcr_dataset.generate.dialogues import WriterSettings
from mmcr_dataset.generate.run import generate
from mmcr_dataset.images import PictureLimits
from mmcr_dataset.progress import open_bar as _progress
from mmcr_dataset.progress import show_count as _show
from mmcr_dataset.publish.card import write_card
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.schema import Dialogue, from_json, to_json
from mmcr_dataset.stages import Removed, Stage, StageCount, read_jsonl, write_jsonl, write_text

ROWS_A_SHARD = 100


@dataclass(frozen=True, slots=True)
class BuildSettings:
    """A build.

    Attributes:
        source: `demo`, OmniCorpus Parquet (file or folder), or a folder of pictures and texts.
        out: folder of the finished data set; its name is the data set's name.
        num_single: documents of one picture to take, None for all.
        num_multi: documents of several pictures to take, None for all.
        seed: of the draw.
        licence: licence of the pictures and texts, where the source does not say.
        writer: who writes the dialogues, and how.
        matcher: `none`, `labels`, `open_clip` or `open_clip:MODEL/PRETRAINED`.
        similarity_min: least cosine of every picture and its text; None with `keep_rate`.
        keep_rate: share (0..1] of the dialogues to keep by similarity, instead of a threshold.
        fetch: politeness and patience on the web.
        limits: what a picture may be.
        estimate_only: stop before the first request is paid, having said what all of them cost.
        engine: where the writer runs.
    """

    source: str
    out: Path
    num_single: int | None = None
    num_multi: int | None = None
    seed: int = 0
    licence: str | None = None
    writer: WriterSettings = field(default_factory=WriterSettings)
    matcher: str = "none"
    similarity_min: float | None = None
    keep_rate: float | None = None
    fetch: FetchSettings = field(default_factory=FetchSettings)
    limits: PictureLimits = field(default_factory=PictureLimits)
    estimate_only: bool = False
    engine: EngineSettings = field(default_factory=EngineSettings)

    def __post_init__(self) -> None:
        for flag, number in (("--single", self.num_single), ("--multi", self.num_multi)):
            if number is not None and number < 0:
                raise ValueError(f"{flag} {number}: expected a number of documents, 0 or more")
        if self.keep_rate is not None and not 0 < self.keep_rate <= 1:
            raise ValueError(f"--keep-rate {self.keep_rate}: expected a share above 0 and at most 1")
        if self.similarity_min is not None and self.keep_rate is not None:
            raise ValueError("--similarity-min and --keep-rate: give one of them")
        if self.matcher == "none" and (self.similarity_min is not None or self.keep_rate is not None):
            raise ValueError("--filter none measures nothing: leave --similarity-min and --keep-rate out")
        if self.engine.name != "local" and self.writer.writer != "openai":
            raise ValueError(f"--engine {self.engine.name}: goes with --writer openai, got {self.writer.writer}")
        if self.out.exists() and not self.out.is_dir():
            raise ValueError(f"--out {self.out}: a file is in the way")

    @property
    def work(self) -> Path:
        """Folder of the stages, beside the data set so that publishing can't pick it up."""
        return self.out.with_name(self.out.name + ".work")


def build(settings: BuildSettings) -> list[StageCount]:
    """Make the data set; returns what each stage kept and removed.

    Raises:
        ValueError: a setting is wrong, the source is unreadable, or nothing is left to publish.
    """
    counts = [_collect(settings)]
    task = Writing(settings.work, settings.writer, settings.engine)
    generated = generate(task, settings.estimate_only)
    if generated is None:
        return counts
    counts += [generated, _filter(settings)]
    if counts[-1].num_kept == 0:
        raise ValueError(
            f"nothing is left to publish; the reasons are counted above, the rows are in {settings.work}/*_removed"
        )
    _publish(settings, counts)
    return counts


def _collect(settings: BuildSettings) -> StageCount:
    """Documents with their pictures fetched and checked."""
    source = open_source(settings.source, settings.licence)
    wanted = [settings.num_single, settings.num_multi, settings.seed, settings.licence]
    stage = Stage(
        settings.work, "collect", {"source": source.fingerprint, "take": wanted, "limits": asdict(settings.limits)}
    )
    ids = draw_ids(source, settings.num_single, settings.num_multi, settings.seed)
    with _progress("collect", "document", len(ids) if ids is not None else None) as bar:
        for number, documents in enumerate(read_shards_of_documents(source, ids, ROWS_A_SHARD)):
            if not stage.is_finished(number):
                results = asyncio.run(_fetch_shard(documents, settings))
                candidates = [row for row in results if isinstance(row, Candidate)]
                write_candidates(stage.shard(number, "parquet"), candidates)
                removed = [row for row in results if isinstance(row, Removed)]
                stage.finish(number, len(results), len(candidates), removed)
            bar.update(len(documents))
    return _show(stage.close())


async def _fetch_shard(documents: Sequence[Document | Removed], settings: BuildSettings) -> list[Candidate | Removed]:
    places = [place for item in documents if isinstance(item, Document) for place in item.pictures]
    data = await fetch_pictures(places, settings.fetch, settings.limits)
    return [to_candidate(item, data, settings.limits) if isinstance(item, Document) else item for item in documents]


def _shards(work: Path) -> Iterator[tuple[int, list[Candidate]]]:
    """Numbers and candidates of the collected shards."""
    for path in sorted((work / "1_candidates").glob("*.parquet")):
        yield int(path.stem), read_candidates(path)


def _read_dialogues(work: Path, folder: str) -> Iterator[tuple[int, list[Dialogue]]]:
    """Numbers and dialogues of a stage's shards, with the picture bytes of their candidates."""
    for number, candidates in _shards(work):
        data = {picture.sha256: picture.data for candidate in candidates for picture in candidate.pictures}
        yield number, [from_json(value, data) for value in read_jsonl(work / folder / f"{number:05d}.jsonl")]


def _filter(settings: BuildSettings) -> StageCount:
    """Rules, then similarity, then exact repeats; what is removed keeps its reason."""
    generated = Stage.reopen(settings.work, "generate")
    scored = Stage(settings.work, "score", {"input": generated.content_hash(), "matcher": settings.matcher})
    num_dialogues = generated.close().num_kept
    matcher: Matcher | None = None
    with _progress("similarity", "dialogue", num_dialogues) as bar:
        for number, dialogues in _read_dialogues(settings.work, "2_dialogues"):
            if not scored.is_finished(number):
                sound = [dialogue for dialogue in dialogues if reason_to_drop(dialogue) is None]
                matcher = matcher or open_matcher(settings.matcher)
                scores = score_dialogues(sound, matcher) if matcher is not None else [[] for _ in sound]
                rows = [{"id": d.id, "similarity": s} for d, s in zip(sound, scores, strict=True)]
                write_jsonl(scored.shard(number, "jsonl"), rows)
                scored.finish(number, len(rows), len(rows), [])
            bar.update(len(dialogues))
    return _cut(settings, scored)


def _cut(settings: BuildSettings, scored: Stage) -> StageCount:
    scores: dict[str, list[float]] = {}
    for path in sorted(scored.folder.glob("?????.jsonl")):
        scores |= {row["id"]: row["similarity"] for row in read_jsonl(path)}
    least = settings.similarity_min
    if settings.keep_rate is not None and scores:
        least = float(np.quantile([min(values) for values in scores.values()], 1 - settings.keep_rate))
    stage = Stage(settings.work, "filter", {"input": scored.fingerprint, "similarity_min": least})
    seen: set[tuple[str, ...]] = set()
    for number, dialogues in _read_dialogues(settings.work, "2_dialogues"):
        kept: list[Dialogue] = []
        removed: list[Removed] = []
        for dialogue in dialogues:
            pictures = tuple(picture.sha256 for picture in dialogue.pictures)
            broken = reason_to_drop(dialogue)
            if broken is None and least is not None and min(scores[dialogue.id]) < least:
                broken = "low_similarity", f"{min(scores[dialogue.id]):.3f}, expected at least {least:.3f}"
            if broken is None and pictures in seen:
                broken = "repeated_pictures", "an earlier dialogue shows the same pictures"
            if broken is not None:
                removed.append(Removed(dialogue.id, *broken))
                continue
            seen.add(pictures)
            kept.append(_with_similarity(dialogue, scores[dialogue.id]))
        if not stage.is_finished(number):
            write_jsonl(stage.shard(number, "jsonl"), map(to_json, kept))
            stage.finish(number, len(dialogues), len(kept), removed)
    return _show(stage.close())


def _with_similarity(dialogue: Dialogue, scores: Sequence[float]) -> Dialogue:
    if not scores:
        return dialogue
    values = [float(np.float32(score)) for score in scores]  # as published, so that a row survives the round trip
    pictures = [replace(picture, similarity=value) for picture, value in zip(dialogue.pictures, values, strict=True)]
    return replace(dialogue, pictures=tuple(pictures))


def _publish(settings: BuildSettings, counts: Sequence[StageCount]) -> None:
    """The finished folder: shards, statistics, card. Replaces an earlier one only when it is complete."""
    unfinished = settings.out.with_name(settings.out.name + ".unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    size_bytes = sum(path.stat().st_size for path in (settings.work / "1_candidates").glob("*.parquet"))
    kept = (dialogue for _, dialogues in _read_dialogues(settings.work, "3_kept") for dialogue in dialogues)
    write_dataset(_watched(kept, counts[-1].num_kept), unfinished, size_bytes)
    write_text(unfinished / "funnel.json", json.dumps([asdict(count) for count in counts], indent=1) + "\n")
    write_statistics(unfinished, describe(unfinished))
    write_card(unfinished, settings.out.name)
    shutil.rmtree(settings.out, ignore_errors=True)
    unfinished.replace(settings.out)


def _watched(dialogues: Iterator[Dialogue], total: int) -> Iterator[Dialogue]:
    with _progress("publish", "row", total) as bar:
        for dialogue in dialogues:
            yield dialogue
            bar.update()
