"""Dialogues to Parquet shards with the image bytes in them, as the Hub and its viewer like them.

Written with pyarrow directly: row groups of 100 rows (a viewer page reads at most 300 MB), page index, content-defined
chunking (a takedown re-sends little), images neither compressed nor dictionary-encoded (they are compressed already).
A row's shard follows from its id and rows are sorted by id, so the same dialogues give the same bytes in any order, and
taking a row out changes one file.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmcr_dataset.record.columns import to_columns
from mmcr_dataset.record.dialogue import Dialogue

if TYPE_CHECKING:
    from datasets import Features

ROWS_A_GROUP = 100
SHARD_BYTES_TARGET = 400_000_000
BUFFER_BYTES = 800_000_000  # rows held in memory before they are spilled to disk
SHARDS_AT_ONCE = 2  # writing is hashing and copying outside Python; more would hold more shards in memory
_IMAGE_COLUMN = "images.list.element.bytes"
_CHUNKING = {
    "min_chunk_size": 256 * 1024,
    "max_chunk_size": 1024 * 1024,
    "norm_level": 0,
}  # what the Hub's storage uses


def row_features() -> Features:
    """The published columns as `datasets.Features`."""
    from datasets import Features, Image, List, Value

    text = Value("string")
    return Features(
        {
            "id": text,
            "images": List(Image()),
            "messages": List({"role": text, "content": List({"type": text, "text": text})}),
            "conversations": List({"from": text, "value": text}),
            "num_turns": Value("int8"),
            "num_images": Value("int8"),
            "domain": text,
            "topic": text,
            "image_labels": List(List(text)),
            "source": {"document_url": text, "picture_urls": List(text), "licence": text, "dump": text},
            "generation": {
                "writer": text,
                "model": text,
                "prompt_sha256": text,
                "temperature": Value("float32"),
                "date": text,
                "prompt_tokens": Value("int32"),
                "completion_tokens": Value("int32"),
            },
            "clip_similarity": List(Value("float32")),
            "image_phash": List(text),
        }
    )


@cache
def arrow_schema() -> pa.Schema:
    """The Arrow schema of a shard, with the metadata that makes `load_dataset` see images."""
    return row_features().arrow_schema


def shard_of(row_id: str, num_shards: int) -> int:
    """The shard a row lives in: fixed by its id alone."""
    return int.from_bytes(row_id.encode()[-8:].rjust(8, b"\0"), "big") % num_shards


def count_shards(size_bytes: int) -> int:
    """How many shards that many bytes of rows should have."""
    return max(1, -(-size_bytes // SHARD_BYTES_TARGET))


def write_shard(tables: Iterable[pa.Table], path: Path, *, durable: bool = False) -> None:
    """Write one shard from tables of at most `ROWS_A_GROUP` rows, one row group each.

    The tables are made here while a thread writes the one before. The file appears atomically; `durable` waits
    until it is on the disk, for a shard that replaces the only copy there is.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(path.name + ".unfinished")
    leaves = [leaf for leaf in _leaf_paths() if leaf != _IMAGE_COLUMN]
    with (
        pq.ParquetWriter(
            unfinished,
            arrow_schema(),
            compression=dict.fromkeys(leaves, "snappy") | {_IMAGE_COLUMN: "none"},
            use_dictionary=[leaf for leaf in leaves if leaf != "id"],
            write_page_index=True,
            use_content_defined_chunking=_CHUNKING,
        ) as writer,
        ThreadPoolExecutor(max_workers=1) as thread,
    ):
        earlier: Future[None] | None = None
        for table in tables:
            if earlier is not None:
                earlier.result()
            earlier = thread.submit(writer.write_table, table.cast(arrow_schema()))
        if earlier is not None:
            earlier.result()
    if durable:
        with unfinished.open("rb+") as file:
            os.fsync(file.fileno())
    unfinished.replace(path)


def cut_groups(table: pa.Table) -> Iterator[pa.Table]:
    """A table as slices of one row group each."""
    for start in range(0, table.num_rows, ROWS_A_GROUP):
        yield table.slice(start, ROWS_A_GROUP)


