"""MMC4 documents: a list of sentences, and images that are assigned to one sentence each.

Also OmniCorpus documents in this format, with `image_url`. An image is placed before its sentence. If
`matched_text_index` is missing, the similarity matrix decides: greedy matching, most similar pairs first.

Source: MMC4 (arXiv 2304.06939): url, text_list, image_info[raw_url, matched_text_index], similarity_matrix.
"""

from __future__ import annotations

import gzip
import io
import json
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Any

from mmcr_dataset.collect.document import Document, ImageAt, document_id, read_row
from mmcr_dataset.collect.sources.locations import SourceFile, hub_errors
from mmcr_dataset.record.dialogue import Source
from mmcr_dataset.stage.stages import Removed

ENDINGS = (".jsonl", ".jsonl.gz", ".zip")
_LINE_BYTES_MAX = 50_000_000  # longer lines are skipped
# zipfile raises NotImplementedError for a compression it doesn't know, RuntimeError for an encrypted member
_BROKEN_ARCHIVE = (EOFError, zlib.error, zipfile.BadZipFile, NotImplementedError, RuntimeError)
_MATCHED_MAX = 64  # documents with more images are removed anyway


def to_document(row: Mapping[str, Any], place: str, licence: str | None = None) -> Document | Removed:
    """Convert one row; `place` is its position, for messages."""
    texts, images, url = row.get("text_list"), row.get("image_info"), row.get("url")
    if not isinstance(texts, list) or not isinstance(images, list):
        return Removed(document_id(str(row)[:10000]), "null_columns", f"{place}: no list text_list or image_info")
    row_id = document_id(str(url), *map(str, texts), *map(str, images))
    matrix, valid = row.get("similarity_matrix"), row.get("valid_image_ids")
    try:
        numbers = [n for n in range(len(images)) if valid is None or n in valid]
        at = [images[n].get("matched_text_index") for n in numbers]
        if None in at:
            at = _match([(matrix or [])[n] for n in numbers]) if len(at) <= _MATCHED_MAX else [0] * len(at)
        addresses = [images[n].get("raw_url") or images[n]["image_url"] for n in numbers]
    except (AttributeError, KeyError, IndexError, TypeError, ValueError) as error:
        detail = f"{place}: image_info without URL, or without matched_text_index and similarity_matrix ({error!r})"
        return Removed(row_id, "unreadable_image_info", detail)
    if any(not isinstance(index, int) or not 0 <= index < len(texts) for index in at):
        return Removed(row_id, "bad_text_index", f"{place}: matched_text_index {at} for {len(texts)} texts")
    blocks: list[str | ImageAt] = []
    for index, text in enumerate(texts):
        blocks += [ImageAt(url=str(a)) for a, here in zip(addresses, at, strict=True) if here == index]
        if text:
            blocks.append(str(text))
    return Document(row_id, tuple(blocks), Source(url if isinstance(url, str) else None, licence))


def _match(similarities: Sequence[Sequence[float]]) -> list[int]:
    """Greedy matching, most similar pairs first: the index of each image's sentence.

    Args:
        similarities: of each image (rows) and sentence (columns).
    """
    pairs = sorted(
        ((float(value), -image, -text) for image, row in enumerate(similarities) for text, value in enumerate(row)),
        reverse=True,
    )
    found: dict[int, int] = {}
    for _, image, text in pairs:
        if -image not in found and -text not in found.values():
            found[-image] = -text
    best = [max(range(len(row)), key=lambda text, row=row: row[text]) for row in similarities]  # type: ignore[misc]
    return [found.get(image, best[image]) for image in range(len(similarities))]


@dataclass(frozen=True)
class JsonLinesFile:
    """One JSON Lines file, compressed or in a zip archive, as a part of a source."""

    file: SourceFile
    licence: str | None
    num_rows: int | None = None

    @property
    def name(self) -> str:
        """Path of the file."""
        return self.file.name

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield its documents.

        Raises:
            ValueError: the archive is damaged, or the file can't be read.
        """
        number = 0
        broken: tuple[type[Exception], ...] = (*hub_errors(), *_BROKEN_ARCHIVE)
        try:
            with self.file.open(in_order=True) as opened:
                for place, lines in _open_lines(self.file.name, opened):
                    while line := lines.readline(_LINE_BYTES_MAX + 1):
                        number += 1
                        yield self._to_document(line, f"{place} line {number}")
                        while len(line) > _LINE_BYTES_MAX and not line.endswith(b"\n"):
                            line = lines.readline(_LINE_BYTES_MAX + 1)
        except broken as error:
            raise ValueError(f"{self.file.name} after line {number}: {error}; {self.file.remedy}") from error

    def _to_document(self, line: bytes, place: str) -> Document | Removed:
        if len(line) > _LINE_BYTES_MAX:
            return Removed(document_id(place), "too_long_line", f"{place}: more than {_LINE_BYTES_MAX} bytes")
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            return Removed(document_id(place), "not_json", f"{place}: {error}")
        if not isinstance(row, dict):
            return Removed(document_id(place), "not_json", f"{place}: expected an object, got {type(row).__name__}")
        return read_row(to_document, row, place, self.licence)


def _open_lines(name: str, opened: IO[bytes]) -> Iterator[tuple[str, io.BufferedIOBase]]:
    if name.endswith(".gz"):
        with gzip.open(opened) as lines:
            yield name, lines
    elif name.endswith(".zip"):
        with zipfile.ZipFile(opened) as archive:
            for entry in sorted(archive.namelist()):
                if entry.endswith((".jsonl", ".json")):
                    with archive.open(entry) as lines:
                        yield f"{name}:{entry}", io.BufferedReader(lines)  # type: ignore[type-var]
    else:
        yield name, io.BufferedReader(opened)  # type: ignore[type-var]
