"""Digest of the rows of a data set: ids, messages, and of each image its size and its last bytes."""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_COLUMNS = ("id", "messages", "images")
_ROWS_AT_ONCE = 1000
_TAIL_BYTES = 32  # the end of a PNG has a checksum of its pixels, that of a JPEG is compressed pixels

_Hashes = defaultdict[str, Any]  # of each level of nesting its own, so that the cut into chunks doesn't matter


def digest_rows(rows: Any) -> str:
    """SHA-256 of a `datasets.Dataset`, in the order of its rows and wherever its files lie; decodes no image."""
    tables = rows.select_columns(list(_COLUMNS)).with_format("arrow").iter(batch_size=_ROWS_AT_ONCE)
    return _digest(tables)


def digest_first_rows(rows: Iterable[Mapping[str, Any]]) -> str:
    """SHA-256 of a few rows of a stream."""
    return _digest([pa.Table.from_pylist([{name: row[name] for name in _COLUMNS} for row in rows])])


def _digest(tables: Iterable[pa.Table]) -> str:
    hashes: _Hashes = defaultdict(hashlib.sha256)
    for table in tables:
        for name in table.column_names:
            for chunk in table[name].chunks:
                _add(hashes, name, chunk)
    return hashlib.sha256(repr(sorted((at, one.hexdigest()) for at, one in hashes.items())).encode()).hexdigest()


def _add(hashes: _Hashes, at: str, values: pa.Array) -> None:
    """Add an array: which entries are null, how long the others are, and what they hold."""
    kind = values.type
    hashes[f"{at}?"].update(values.is_valid().to_numpy(zero_copy_only=False).tobytes())
    if pa.types.is_struct(kind):
        for number in range(kind.num_fields):
            _add(hashes, f"{at}.{kind.field(number).name}", pc.struct_field(values, [number]))
    elif pa.types.is_list(kind) or pa.types.is_large_list(kind):
        hashes[f"{at}#"].update(_numbers(pc.list_value_length(values)))
        _add(hashes, f"{at}[]", values.flatten())
    elif pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        hashes[f"{at}#"].update(_numbers(pc.binary_length(values)))
        for value in values:
            hashes[at].update(value.as_buffer()[-_TAIL_BYTES:].to_pybytes() if value.is_valid else b"")
    elif pa.types.is_string(kind) or pa.types.is_large_string(kind):
        hashes[f"{at}#"].update(_numbers(pc.binary_length(values)))
        hashes[at].update("".join(text for text in values.to_pylist() if text).encode("utf-8", "surrogatepass"))
    elif not pa.types.is_null(kind):
        hashes[at].update(repr(values.to_pylist()).encode())


def _numbers(values: pa.Array) -> bytes:
    return np.asarray(values.cast(pa.int64()).fill_null(-1)).tobytes()
