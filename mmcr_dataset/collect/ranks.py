"""The collect stage on the ranks of an engine: blocks of documents are fetched by ranks, and read back in order.

This process draws the documents and writes them in blocks; a rank fetches the images of its blocks. What it found is
read back as if it had been fetched here, so that shards have the same bytes as in a plain run.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import pickle
import shutil
from collections.abc import Iterable, Iterator
from contextlib import aclosing
from dataclasses import asdict, dataclass, replace
from functools import partial
from itertools import islice
from pathlib import Path

from mmcr_dataset.collect.candidates import CandidateWriter, read_candidates
from mmcr_dataset.collect.document import Candidate, Document
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.collect.web.window import Item, fetch_in_order
from mmcr_dataset.record.images import ImageLimits
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.shard_job import run_shards
from mmcr_dataset.stage.stages import Removed, write_text

DOCUMENTS_A_BLOCK = 100
_FOLDER = "1_fetched"


@dataclass(frozen=True, slots=True)
class FetchTask:
    """What a rank needs: the folder of the blocks, settings of the fetcher (its share of them), limits of an image."""

    folder: Path
    fetch: FetchSettings
    limits: ImageLimits


def blocks_folder(work: Path) -> Path:
    """Folder of the blocks of a work folder, which is deleted when the stage is complete."""
    return work / _FOLDER


def fetch_on_ranks(
    documents: Iterator[Document | Removed],
    work: Path,
    fetch: FetchSettings,
    limits: ImageLimits,
    engine: EngineSettings,
) -> Iterator[Item] | None:
    """Fetch the images of documents on ranks; the results in order, None if a job was submitted to a queue.

    Args:
        documents: the sampled documents.
        work: the work folder.
        fetch: settings of the fetcher, over all ranks together.
        limits: limits on an image.
        engine: where the ranks run.

    Raises:
        ValueError: the engine is not installed, or a rank failed.
    """
    folder = blocks_folder(work.resolve())
    folder.mkdir(parents=True, exist_ok=True)
    count = 0
    while some := list(islice(documents, DOCUMENTS_A_BLOCK)):
        _write_block(folder, count, some)
        count += 1
    share = replace(
        fetch,
        max_in_flight=max(1, fetch.max_in_flight // engine.num_ranks),
        max_in_flight_host=max(1, fetch.max_in_flight_host // engine.num_ranks),
    )
    todo = [number for number in range(count) if not _is_done(folder, number)]
    if not run_shards("collect", partial(_fetch_blocks, FetchTask(folder, share, limits)), todo, work, engine):
        return None
    return (item for number in range(count) for item in _read_results(folder, number))


def drop_blocks(work: Path) -> None:
    """Delete the blocks, when all of them are in shards."""
    shutil.rmtree(blocks_folder(work), ignore_errors=True)


def _write_block(folder: Path, number: int, items: list[Document | Removed]) -> None:
    """Write the documents of a block, with a hash that tells whether it was fetched already."""
    key = hashlib.sha256(repr(items).encode("utf-8", "surrogatepass")).hexdigest()
    path = folder / f"{number:05d}.pickle"
    unfinished = path.with_name(path.name + ".unfinished")
    unfinished.write_bytes(pickle.dumps((key, items)))
    unfinished.replace(path)


def _key_of(folder: Path, number: int) -> str:
    key, _ = pickle.loads((folder / f"{number:05d}.pickle").read_bytes())  # noqa: S301  (written by this program)
    return str(key)


def _is_done(folder: Path, number: int) -> bool:
    path = folder / f"{number:05d}.json"
    return path.is_file() and json.loads(path.read_text("utf-8"))["key"] == _key_of(folder, number)


def _fetch_blocks(task: FetchTask, numbers: Iterable[int], rank: int) -> None:
    """Fetch blocks; runs in a process of the engine."""
    asyncio.run(_fetch(task, numbers))


async def _fetch(task: FetchTask, numbers: Iterable[int]) -> None:
    def items() -> Iterator[tuple[tuple[int, str, int], Item]]:
        for number in numbers:
            data = (task.folder / f"{number:05d}.pickle").read_bytes()
            key, documents = pickle.loads(data)  # noqa: S301  (written by this program)
            for document in documents:
                yield (number, key, len(documents)), document

    results: list[Candidate | Removed] = []
    async with aclosing(fetch_in_order(items(), task.fetch, task.limits)) as fetched:
        async for (number, key, size), result in fetched:
            results.append(result)
            if len(results) == size:
                _write_results(task.folder, number, key, results)
                results = []


def _write_results(folder: Path, number: int, key: str, results: list[Candidate | Removed]) -> None:
    writer = CandidateWriter(folder / f"{number:05d}.parquet")
    for result in results:
        if isinstance(result, Candidate):
            writer.add(result)
    writer.close()
    removed = {place: asdict(result) for place, result in enumerate(results) if isinstance(result, Removed)}
    write_text(folder / f"{number:05d}.json", json.dumps({"key": key, "size": len(results), "removed": removed}))


def _read_results(folder: Path, number: int) -> Iterator[Item]:
    found = json.loads((folder / f"{number:05d}.json").read_text("utf-8"))
    candidates = iter(read_candidates(folder / f"{number:05d}.parquet"))
    for place in range(found["size"]):
        removed = found["removed"].get(str(place))
        yield next(candidates) if removed is None else Removed(**removed)
