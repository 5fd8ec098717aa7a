"""Check that `load_dataset`, TRL and the Hub's viewer accept a data set folder; findings name file, row and remedy.

The viewer's rules are in viewer_rules.py.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any, Literal

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.publish import viewer_rules as rules
from mmcr_dataset.publish.check_trl import ShowProblem, open_collator
from mmcr_dataset.publish.croissant import CROISSANT_NAME, file_sha256, read_checksums
from mmcr_dataset.publish.describe import load_statistics
from mmcr_dataset.publish.parquet import arrow_schema
from mmcr_dataset.record.dialogue import InvalidDialogue
from mmcr_dataset.record.images import ImageError, check_mode, decode_rgb
from mmcr_dataset.record.parquet_memory import rows_a_batch
from mmcr_dataset.record.row import from_row, to_row_messages
from mmcr_dataset.stage.progress import open_bar

Collate = Literal["sample", "all", "none"]
NUM_SAMPLED = 16  # rows of each configuration that go through load_dataset and TRL's collator, twice: first and spread
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


def check_dataset(
    folder: Path, progress: Callable[[int], object] = lambda _: None, collate: Collate = "sample"
) -> list[Finding]:
    """Check a folder; returns the findings, errors first.

    Args:
        folder: a data set folder with README.md and Parquet shards.
        progress: called with the number of rows read since the last call.
        collate: the rows to put through TRL's collator.

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
        findings += _check_loading(folder, shards, collate)
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
    findings += [Finding(*broken) for broken in rules.check_page(path)]
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


def _check_loading(folder: Path, shards: Sequence[Path], collate: Collate) -> Iterator[Finding]:
    """Load rows of each configuration, the first ones and others from all of it, and collate them with TRL."""
    from datasets import get_dataset_config_names, load_dataset

    show_problem = open_collator() if collate != "none" else None
    configs = get_dataset_config_names(str(folder))
    loaded = {config: load_dataset(str(folder), config, streaming=True) for config in configs}
    columns = pq.read_schema(shards[0]).names
    yield from _findings(rules.check_names({config: list(splits) for config, splits in loaded.items()}, columns))
    for config, splits in loaded.items():
        for split in splits.values():
            rows = list(islice(split, NUM_SAMPLED))
            yield from _findings(rules.check_first_rows(config, rows))
            yield from _findings(rules.check_features(split.features))
            yield from _check_collated(rows, f"config {config}", show_problem)
    for kind in sorted({path.parent for path in shards}):
        of_kind = [path for path in shards if path.parent == kind]
        yield from _findings(rules.check_schemas(kind.name, of_kind))
        yield from _findings(rules.check_search(kind.name, of_kind))
        for rows in _read_all(of_kind) if collate == "all" else [list(_sample(of_kind))]:
            yield from _check_collated(rows, f"config {kind.name}", show_problem)
    yield from _findings(rules.check_files(folder))


def _findings(broken: Iterable[rules.Broken]) -> Iterator[Finding]:
    return (Finding(*one) for one in broken)


def _sample(shards: Sequence[Path]) -> Iterator[dict[str, Any]]:
    """The last row of `NUM_SAMPLED` row groups at even distances, decoded as `datasets` does."""
    from datasets import Features

    groups = [(path, group) for path in shards for group in range(pq.read_metadata(path).num_row_groups)]
    for path, group in groups[:: -(-len(groups) // NUM_SAMPLED)]:
        with pq.ParquetFile(path) as file:
            features = Features.from_arrow_schema(file.schema_arrow)
            (row,) = file.read_row_group(group).slice(file.metadata.row_group(group).num_rows - 1).to_pylist()
        yield features.decode_example(row)


def _read_all(shards: Sequence[Path]) -> Iterator[list[dict[str, Any]]]:
    """All rows in batches, decoded as `datasets` does."""
    from datasets import Features

    with open_bar("collate", "row", sum(pq.read_metadata(path).num_rows for path in shards)) as bar:
        for path in shards:
            with pq.ParquetFile(path) as file:
                features = Features.from_arrow_schema(file.schema_arrow)
                for batch in file.iter_batches(rows_a_batch(file, NUM_SAMPLED)):
                    yield [features.decode_example(row) for row in batch.to_pylist()]
                    bar.update(batch.num_rows)


def _check_collated(rows: Sequence[dict[str, Any]], place: str, show_problem: ShowProblem | None) -> Iterator[Finding]:
    """Collate rows with TRL in one batch; if it fails, one by one, to name the rows."""
    if show_problem is None or not rows or show_problem(rows) is None:
        return
    problems = [(row["id"], show_problem([row])) for row in rows]
    for row_id, problem in problems:
        if problem is not None:
            yield Finding(True, f"{place}, row {row_id}", problem)
    if all(problem is None for _, problem in problems):
        yield Finding(True, place, f"{show_problem(rows)}, in a batch of {len(rows)} rows")
