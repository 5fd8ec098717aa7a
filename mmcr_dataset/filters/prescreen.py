"""Drop documents before they are paid for: those that a later rule drops whatever is written about them.

Contaminated images, images of an earlier document, unclear text, takedowns. The filter stage applies the same rules to
what is written; this pass only saves the money. Its result is a small file for each shard with such documents.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmcr_dataset.filters.contamination import SetIndex
from mmcr_dataset.filters.dedup import RepeatIndex
from mmcr_dataset.filters.rules import is_unclear
from mmcr_dataset.stage.stages import STAGES, numbered, write_text
from mmcr_dataset.stage.takedowns import Takedowns
from mmcr_dataset.stage.work_folder import screened_path

_COLUMNS = ("id", "blocks", "source")
_IMAGE = ("sha256", "url", "phash")


def prescreen(work: Path, sets: Sequence[SetIndex], taken_out: Takedowns) -> None:
    """Write `screened_path` of each shard of candidates with documents that need not be paid for."""
    shutil.rmtree(screened_path(work, 0).parent, ignore_errors=True)
    seen = RepeatIndex()
    for number, path in numbered(work / STAGES["collect"], "parquet"):
        drops: dict[int, tuple[str, str]] = {}
        rows = list(_read_rows(path))
        prepare_images([image["phash"] for row in rows for image in row["images"]], sets, seen)
        for place, row in enumerate(rows):
            phashes = [image["phash"] for image in row["images"]]
            if None in phashes:  # of version 0.1
                continue
            reason = _reason(row, phashes, sets, seen, taken_out)
            if reason is None:
                seen.add(phashes, row["id"])
            else:
                drops[place] = reason
        if drops:
            write_text(screened_path(work, number), json.dumps(drops))


def _reason(
    row: Mapping[str, Any],
    phashes: Sequence[str],
    sets: Sequence[SetIndex],
    seen: RepeatIndex,
    taken_out: Takedowns,
) -> tuple[str, str] | None:
    images, urls = row["images"], [image["url"] for image in row["images"]]
    if taken_out:
        sha256s = [image["sha256"] or "" for image in images]
        source = row["source"]
        found = taken_out.reason(None, sha256s, source["document_url"], urls, source["licence"], phashes)
        if found is not None:
            return found
    if is_unclear("\n".join(block["text"] for block in row["blocks"] if block["text"])):
        return "unclear_text", "the document's text has replacement characters or mojibake"
    return reason_images(phashes, sets, seen)


def prepare_images(phashes: Sequence[str | None], sets: Sequence[SetIndex], seen: RepeatIndex) -> None:
    """Look the images of many documents up at once, so that `reason_images` is fast for them."""
    known = {phash for phash in phashes if phash is not None}
    seen.prepare(known)
    for against in sets:
        against.images.prepare(known)


def reason_images(phashes: Sequence[str], sets: Sequence[SetIndex], seen: RepeatIndex) -> tuple[str, str] | None:
    """Contamination (an image is in an evaluation set) or duplication (an earlier row shows the same images)."""
    contaminated = reason_contaminated(phashes, sets)
    if contaminated is not None:
        return contaminated
    earlier = seen.find(phashes)
    if earlier is not None:
        return "repeated_images", f"{earlier} shows the same images"
    return None


def reason_contaminated(phashes: Sequence[str], sets: Sequence[SetIndex]) -> tuple[str, str] | None:
    """Contamination: an image is in an evaluation set."""
    for number, phash in enumerate(phashes, start=1):
        for against in sets:
            found = against.images.find(phash)
            if found is not None:
                return "in_evaluation_set", f"image {number} is {found.name} of {against.name}"
    return None


def _read_rows(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a shard of candidates without the image files; none for a shard of version 0.1."""
    with pq.ParquetFile(path) as file:
        if "images" not in file.schema_arrow.names:
            return
        columns = [*_COLUMNS, *(f"images.list.element.{name}" for name in _IMAGE)]
        for batch in file.iter_batches(columns=columns):
            yield from batch.to_pylist()
