"""Write dialogues to Parquet shards with embedded images, in a layout for the Hub and its viewer.

Row groups of 100 rows (a viewer page reads at most 300 MB), page index, content-defined chunking (a takedown uploads
little), images neither compressed nor dictionary-encoded. A row's shard is a function of its id, and rows are sorted by
id: output is independent of input order, and removing a row changes one file.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache, partial
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from mmcr_dataset.publish.spill import Batch, RowSpill, read_batches
from mmcr_dataset.record.dialogue import Dialogue

if TYPE_CHECKING:
    from datasets import Features

ROWS_A_GROUP = 100
SHARD_BYTES_TARGET = 400_000_000
SHARDS_AT_ONCE = 2  # writer threads (pyarrow releases the GIL); each holds a shard in memory
_IMAGE_COLUMN = "images.list.element.bytes"
_CHUNKING = {
    "min_chunk_size": 256 * 1024,
    "max_chunk_size": 1024 * 1024,
    "norm_level": 0,
}  # parameters of the Hub's storage (Xet)


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
    """The Arrow schema of a shard, with the metadata by which `load_dataset` decodes images."""
    return row_features().arrow_schema


def shard_of(row_id: str, num_shards: int) -> int:
    """Shard number of a row, a function of its id."""
    return int.from_bytes(hashlib.sha256(row_id.encode("utf-8")).digest()[:8], "big") % num_shards


def shard_name(split: str, index: int, num_shards: int) -> str:
    """File name of a shard."""
    return f"{split}-{index:05d}-of-{num_shards:05d}.parquet"


def count_shards(size_bytes: int) -> int:
    """Number of shards for that many bytes of rows."""
    return max(1, -(-size_bytes // SHARD_BYTES_TARGET))


def write_shard(tables: Iterable[pa.Table], path: Path, *, durable: bool = False) -> None:
    """Atomic write of one shard.

    Args:
        tables: one row group each, of at most `ROWS_A_GROUP` rows; the next one is computed while a thread writes.
        path: the file.
        durable: fsync before the rename, for a shard that replaces the only copy.
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


def write_sorted(table: pa.Table, path: Path, rows: pa.Array | None = None) -> None:
    """Write the rows of one shard, sorted by id.

    Args:
        table: rows in one chunk: a group is taken from it without copying the others.
        path: the file.
        rows: numbers of the shard's rows in the table; default all.
    """
    order = pc.sort_indices(table["id"] if rows is None else table["id"].take(rows))
    order = order if rows is None else rows.take(order)
    groups = (order.slice(start, ROWS_A_GROUP) for start in range(0, len(order), ROWS_A_GROUP))
    write_shard((table.take(group) for group in groups), path)


def to_row_groups(table: pa.Table) -> Iterator[pa.Table]:
    """Slices of a table, one for each row group."""
    for start in range(0, table.num_rows, ROWS_A_GROUP):
        yield table.slice(start, ROWS_A_GROUP)


@cache
def _leaf_paths() -> tuple[str, ...]:
    """Parquet paths of the leaf columns."""
    empty = pa.BufferOutputStream()
    pq.write_table(arrow_schema().empty_table(), empty)
    schema = pq.ParquetFile(pa.BufferReader(empty.getvalue())).schema
    return tuple(schema.column(index).path for index in range(len(schema)))


class ShardWriter:
    """Collects the dialogues of one configuration and writes its shards `train-00000-of-00004.parquet` on exit.

    Use as `with ShardWriter(folder, num_shards) as writer: writer.add(dialogue)`. Beyond
    `spill.BUFFER_BYTES` rows wait on disk; memory stays below about twice of it, or that of the `SHARDS_AT_ONCE`
    largest shards and their copies. Empty shards are not written (`load_dataset` rejects them).
    """

    def __init__(self, folder: Path, num_shards: int = 1, split: str = "train") -> None:
        self.num_rows = 0
        self._folder, self._num_shards, self._split = folder, num_shards, split
        self._waiting = folder / f".unfinished-{split}"
        self._spill = RowSpill(self._waiting, arrow_schema())

    def __enter__(self) -> Self:
        shutil.rmtree(self._waiting, ignore_errors=True)  # of a process that was killed
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._write()
        finally:
            shutil.rmtree(self._waiting, ignore_errors=True)

    def add(self, dialogue: Dialogue) -> None:
        """Add one dialogue; it is written when the context exits."""
        self._spill.add(shard_of(dialogue.id, self._num_shards), dialogue)
        self.num_rows += 1

    def _write(self) -> None:
        with ThreadPoolExecutor(max_workers=SHARDS_AT_ONCE) as threads:
            if self.num_rows and not self._spill.batches:
                table, rows_of = self._spill.take()
                list(threads.map(partial(write_sorted, table), map(self._path, rows_of), rows_of.values()))
                return
            self._spill.flush()
            batches: defaultdict[int, list[Batch]] = defaultdict(list)
            for batch in self._spill.batches:
                batches[batch.shard].append(batch)
            list(threads.map(self._write_spilled, batches, batches.values()))

    def _path(self, shard: int) -> Path:
        return self._folder / shard_name(self._split, shard, self._num_shards)

    def _write_spilled(self, shard: int, batches: Sequence[Batch]) -> None:
        write_sorted(read_batches(self._waiting, batches), self._path(shard))


def write_dataset(
    dialogues: Iterable[Dialogue], folder: Path, size_bytes: int = 0, split: str = "train"
) -> dict[str, int]:
    """Write dialogues below a folder, `single/` for those of one image and `multi/` for those of several.

    Args:
        dialogues: in any order, which doesn't affect the output.
        folder: gets `single/` and `multi/`, each only if it has rows; existing shards in them are deleted.
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
