"""Drop documents before they are paid for: those that a later rule drops whatever is written about them.

Contaminated images, images of an earlier document, unclear text, takedowns. The filter stage applies the same rules to
what is written; this pass only saves the money.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmcr_dataset.filters import rules
from mmcr_dataset.filters.contamination import Against, reason_contaminated
from mmcr_dataset.filters.documents import Documents
from mmcr_dataset.stage.checks import Checks, Reason
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.shard_job import run_shards
from mmcr_dataset.stage.stages import STAGES, numbered
from mmcr_dataset.stage.takedowns import Takedowns
from mmcr_dataset.stage.work_folder import SCREENED

SHARDS_OF_RANKS = 1000  # fewer take some seconds: not worth a job of a queue
_COLUMNS = ("id", "blocks", "source")
_IMAGE = ("sha256", "url", "phash")


@dataclass(frozen=True, slots=True)
class ScreenTask:
    """What a rank needs: work folder, what documents are compared with, and a hash of all of that."""

    work: Path
    against: Against
    fingerprint: str


def prescreen(work: Path, against: Against, engine: EngineSettings) -> bool:
    """Find the documents that need not be paid for; False if a job was submitted to a queue."""
    code = hashlib.sha256(Path(rules.__file__).read_bytes() + Path(__file__).read_bytes()).hexdigest()
    task = ScreenTask(work.resolve(), against, f"{code} {against.fingerprint()}")
    checks = Checks(task.work / SCREENED)
    numbers = [number for number, _ in numbered(work / STAGES["collect"], "parquet")]
    checks.keep_only(set(numbers))
    todo = [number for number in numbers if not checks.has(number, _key(task, number))]
    on_ranks = engine if len(todo) >= SHARDS_OF_RANKS else EngineSettings()
    if not run_shards("prescreen", partial(_screen_shards, task), todo, work, on_ranks):
        return False
    documents = Documents(checks)
    first_of = documents.first_of(work, engine)
    if first_of is None:
        return False
    checks.drop(documents.repeats(first_of))
    return True


def _screen_shards(task: ScreenTask, numbers: Iterable[int], rank: int) -> None:
    checks = Checks(task.work / SCREENED)
    for number in numbers:
        key, rows = _key(task, number), list(_read_rows(_shard(task, number)))
        known = {image["phash"] for row in rows for image in row["images"]} - {None}
        contaminated = task.against.contaminated(known)
        reasons: dict[int, Reason] = {}
        images: list[tuple[int, str, float]] = []
        for place, row in enumerate(rows):
            phashes = [image["phash"] for image in row["images"]]
            if None in phashes:  # of version 0.1
                continue
            reason = _reason(row, task.against.taken_out) or reason_contaminated(phashes, contaminated)
            if reason is None:
                images += [(place, phash, math.nan) for phash in phashes]
            else:
                reasons[place] = reason
        checks.write(number, key, [row["id"] for row in rows], reasons, images)


def _reason(row: Mapping[str, Any], taken_out: Takedowns) -> Reason | None:
    images, urls = row["images"], [image["url"] for image in row["images"]]
    if taken_out:
        sha256s, phashes = [image["sha256"] or "" for image in images], [image["phash"] for image in images]
        source = row["source"]
        found = taken_out.reason(None, sha256s, source["document_url"], urls, source["licence"], phashes)
        if found is not None:
            return found
    if rules.is_unclear("\n".join(block["text"] for block in row["blocks"] if block["text"])):
        return "unclear_text", "the document's text has replacement characters or mojibake"
    return None


def _shard(task: ScreenTask, number: int) -> Path:
    return task.work / STAGES["collect"] / f"{number:05d}.parquet"


def _key(task: ScreenTask, number: int) -> str:
    """What is found about a shard is found from this."""
    status = _shard(task, number).stat()
    return f"{status.st_size} {status.st_mtime_ns} {task.fingerprint}"


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a shard of candidates without the image files; none for a shard of version 0.1."""
    with pq.ParquetFile(path) as file:
        if "images" not in file.schema_arrow.names:
            return
        columns = [*_COLUMNS, *(f"images.list.element.{name}" for name in _IMAGE)]
        for batch in file.iter_batches(columns=columns):
            yield from batch.to_pylist()
