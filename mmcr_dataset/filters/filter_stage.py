"""The filter stage shard by shard, here or on the ranks of an engine: similarity and rules, decision, kept rows.

Only the decision (`decide.py`) compares shards with each other; it reads small files that the first step has written.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

from mmcr_dataset.filters import rules
from mmcr_dataset.filters.clip_match import Matcher, open_matcher
from mmcr_dataset.filters.contamination import Against, reason_contaminated
from mmcr_dataset.filters.decide import reason_similarity
from mmcr_dataset.filters.scores import drop_other_shards, score_shard, with_similarity
from mmcr_dataset.record.dialogue import image_entries
from mmcr_dataset.stage.checks import Checks, Reason
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.progress import open_bar
from mmcr_dataset.stage.shard_job import run_shards
from mmcr_dataset.stage.stages import STAGES, Removed, Stage, numbered, read_jsonl, write_jsonl
from mmcr_dataset.stage.work_folder import DECIDED, read_shard_similarities, without_images

OpenMatcher = Callable[[], Matcher | None]


@dataclass(frozen=True, slots=True)
class FilterTask:
    """What a rank needs.

    Attributes:
        work: the work folder.
        matcher: value of `--filter`.
        modes: what is done by each rule.
        against: evaluation sets and takedowns.
        fingerprint: hash of all of these.
    """

    work: Path
    matcher: str
    modes: Mapping[str, str]
    against: Against
    fingerprint: str

    @classmethod
    def make(cls, work: Path, matcher: str, modes: Mapping[str, str], against: Against) -> FilterTask:
        """With its fingerprint."""
        code = b"".join(Path(one).read_bytes() for one in (rules.__file__, __file__))
        inputs = json.dumps([matcher, dict(modes), against.fingerprint()], sort_keys=True).encode()
        return cls(work.resolve(), matcher, modes, against, hashlib.sha256(code + inputs).hexdigest())


def score(task: FilterTask, scored: Stage, engine: EngineSettings, open_once: OpenMatcher | None = None) -> bool:
    """Compute similarities and what each shard tells by itself; False if a job was submitted to a queue."""
    generated, checks = Stage.open(task.work, "generate"), Checks(task.work / DECIDED)
    numbers = [number for number, _ in numbered(generated.folder, "jsonl")]
    drop_other_shards(scored, set(numbers))
    checks.keep_only(set(numbers))
    todo = [
        number
        for number in numbers
        if not (scored.shard(number, "jsonl").is_file() and checks.has(number, _key(task, generated, number)))
    ]
    if engine.name != "local":
        return run_shards("score", partial(score_shards, task, None), todo, task.work, engine)
    with open_bar("similarity", "dialogue", generated.count().num_kept) as bar:
        return run_shards("score", partial(score_shards, task, open_once, progress=bar.update), todo, task.work, engine)


def score_shards(
    task: FilterTask,
    open_once: OpenMatcher | None,
    numbers: Iterable[int],
    rank: int,
    progress: Callable[[int], object] = lambda _: None,
) -> None:
    """Compute and write what each shard tells by itself; a rank takes the GPU of its number."""
    scored, generated = Stage.begin(task.work, "score", {"matcher": task.matcher}), Stage.open(task.work, "generate")
    opened = open_once or cache(lambda: _open_on_gpu(task.matcher, rank))
    for number in numbers:
        key, values = _key(task, generated, number), list(read_jsonl(generated.shard(number, "jsonl")))
        found = score_shard(scored, task.work, number, values, opened, task.modes)
        contaminated = task.against.contaminated({image["phash"] for v in values for image in image_entries(v)})
        reasons: dict[int, Reason] = {}
        images: list[tuple[int, str, float]] = []
        for place, (value, (broken, similarity)) in enumerate(zip(values, found, strict=True)):
            phashes = [image["phash"] for image in image_entries(value)]
            taken_out = task.against.taken_out.reason_of(without_images(value)) if task.against.taken_out else None
            reason = taken_out or broken or reason_contaminated(phashes, contaminated)
            if reason is None:
                worst = min(similarity, default=math.nan)
                images += [(place, phash, worst) for phash in phashes]
            else:
                reasons[place] = reason
        Checks(task.work / DECIDED).write(number, key, [value["id"] for value in values], reasons, images)
        progress(len(values))


def _open_on_gpu(spec: str, rank: int) -> Matcher | None:
    if spec.startswith("open_clip"):
        import torch

        if torch.cuda.is_available():
            torch.cuda.set_device(rank % torch.cuda.device_count())
    return open_matcher(spec)


def _key(task: FilterTask, generated: Stage, number: int) -> str:
    """What is found about a shard is found from this."""
    return f"{task.fingerprint} {generated.shard_hash(number)}"


def write_kept(task: FilterTask, stage: Stage, engine: EngineSettings) -> bool:
    """Write the kept and the removed rows of all shards by the decisions; False if a job was submitted to a queue."""
    numbers = [n for n, _ in numbered(task.work / STAGES["generate"], "jsonl") if not stage.is_finished(n)]
    return run_shards("filter", partial(_write_shards, task, stage.settings), numbers, task.work, engine)


def _write_shards(task: FilterTask, settings: Mapping[str, Any], numbers: Iterable[int], rank: int) -> None:
    stage, checks = Stage.begin(task.work, "filter", settings), Checks(task.work / DECIDED)
    for number in numbers:
        reasons, scores = checks.reasons(number), read_shard_similarities(task.work, number)
        kept, removed = [], []
        rows = list(read_jsonl(task.work / STAGES["generate"] / f"{number:05d}.jsonl"))
        for place, value in enumerate(rows):
            similarity = scores.get(value["id"], [])
            reason = reasons.get(place)
            if reason is None or reason[0] == "in_evaluation_set":  # similarity counts before it
                reason = reason_similarity(similarity, settings["similarity_min"]) or reason
            if reason is None:
                kept.append(with_similarity(value, similarity))
            else:
                removed.append(Removed(value["id"], *reason))
        write_jsonl(stage.shard(number, "jsonl"), kept)
        counted = Counter(name for value in kept for name in rules.violated_but_kept(without_images(value), task.modes))
        stage.finish(number, len(rows), len(kept), removed, counted=counted)
