"""The published shards on the ranks of an engine: rows are spilled by the shard they belong to, then written.

A rank reads the kept rows of its part of the work folder and spills them in batches of one published shard each; then
it reads what all ranks spilled for its published shards. The files have the same bytes as those of one process.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import pyarrow as pa

from mmcr_dataset.publish.parquet import (
    BUFFER_BYTES,
    arrow_schema,
    count_shards,
    shard_name,
    shard_of,
    write_sorted,
)
from mmcr_dataset.record.columns import to_columns
from mmcr_dataset.record.dialogue import Dialogue
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
        contents: list[tuple[int, str, int]] = []
        waiting: dict[int, list[Dialogue]] = {}
        size_bytes = 0
        for number, _ in numbered(task.work / STAGES["filter"], "jsonl")[part::num_parts]:
            for dialogue in read_shard_dialogues(task.work, "filter", number):
                kind = 0 if len(dialogue.images) <= 1 else 1
                shard = kind * task.num_shards + shard_of(dialogue.id, task.num_shards)
                waiting.setdefault(shard, []).append(dialogue)
                size_bytes += sum(len(image.data) for image in dialogue.images) + 8192
            if size_bytes > BUFFER_BYTES:
                contents += _spill(folder, len(contents), waiting)
                waiting, size_bytes = {}, 0
        contents += _spill(folder, len(contents), waiting)
        write_text(_spilled(task, part), json.dumps(contents))


def _spill(folder: Path, name: int, waiting: dict[int, list[Dialogue]]) -> list[tuple[int, str, int]]:
    """Write rows to one file, a batch for each published shard; returns shard, file and place of each batch."""
    if not waiting:
        return []
    path = folder / f"{name:05d}.arrow"
    with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, arrow_schema()) as writer:
        for shard in sorted(waiting):
            writer.write(to_columns(waiting[shard], arrow_schema()).combine_chunks().to_batches()[0])
    return [(shard, f"{folder.name}/{path.name}", place) for place, shard in enumerate(sorted(waiting))]


def _write_shards(task: PublishTask, num_parts: int, numbers: Iterable[int], rank: int) -> None:
    places: dict[int, list[tuple[str, int]]] = {}
    for part in range(num_parts):
        for shard, name, place in json.loads(_spilled(task, part).read_text("utf-8")):
            places.setdefault(shard, []).append((name, place))
    for number in numbers:
        if number in places:
            kind, index = divmod(number, task.num_shards)
            path = task.folder / KINDS[kind] / shard_name("train", index, task.num_shards)
            write_sorted(list(_read(task.folder, places[number])), path)
        (task.folder / f"{number:05d}.done").touch()


def _read(folder: Path, places: Sequence[tuple[str, int]]) -> Iterator[pa.RecordBatch]:
    for name, place in places:
        with pa.OSFile(str(folder / name), "rb") as file:
            yield pa.ipc.open_file(file).get_batch(place)
