"""Write dialogues to Parquet shards with embedded images, in a layout for the Hub and its viewer.

Row groups of 100 rows (a viewer page reads at most 300 MB), page index, content-defined chunking (a takedown uploads
little), images neither compressed nor dictionary-encoded. A row's shard is a function of its id, and rows are sorted by
id: output is independent of input order, and removing a row changes one file.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from array import array
from bisect import bisect_left
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
BUFFER_BYTES = 800_000_000  # rows in memory before they are spilled to disk
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


def write_sorted(parts: Sequence[pa.RecordBatch], path: Path) -> None:
    """Write the rows of one shard, sorted by id."""
    table = pa.Table.from_batches(parts)
    write_shard(to_row_groups(table.take(pc.sort_indices(table["id"]))), path)


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

    Use as `with ShardWriter(folder, num_shards) as writer: writer.add(dialogue)`. Memory stays below about twice
    `BUFFER_BYTES`: beyond it rows are spilled to disk. Empty shards are not written (`load_dataset` rejects them).
    """

    def __init__(self, folder: Path, num_shards: int = 1, split: str = "train") -> None:
        self.num_rows = 0
        self._folder = folder
        self._split = split
        self._waiting: list[list[Dialogue]] = [[] for _ in range(num_shards)]
        self._waiting_bytes = 0
        self._spill: tempfile.TemporaryDirectory[str] | None = None
        self._spilled: list[tuple[Path, array[int]]] = []  # file and, in order, the shards whose rows it has

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
        """Add one dialogue; it is written when the context exits."""
        self._waiting[shard_of(dialogue.id, len(self._waiting))].append(dialogue)
        self.num_rows += 1
        self._waiting_bytes += sum(len(image.data) for image in dialogue.images) + 8192
        if self._waiting_bytes > BUFFER_BYTES:
            self._spill_rows()

    def _spill_rows(self) -> None:
        """Write all rows in memory to one file, a batch for each shard that has any."""
        if self._spill is None:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._spill = tempfile.TemporaryDirectory(prefix=".unfinished-", dir=self._folder)
        path = Path(self._spill.name, f"{len(self._spilled):05d}.arrow")
        shards = array("L")
        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_file(file, arrow_schema()) as writer:
            for index, dialogues in enumerate(self._waiting):
                if dialogues:
                    writer.write(to_columns(dialogues, arrow_schema()).combine_chunks().to_batches()[0])
                    shards.append(index)
                    dialogues.clear()
        self._spilled.append((path, shards))
        self._waiting_bytes = 0

    def _read_spilled(self, index: int) -> Iterator[pa.RecordBatch]:
        for path, shards in self._spilled:
            place = bisect_left(shards, index)
            if place < len(shards) and shards[place] == index:
                with pa.OSFile(str(path), "rb") as file:
                    yield pa.ipc.open_file(file).get_batch(place)

    def _write(self) -> None:
        if self._spill is not None:
            self._spill_rows()
        with ThreadPoolExecutor(max_workers=SHARDS_AT_ONCE) as threads:
            list(threads.map(self._write_one, range(len(self._waiting))))

    def _write_one(self, index: int) -> None:
        path = self._folder / shard_name(self._split, index, len(self._waiting))
        dialogues = self._waiting[index]
        if self._spill is not None:
            if parts := list(self._read_spilled(index)):
                write_sorted(parts, path)
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