@cache
def _leaf_paths() -> tuple[str, ...]:
    """Dotted paths of the leaf columns as Parquet names them."""
    empty = pa.BufferOutputStream()
    pq.write_table(arrow_schema().empty_table(), empty)
    schema = pq.ParquetFile(pa.BufferReader(empty.getvalue())).schema
    return tuple(schema.column(index).path for index in range(len(schema)))


class ShardWriter:
    """Collects dialogues of one configuration and writes its shards `train-00000-of-00004.parquet` on leaving.

    Use as `with ShardWriter(folder, num_shards) as writer: writer.add(dialogue)`. Memory stays below about twice
    `BUFFER_BYTES` whatever the number of rows: beyond it rows wait on disk, shard by shard. A shard without rows is not
    written (`load_dataset` refuses it).
    """

    def __init__(self, folder: Path, num_shards: int = 1, split: str = "train") -> None:
        self.num_rows = 0
        self._folder = folder
        self._split = split
        self._waiting: list[list[Dialogue]] = [[] for _ in range(num_shards)]
        self._waiting_bytes = 0
        self._spill: tempfile.TemporaryDirectory[str] | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._write()
        finally:
            if self._spill is not None:
                self._spill.cleanup()

    def add(self, dialogue: Dialogue) -> None:
        """Take one dialogue; it is in the shard that its id names once the writer is left."""
        self._waiting[shard_of(dialogue.id, len(self._waiting))].append(dialogue)
        self.num_rows += 1
        self._waiting_bytes += sum(len(image.data) for image in dialogue.images) + 8192
        if self._waiting_bytes > BUFFER_BYTES:
            self._spill_rows()

    def _spill_rows(self) -> None:
        if self._spill is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._spill = tempfile.TemporaryDirectory(prefix=".unfinished-", dir=self._folder)
        part = len(list(Path(self._spill.name).iterdir()))
        for index, dialogues in enumerate(self._waiting):
            if dialogues:
                table = to_columns(dialogues, arrow_schema())
                pq.write_table(table, f"{self._spill.name}/{index:05d}-{part:08d}", compression="none")
                dialogues.clear()
        self._waiting_bytes = 0

    def _write(self) -> None:
        if self._spill is not None:
            self._spill_rows()
        with ThreadPoolExecutor(max_workers=SHARDS_AT_ONCE) as threads:
            list(threads.map(self._write_one, range(len(self._waiting))))

    def _write_one(self, index: int) -> None:
        path = self._folder / f"{self._split}-{index:05d}-of-{len(self._waiting):05d}.parquet"
        dialogues = self._waiting[index]
        if self._spill is not None:
            parts = sorted(Path(self._spill.name).glob(f"{index:05d}-*"))
            if parts:
                table = pa.concat_tables([pq.read_table(part, partitioning=None) for part in parts])
                write_shard(cut_groups(table.take(pc.sort_indices(table["id"]))), path)
        elif dialogues:
            write_shard(_to_groups(sorted(dialogues, key=lambda dialogue: dialogue.id)), path)


def _to_groups(dialogues: Sequence[Dialogue]) -> Iterator[pa.Table]:
    for start in range(0, len(dialogues), ROWS_A_GROUP):
        yield to_columns(dialogues[start : start + ROWS_A_GROUP], arrow_schema())


def write_dataset(
    dialogues: Iterable[Dialogue], folder: Path, size_bytes: int = 0, split: str = "train"
) -> dict[str, int]:
    """Write dialogues below a folder, `single/` for those of one image and `multi/` for those of several.

    Args:
        dialogues: in any order; the files depend on their contents only.
        folder: gets `single/` and `multi/`, each only if it has rows; older shards in them are replaced.
        size_bytes: total size if known, to choose the number of shards.
        split: name of the split.

    Returns:
        Number of rows by configuration name.
    """
    num_shards = count_shards(size_bytes)
    for name in ("single", "multi"):
        for old in (folder / name).glob("*.parquet"):
            old.unlink()
    with (
        ShardWriter(folder / "single", num_shards, split) as single,
        ShardWriter(folder / "multi", num_shards, split) as multi,
    ):
        for dialogue in dialogues:
            (single if len(dialogue.images) <= 1 else multi).add(dialogue)
    return {"single": single.num_rows, "multi": multi.num_rows}
