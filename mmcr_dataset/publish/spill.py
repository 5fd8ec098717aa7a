"""Rows on their way to the shards they belong to, on disk beyond `BUFFER_BYTES`: memory doesn't grow with the set.

Rows become Arrow batches as they come: Python objects of a whole set would be visited by each garbage collection. In a
file on disk a shard's rows are one batch.
"""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from mmcr_dataset.record.columns import to_columns
from mmcr_dataset.record.dialogue import Dialogue

BUFFER_BYTES = 600_000_000  # rows in memory before they are written; sorting them takes as much again
_BATCH_BYTES, _BATCH_ROWS = 16_000_000, 256
_TEXT_BYTES = 8192  # what a row takes beside its images, about


class Batch(NamedTuple):
    """Where a batch is: the shard its rows belong to, the file's name, its place in the file."""

    shard: int
    file: str
    place: int


class RowSpill:
    """Writes rows to `00000.arrow`, `00001.arrow`, ... of a folder.

    Args:
        folder: is created with the first rows.
        schema: schema of the published row (`parquet.arrow_schema`).
    """

    def __init__(self, folder: Path, schema: pa.Schema) -> None:
        self.batches: list[Batch] = []
        self._folder, self._schema, self._num_files = folder, schema, 0
        self._dialogues: list[Dialogue] = []
        self._tables: list[pa.Table] = []
        self._shards = array("q")  # of each row in memory
        self._batch_bytes = self._table_bytes = 0

    def add(self, shard: int, dialogue: Dialogue) -> None:
        """Add a row of a shard."""
        self._shards.append(shard)
        self._dialogues.append(dialogue)
        self._batch_bytes += sum(len(image.data) for image in dialogue.images) + _TEXT_BYTES
        if self._batch_bytes > _BATCH_BYTES or len(self._dialogues) == _BATCH_ROWS:
            self._to_table()
        if self._table_bytes > BUFFER_BYTES:
            self.flush()

    def flush(self) -> None:
        """Write the rows in memory to a file, if there are any."""
        if not self._shards:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        name, (table, rows_of) = f"{self._num_files:05d}.arrow", self.take()
        with pa.OSFile(str(self._folder / name), "wb") as file, pa.ipc.new_file(file, self._schema) as writer:
            for place, (shard, rows) in enumerate(rows_of.items()):
                writer.write(table.take(rows).to_batches()[0])
                self.batches.append(Batch(shard, name, place))
        self._num_files += 1

    def take(self) -> tuple[pa.Table, dict[int, pa.Array]]:
        """The rows in memory, which are in one chunk and no longer kept here, and which of them are of each shard."""
        self._to_table()
        table, shards = pa.concat_tables(self._tables).combine_chunks(), np.array(self._shards)
        self._tables, self._shards, self._table_bytes = [], array("q"), 0
        order = np.argsort(shards, kind="stable")
        numbers, starts = np.unique(shards[order], return_index=True)
        return table, dict(zip(numbers.tolist(), map(pa.array, np.split(order, starts[1:])), strict=True))

    def _to_table(self) -> None:
        if self._dialogues:
            self._tables.append(to_columns(self._dialogues, self._schema))
            self._table_bytes += self._tables[-1].nbytes
            self._dialogues, self._batch_bytes = [], 0


def read_batches(folder: Path, batches: Iterable[Batch]) -> pa.Table:
    """The rows of batches, in one chunk."""
    return pa.Table.from_batches(_map_batches(folder, batches)).combine_chunks()


def _map_batches(folder: Path, batches: Iterable[Batch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        with pa.memory_map(str(folder / batch.file)) as file:
            yield pa.ipc.open_file(file).get_batch(batch.place)
