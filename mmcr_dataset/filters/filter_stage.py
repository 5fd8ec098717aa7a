"""The filter stage shard by shard, here or on the ranks of an engine: similarity and rules, decision, kept rows.

Only the decision needs the shards in order (dedup). It is made in this process and written to one file a shard, so that
memory doesn't grow with the number of dialogues.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path

from mmcr_dataset.filters import rules
from mmcr_dataset.filters.clip_match import Matcher, open_matcher
from mmcr_dataset.filters.scores import read_broken, score_shard, with_similarity, write_broken
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.progress import open_bar
from mmcr_dataset.stage.shard_job import run_shards
from mmcr_dataset.stage.stages import STAGES, Removed, Stage, numbered, read_jsonl, write_jsonl
from mmcr_dataset.stage.work_folder import read_decisions, read_shard_similarities, without_images

OpenMatcher = Callable[[], Matcher | None]


@dataclass(frozen=True, slots=True)
class FilterTask:
    """What a rank needs: work folder, value of `--filter`, what is done by each rule."""

    work: Path
    matcher: str
    modes: Mapping[str, str]


def score(task: FilterTask, scored: Stage, engine: EngineSettings, open_once: OpenMatcher | None = None) -> bool:
    """Compute similarities and violated rules of all shards; False if a job was submitted to a queue."""
    numbers = [number for number, _ in numbered(task.work / STAGES["generate"], "jsonl")]
    if engine.name != "local":
        numbers = [number for number in numbers if read_broken(scored, number, _key(task, number)) is None]
        task = FilterTask(task.work.resolve(), task.matcher, task.modes)
        return run_shards("score", partial(score_shards, task, None), numbers, task.work, engine)
    with open_bar("similarity", "dialogue", Stage.open(task.work, "generate").count().num_kept) as bar:
        return run_shards(
            "score", partial(score_shards, task, open_once, progress=bar.update), numbers, task.work, engine
        )


def score_shards(
    task: FilterTask,
    open_once: OpenMatcher | None,
    numbers: Iterable[int],
    rank: int,
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Compute and write the similarities and violated rules of shards; a rank takes the GPU of its number."""
    scored = Stage.begin(task.work, "score", {"matcher": task.matcher})
    opened = open_once or cache(lambda: _open_on_gpu(task.matcher, rank))
    for number in numbers:
        values = list(read_jsonl(task.work / STAGES["generate"] / f"{number:05d}.jsonl"))
        broken = score_shard(scored, task.work, number, values, opened, task.modes)
        write_broken(scored, number, _key(task, number), broken)
        progress(len(values))


def _open_on_gpu(spec: str, rank: int) -> Matcher | None:
    if spec.startswith("open_clip"):
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(rank % torch.cuda.device_count())
    return open_matcher(spec)


def _key(task: FilterTask, number: int) -> str:
    """Hash of what determines the violated rules of a shard."""
    digest = hashlib.sha256(Path(rules.__file__).read_bytes() + json.dumps(dict(task.modes), sort_keys=True).encode())
    digest.update((task.work / STAGES["generate"] / f"{number:05d}.jsonl").read_bytes())
    return digest.hexdigest()


def write_kept(task: FilterTask, stage: Stage, engine: EngineSettings) -> bool:
    """Write the kept and the removed rows of all shards by the decisions; False if a job was submitted to a queue."""
    numbers = [n for n, _ in numbered(task.work / STAGES["generate"], "jsonl") if not stage.is_finished(n)]
    task = FilterTask(task.work.resolve(), task.matcher, task.modes)
    return run_shards("filter", partial(_write_shards, task, stage.settings), numbers, task.work, engine)


def _write_shards(task: FilterTask, settings: Mapping[str, object], numbers: Iterable[int], rank: int) -> None:
    stage = Stage.begin(task.work, "filter", settings)
    for number in numbers:
        values = list(read_jsonl(task.work / STAGES["generate"] / f"{number:05d}.jsonl"))
        scores = read_shard_similarities(task.work, number)
        decided = list(zip(values, read_decisions(task.work, number), strict=True))
        kept = [with_similarity(value, scores.get(value["id"], [])) for value, reason in decided if reason is None]
        write_jsonl(stage.shard(number, "jsonl"), kept)
        removed = [Removed(value["id"], *reason) for value, reason in decided if reason is not None]
        counted = Counter(name for value in kept for name in rules.violated_but_kept(without_images(value), task.modes))
        stage.finish(number, len(values), len(kept), removed, counted=counted)
