"""Where the pages of a Parquet file lie, read from its footer and page index, which pyarrow writes but doesn't show.

Source: the Thrift compact protocol, and FileMetaData and OffsetIndex of apache/parquet-format (parquet.thrift).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

_ROW_GROUPS, _COLUMNS, _OFFSET_INDEX_OFFSET, _OFFSET_INDEX_LENGTH = 4, 1, 4, 5  # fields of the structs, by number
_FOOTER_BYTES_MAX = 1_000_000_000


@dataclass(frozen=True, slots=True)
class ColumnPages:
    """The pages of one column in one row group.

    Attributes:
        size_bytes: of all pages.
        dictionary_bytes: of the dictionary page, which every read needs.
        pages: size in bytes and first row (in the row group) of each data page; None without a page index.
    """

    size_bytes: int
    dictionary_bytes: int
    pages: tuple[tuple[int, int], ...] | None

    def read_bytes(self, start: int, end: int, num_rows: int) -> int:
        """Bytes that are read for the rows from `start` to before `end` of a row group of `num_rows`."""
        if self.pages is None:
            return self.size_bytes
        ends = [first for _, first in self.pages[1:]] + [num_rows]
        pages = zip(self.pages, ends, strict=True)
        return self.dictionary_bytes + sum(size for (size, first), last in pages if first < end and last > start)


def read_pages(path: Path) -> Iterator[list[ColumnPages]]:
    """The columns of each row group of a file.

    Raises:
        ValueError: the footer is damaged.
    """
    metadata = pq.read_metadata(path)
    with path.open("rb") as file:
        file.seek(-8, 2)
        (size,) = struct.unpack("<I", file.read(4))
        if size > _FOOTER_BYTES_MAX:
            raise ValueError(f"{path}: a footer of {size:,} bytes, at most {_FOOTER_BYTES_MAX:,} are read")
        file.seek(-8 - size, 2)
        footer = _Thrift(file.read(size)).struct()
        for number, group in enumerate(footer[_ROW_GROUPS]):
            columns = []
            for place, column in enumerate(group[_COLUMNS]):
                chunk = metadata.row_group(number).column(place)
                pages: tuple[tuple[int, int], ...] | None = None
                if _OFFSET_INDEX_OFFSET in column:
                    file.seek(column[_OFFSET_INDEX_OFFSET])
                    index = _Thrift(file.read(column[_OFFSET_INDEX_LENGTH])).struct()
                    pages = tuple((page[2], page[3]) for page in index[1])
                start = chunk.dictionary_page_offset
                dictionary = chunk.data_page_offset - start if start else 0
                columns.append(ColumnPages(chunk.total_compressed_size, dictionary, pages))
            yield columns


class _Thrift:
    """Reads structs of the Thrift compact protocol as field number -> value."""

    def __init__(self, data: bytes) -> None:
        self._data, self._at = data, 0

    def struct(self) -> dict[int, Any]:
        """The next struct."""
        found: dict[int, Any] = {}
        number = 0
        while header := self._take(1)[0]:
            number = number + (header >> 4) if header >> 4 else self._signed()
            found[number] = self._value(header & 15)
        return found

    def _value(self, kind: int) -> Any:  # noqa: ANN401
        if kind in (1, 2):  # true, false
            return kind == 1
        if kind == 3:  # byte
            return self._take(1)[0]
        if kind in (4, 5, 6):  # i16, i32, i64
            return self._signed()
        if kind == 7:
            return struct.unpack("<d", self._take(8))[0]
        if kind == 8:
            return self._take(self._unsigned())
        if kind in (9, 10):  # list, set
            header = self._take(1)[0]
            count = header >> 4 if header >> 4 < 15 else self._unsigned()
            is_flag = header & 15 in (1, 2)
            return [self._take(1)[0] == 1 if is_flag else self._value(header & 15) for _ in range(count)]
        if kind == 12:
            return self.struct()
        raise ValueError(f"a value of the unknown type {kind} in a Parquet footer")

    def _take(self, size: int) -> bytes:
        if self._at + size > len(self._data):
            raise ValueError("a Parquet footer ends within a value")
        self._at += size
        return self._data[self._at - size : self._at]

    def _unsigned(self) -> int:
        value = shift = 0
        while True:
            byte = self._take(1)[0]
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    def _signed(self) -> int:
        value = self._unsigned()
        return (value >> 1) ^ -(value & 1)
