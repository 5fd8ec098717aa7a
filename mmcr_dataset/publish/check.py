"""Check that `load_dataset`, TRL and the Hub's viewer accept a data set folder; findings name file, row and remedy.

Limits are those of huggingface/dataset-viewer (August 2026): a page of 100 rows may read 300 MB, search and statistics
cover the first 5 GB, at most 1,000 columns and 4,000 configurations.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.publish.croissant import CROISSANT_NAME, file_sha256, read_checksums
from mmcr_dataset.publish.describe import load_statistics
from mmcr_dataset.publish.parquet import arrow_schema
from mmcr_dataset.record.dialogue import InvalidDialogue
from mmcr_dataset.record.images import ImageError, check_mode, decode_rgb
from mmcr_dataset.record.parquet_memory import rows_a_batch
from mmcr_dataset.record.row import from_row, to_row_messages

PAGE_ROWS = 100
PAGE_BYTES_MAX = 300_000_000
SEARCH_BYTES_MAX = 5_000_000_000
NUM_SAMPLED = 8  # rows of each configuration that go through load_dataset and TRL
_ROWS_A_BATCH = 64


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem of a data set: an error prevents publishing, a warning does not."""

    is_error: bool
    place: str
    text: str

    def show(self) -> str:
        """The finding on one line."""
        return f"{'error  ' if self.is_error else 'warning'} {self.place}: {self.text}"


def check_dataset(folder: Path, progress: Callable[[int], object] = lambda _: None) -> list[Finding]:
    """Check a folder; returns the findings, errors first.

    Args:
        folder: a data set folder with README.md and Parquet shards.
        progress: called with the number of rows read since the last call.

    Raises:
        ValueError: there is no such folder.
    """
    if not folder.is_dir():
        raise ValueError(f"{folder}: no such folder; expected one written by `python -m mmcr_dataset build`")
    shards = sorted(folder.rglob("*.parquet"))
    if not shards:
        return [Finding(True, str(folder), "contains no Parquet shards")]
    findings = [*_check_card(folder), *_check_counts(folder, shards)]
    if (folder / f"{folder.resolve().name}.py").exists():
        findings.append(Finding(True, f"{folder.name}.py", "loading scripts are rejected since datasets 4; delete it"))
    for shard in shards:
        findings += _check_shard(shard)
    if not any(finding.is_error for finding in findings):
        findings += _check_rows(shards, progress)
        findings += _check_croissant(folder, shards)
    if not any(finding.is_error for finding in findings):
        findings += _check_loading(folder)
    return sorted(findings, key=lambda finding: not finding.is_error)


def _check_card(folder: Path) -> Iterator[Finding]:
    from huggingface_hub import DatasetCard

    path = folder / "README.md"
    if not path.is_file():
        yield Finding(True, "README.md", "missing; build the data set again")
        return
    try:
        card = DatasetCard.load(path).data.to_dict()
    except ValueError as error:
        yield Finding(True, "README.md", f"its YAML block can't be read: {error}")
        return
    configs = card.get("configs") or []
    if not configs:
        yield Finding(True, "README.md", "no configs: load_dataset would guess the configurations")
    if configs and sum(bool(config.get("default")) for config in configs) != 1:
        yield Finding(True, "README.md", "exactly one configuration needs `default: true`")
    for config in configs:
        for entry in config.get("data_files") or []:
            patterns = [entry["path"]] if isinstance(entry["path"], str) else entry["path"]
            for pattern in patterns:
                if not list(folder.glob(pattern)):
                    yield Finding(True, "README.md", f"config {config['config_name']}: no file matches {pattern}")
    if not card.get("license"):
        yield Finding(False, "README.md", "no license named")


def _check_counts(folder: Path, shards: list[Path]) -> Iterator[Finding]:
    try:
        numbers = load_statistics(folder)
    except ValueError as error:
        yield Finding(False, "statistics.json", str(error))
        return
    stated = sum(config.num_rows for config in numbers.values())
    actual = sum(pq.read_metadata(shard).num_rows for shard in shards if _is_parquet(shard))
    if stated != actual:
        yield Finding(True, "statistics.json", f"counts {stated} rows, the shards have {actual}; the card is stale")


def _check_croissant(folder: Path, shards: list[Path]) -> Iterator[Finding]:
    path = folder / CROISSANT_NAME
    if not path.is_file():
        yield Finding(False, CROISSANT_NAME, "missing: dataset search engines won't index it")
        return
    try:
        stated = read_checksums(path)
    except ValueError as error:
        yield Finding(True, CROISSANT_NAME, str(error))
        return
    actual = {shard.relative_to(folder).as_posix(): shard for shard in shards}
    for name in sorted(stated.keys() | actual.keys()):
        if name not in actual or stated.get(name) != file_sha256(actual[name]):
            yield Finding(True, CROISSANT_NAME, f"its checksum of {name} is stale")


def _is_parquet(path: Path) -> bool:
    try:
        pq.read_metadata(path)
    except (pa.ArrowInvalid, OSError):
        return False
    return True


