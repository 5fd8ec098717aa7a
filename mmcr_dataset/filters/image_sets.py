"""Read the images of an evaluation set.

a folder        every image, Parquet and TSV file below it
Parquet         columns of images (`{bytes, path}`, lists of them, or raw bytes)
TSV             columns with base64 images, as in VLMEvalKit
"""

from __future__ import annotations

import base64
import binascii
import csv
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.record.images import IMAGE_SUFFIXES, MAGIC_NUMBERS, ImageError, decode_rgb, perceptual_hash
from mmcr_dataset.record.parquet_memory import rows_a_batch

_BASE64 = re.compile(r"[A-Za-z0-9+/]{64,}={0,2}")  # a cell may be one image or a list of them as text
_ROWS_A_BATCH = 64


@dataclass(frozen=True, slots=True)
class SetImage:
    """One image of an evaluation set: a name that locates it, and its bytes."""

    name: str
    data: bytes


def read_images(path: Path) -> Iterator[SetImage]:
    """Yield all images of a set, sorted by file name and row.

    Raises:
        ValueError: there is no such path, or no image in it.
    """
    if not path.exists():
        raise ValueError(f"{path}: no such file or folder; expected images, Parquet or TSV")
    files = [path] if path.is_file() else sorted(entry for entry in path.rglob("*") if entry.is_file())
    number = 0
    for file in files:
        for image in _read_file(file, file.name if path.is_file() else file.relative_to(path).as_posix()):
            number += 1
            yield image
    if number == 0:
        raise ValueError(f"{path}: no image found; expected image files, Parquet or VLMEvalKit TSV with images")


def read_hashes(path: Path) -> Iterator[tuple[str, str | ImageError]]:
    """Yield name and perceptual hash (or decoding error) of each image of a set."""
    for image in read_images(path):
        try:
            yield image.name, perceptual_hash(decode_rgb(image.data))
        except ImageError as error:
            yield image.name, error


def _read_file(path: Path, name: str) -> Iterator[SetImage]:
    suffix = path.suffix.lower()
    if suffix in IMAGE_SUFFIXES:
        yield SetImage(name, path.read_bytes())
    elif suffix == ".parquet":
        yield from _read_parquet(path, name)
    elif suffix == ".tsv":
        yield from _read_tsv(path, name)


def _read_parquet(path: Path, name: str) -> Iterator[SetImage]:
    try:
        with pq.ParquetFile(path) as file:
            columns = [field.name for field in file.schema_arrow if _may_hold_images(field.type)]
            if not columns:
                return
            key = "id" if "id" in file.schema_arrow.names else None
            number = 0
            for batch in file.iter_batches(rows_a_batch(file, _ROWS_A_BATCH), columns=columns + ([key] if key else [])):
                for row in batch.to_pylist():
                    label = f"{name} {row[key]}" if key else f"{name} row {number}"
                    number += 1
                    yield from _name(label, _bytes_in([row[column] for column in columns]))
    except (pa.ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a readable Parquet file ({error})") from error


def _may_hold_images(kind: pa.DataType) -> bool:
    if pa.types.is_struct(kind):
        return bool(kind.get_field_index("bytes") >= 0)
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _may_hold_images(kind.value_type)
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _bytes_in(value: Any) -> Iterator[bytes]:  # noqa: ANN401  (whatever a Parquet cell holds)
    if isinstance(value, bytes):
        yield value
    elif isinstance(value, Mapping):
        yield from _bytes_in(value.get("bytes"))
    elif isinstance(value, list):
        for item in value:
            yield from _bytes_in(item)


def _read_tsv(path: Path, name: str) -> Iterator[SetImage]:
    limit = csv.field_size_limit(1 << 30)  # cells with images are large
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            for number, row in enumerate(csv.DictReader(file, delimiter="\t")):
                yield from _name(f"{name} {row.get('index') or number}", _decoded_in(row.values()))
    except (csv.Error, UnicodeDecodeError) as error:
        raise ValueError(f"{path}: not a readable TSV ({error})") from error
    finally:
        csv.field_size_limit(limit)


def _decoded_in(cells: Iterable[Any]) -> Iterator[bytes]:
    for cell in cells:
        for match in _BASE64.finditer(cell if isinstance(cell, str) else ""):
            try:
                data = base64.b64decode(match.group() + "=" * (-len(match.group()) % 4))
            except binascii.Error:
                continue
            if data.startswith(MAGIC_NUMBERS):
                yield data


def _name(row: str, images: Iterable[bytes]) -> Iterator[SetImage]:
    """Name the images of a row: the first as the row, further ones with a number."""
    for number, data in enumerate(images, start=1):
        yield SetImage(row if number == 1 else f"{row} #{number}", data)
