"""OmniCorpus-CC rows from Parquet: `images` and `texts` of equal length, at each place one of the two is null.

Source: OpenGVLab/OmniCorpus-CC (arXiv 2406.08418), columns general_metadata, images, texts, metadata.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.collect.document import Document, PictureAt, document_id
from mmcr_dataset.schema import Source
from mmcr_dataset.stages import Removed

_COLUMNS = ("general_metadata", "images", "texts")
_ROWS_A_BATCH = 256


class OmniCorpusSource:
    """The documents of one Parquet file or of all below a folder, in the order of file names and rows.

    Raises:
        ValueError: no Parquet file there, or one that is damaged or lacks a column.
    """

    def __init__(self, path: Path, licence: str | None = None, dump: str | None = None) -> None:
        self.paths = [path] if path.is_file() else sorted(path.rglob("*.parquet"))
        if not self.paths:
            raise ValueError(f"{path}: no Parquet file there; expected OmniCorpus-CC rows")
        self._licence, self._dump = licence, dump
        for file in self.paths:
            try:
                names = pq.read_schema(file).names
            except (pa.ArrowInvalid, OSError) as error:
                raise ValueError(f"{file}: not a readable Parquet file ({error}); fetch it again") from error
            missing = [column for column in _COLUMNS if column not in names]
            if missing:
                raise ValueError(
                    f"{file}: no column {', '.join(missing)}, found {', '.join(names)}; expected OmniCorpus"
                )

    @property
    def fingerprint(self) -> str:
        """Changes when a file's name, size or number of rows does."""
        parts = [f"{path.name} {path.stat().st_size} {pq.read_metadata(path).num_rows}" for path in self.paths]
        return hashlib.sha256("\n".join(parts).encode()).hexdigest()

    def __iter__(self) -> Iterator[Document | Removed]:
        """Each row as a document, or why it is none."""
        for path in self.paths:
            number = 0
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches(batch_size=_ROWS_A_BATCH, columns=list(_COLUMNS)):
                    for row in batch.to_pylist():
                        yield to_document(row, f"{path.name} row {number}", self._licence, self._dump)
                        number += 1


def to_document(
    row: Mapping[str, Any], place: str, licence: str | None = None, dump: str | None = None
) -> Document | Removed:
    """One OmniCorpus-CC row as a document, or why it is none; `place` names the row in messages."""
    general = row.get("general_metadata") or {}
    images, texts = row.get("images"), row.get("texts")
    row_id = general.get("id") or document_id(general.get("url") or "", str(images), str(texts))
    if images is None or texts is None:
        return Removed(row_id, "null_columns", f"{place}: images or texts is null")
    if len(images) != len(texts):
        return Removed(
            row_id, "unequal_lengths", f"{place}: {len(images)} images and {len(texts)} texts, expected as many"
        )
    blocks: list[str | PictureAt] = []
    for image, text in zip(images, texts, strict=True):
        if image is not None and text is not None:
            return Removed(row_id, "image_and_text_at_one_place", f"{place}: expected one of the two to be null")
        if image is not None:
            blocks.append(PictureAt(url=image))
        elif text is not None:
            blocks.append(text)
    return Document(row_id, tuple(blocks), Source(general.get("url"), licence, dump))