def _check_shard(path: Path) -> list[Finding]:
    """Check schema, row groups and page index of one shard."""
    if not _is_parquet(path):
        return [Finding(True, path.name, "not a readable Parquet file; build the data set again")]
    metadata = pq.read_metadata(path)
    schema = metadata.schema.to_arrow_schema()
    findings: list[Finding] = []
    if metadata.num_rows == 0:
        findings.append(Finding(True, path.name, "has no rows, which load_dataset rejects; delete it"))
    if not schema.equals(arrow_schema()):
        missing = sorted(set(arrow_schema().names) ^ set(schema.names)) or ["types"]
        findings.append(Finding(True, path.name, f"its columns differ from the published row: {', '.join(missing)}"))
    if b"huggingface" not in (schema.metadata or {}):
        findings.append(Finding(True, path.name, "no `huggingface` metadata: images would load as raw bytes"))
    groups = [metadata.row_group(n) for n in range(metadata.num_row_groups)]
    largest = max((group.total_byte_size for group in groups), default=0)
    if largest > PAGE_BYTES_MAX and max(group.num_rows for group in groups) <= PAGE_ROWS:
        findings.append(Finding(True, path.name, f"a page of {PAGE_ROWS} rows reads {largest / 1e6:.0f} MB, limit 300"))
    if any(group.num_rows > PAGE_ROWS for group in groups):
        findings.append(Finding(False, path.name, f"row groups of more than {PAGE_ROWS} rows make the viewer slow"))
    if groups and not groups[0].column(0).has_offset_index:
        findings.append(Finding(False, path.name, "no page index: the viewer reads whole row groups"))
    if sum(group.total_byte_size for group in groups) > SEARCH_BYTES_MAX:
        findings.append(Finding(False, path.name, "over 5 GB: search and statistics cover the first 5 GB only"))
    return findings


def _check_rows(shards: list[Path], progress: Callable[[int], object]) -> Iterator[Finding]:
    """Check every row: invariants, unique ids, and that each image decodes (Pillow's decoders run in parallel)."""
    seen: dict[str, str] = {}
    with ThreadPoolExecutor(os.cpu_count()) as threads:
        for path in shards:
            yield from _check_rows_of(path, seen, threads, progress)


def _check_rows_of(
    path: Path, seen: dict[str, str], threads: Executor, progress: Callable[[int], object]
) -> Iterator[Finding]:
    number = 0
    with pq.ParquetFile(path) as file:
        for batch in file.iter_batches(rows_a_batch(file, _ROWS_A_BATCH)):
            rows = batch.to_pylist()
            decoded = [[threads.submit(_show_undecodable, i["bytes"]) for i in row["images"] or ()] for row in rows]
            for row, images in zip(rows, decoded, strict=True):
                place = f"{path.parent.name}/{path.name} row {number}, id {row['id']}"
                yield from _check_row(row, place, seen)
                for image_number, problem in enumerate((image.result() for image in images), start=1):
                    if problem is not None:
                        yield Finding(True, place, f"image {image_number}: {problem}")
                number += 1
            progress(batch.num_rows)


def _check_row(row: dict[str, Any], place: str, seen: dict[str, str]) -> Iterator[Finding]:
    if row["id"] in seen:
        yield Finding(True, place, f"duplicate id {row['id']}, also at {seen[row['id']]}")
    seen[row["id"]] = place
    try:
        dialogue = from_row(row)
    except InvalidDialogue as error:
        yield Finding(True, place, str(error))
        return
    if row["messages"] != to_row_messages(dialogue):
        yield Finding(True, place, "a content block of messages has extra fields")
    if (row["num_turns"], row["num_images"]) != (len(dialogue.turns), len(dialogue.images)):
        yield Finding(True, place, f"num_turns or num_images is wrong: {row['num_turns']}, {row['num_images']}")


def _show_undecodable(data: bytes | None) -> str | None:
    """Why an image can't be decoded or shown, None if it can."""
    if data is None:
        return "no bytes; images must be embedded"
    try:
        check_mode(data)
        decode_rgb(data)
    except ImageError as error:
        return str(error)
    return None


def _check_loading(folder: Path) -> Iterator[Finding]:
    """Load some rows of each configuration, and prepare them as TRL's collator does."""
    from datasets import get_dataset_config_names, load_dataset

    for config in get_dataset_config_names(str(folder)):
        rows = load_dataset(str(folder), config, streaming=True)
        for split in rows.values():
            for row in islice(split, NUM_SAMPLED):
                yield from _check_trl(row, f"config {config}, row {row['id']}")


def _check_trl(row: dict[str, Any], place: str) -> Iterator[Finding]:
    """Check that TRL can insert `images` into the image blocks of `messages`."""
    try:
        from trl.data_utils import prepare_multimodal_messages
    except ImportError:
        return
    try:
        messages = prepare_multimodal_messages(row["messages"], images=row["images"])
    except ValueError as error:
        yield Finding(True, place, f"TRL rejects it: {error}")
        return
    shown = [b["image"] for message in messages for b in message["content"] if b["type"] == "image"]
    if len(shown) != len(row["images"]):
        yield Finding(True, place, f"TRL uses {len(shown)} of {len(row['images'])} images")
