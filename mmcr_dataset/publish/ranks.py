"""The published shards on the ranks of an engine: rows are spilled by the shard they belong to, then written.

A rank reads the kept rows of its part of the work folder and spills them in batches of one published shard each; then
it reads what all ranks spilled for its published shards. The files have the same bytes as those of one process.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from mmcr_dataset.publish.parquet import arrow_schema, count_shards, shard_name, shard_of, write_sorted
from mmcr_dataset.publish.spill import Batch, RowSpill, read_batches
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.shard_job import run_shards
from mmcr_dataset.stage.stages import STAGES, Stage, numbered, write_text
from mmcr_dataset.stage.work_folder import read_shard_dialogues

KINDS = ("single", "multi")


@dataclass(frozen=True, slots=True)
class PublishTask:
    """What a rank needs: the work folder, and the number of published shards of a kind."""

    work: Path
    num_shards: int

    @property
    def folder(self) -> Path:
        """Holds spilled rows and finished shards until all are there."""
        return self.work / "4_published"


def write_on_ranks(work: Path, unfinished: Path, size_bytes: int, engine: EngineSettings) -> bool:
    """Write the published shards of the kept rows; False if a job was submitted to a queue.

    Args:
        work: the work folder, whose filter stage is finished.
        unfinished: folder of the new data set.
        size_bytes: total size, which determines the number of shards.
        engine: where the ranks run.

    Raises:
        ValueError: the engine is not installed, or a rank failed.
    """
    kept = Stage.open(work, "filter")
    layout = f"{kept.content_hash()} {count_shards(size_bytes)} {engine.num_ranks}"
    content = hashlib.sha256(layout.encode()).hexdigest()
    task = PublishTask(work.resolve(), count_shards(size_bytes))
    state = task.folder / "state.json"
    if not state.is_file() or json.loads(state.read_text("utf-8")) != content:
        shutil.rmtree(task.folder, ignore_errors=True)
        write_text(state, json.dumps(content))
    parts = [part for part in range(engine.num_ranks) if not _spilled(task, part).is_file()]
    if not run_shards("spill", partial(_spill_parts, task, engine.num_ranks), parts, work, engine):
        return False
    todo = [n for n in range(len(KINDS) * task.num_shards) if not (task.folder / f"{n:05d}.done").is_file()]
    if not run_shards("publish", partial(_write_shards, task, engine.num_ranks), todo, work, engine):
        return False
    for kind in KINDS:
        for path in sorted((task.folder / kind).glob("*.parquet")):
            (unfinished / kind).mkdir(exist_ok=True)
            path.rename(unfinished / kind / path.name)
    shutil.rmtree(task.folder)
    return True


def _spilled(task: PublishTask, part: int) -> Path:
    """Table of contents of a part: file and place of the rows of each published shard."""
    return task.folder / f"part-{part:05d}.json"


def _spill_parts(task: PublishTask, num_parts: int, parts: Iterable[int], rank: int) -> None:
    for part in parts:
        folder = task.folder / f"part-{part:05d}"
        shutil.rmtree(folder, ignore_errors=True)  # of a rank that was killed
        folder.mkdir(parents=True)
        spill = RowSpill(folder, arrow_schema())
        for number, _ in numbered(task.work / STAGES["filter"], "jsonl")[part::num_parts]:
            for dialogue in read_shard_dialogues(task.work, "filter", number):
                kind = 0 if len(dialogue.images) <= 1 else 1
                spill.add(kind * task.num_shards + shard_of(dialogue.id, task.num_shards), dialogue)
        spill.flush()
        write_text(
            _spilled(task, part),
            json.dumps([batch._replace(file=f"{folder.name}/{batch.file}") for batch in spill.batches]),
        )


def _write_shards(task: PublishTask, num_parts: int, numbers: Iterable[int], rank: int) -> None:
    batches: defaultdict[int, list[Batch]] = defaultdict(list)
    for part in range(num_parts):
        for batch in map(Batch._make, json.loads(_spilled(task, part).read_text("utf-8"))):
            batches[batch.shard].append(batch)
    for number in numbers:
        if number in batches:
            kind, index = divmod(number, task.num_shards)
            path = task.folder / KINDS[kind] / shard_name("train", index, task.num_shards)
            write_sorted(read_batches(task.folder, batches[number]), path)
        (task.folder / f"{number:05d}.done").touch()
