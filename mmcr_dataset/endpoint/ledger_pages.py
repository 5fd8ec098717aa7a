"""Read the rows of a damaged SQLite file page by page, without SQLite.

Scans every page of the file and of its write-ahead log, and yields the records of each page that can be a B-tree page,
whether or not the tree above it is intact. Records may be stale or garbage: the caller verifies them.
Source: the SQLite file format, https://www.sqlite.org/fileformat2.html.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from pathlib import Path

Value = str | bytes | float | int | None
_INTERIOR_INDEX, _LEAF_INDEX, _LEAF_TABLE = 0x02, 0x0A, 0x0D
_INT_SIZES = {1: 1, 2: 2, 3: 3, 4: 4, 5: 6, 6: 8}
_MAX_PAYLOAD = 1 << 28


class _Damaged(Exception):
    """The bytes are not a valid cell."""


class Pages:
    """The pages of a database, numbered from 1; the newest committed version of each."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("rb")
        head = self._file.read(100)
        size = struct.unpack(">H", head[16:18])[0] if head.startswith(b"SQLite format 3\0") else 4096
        self.size = 65536 if size == 1 else size
        if self.size < 512 or self.size & (self.size - 1):
            self.size = 4096
        self.count = -(-path.stat().st_size // self.size)
        self._logged = self._read_log(path.with_name(path.name + "-wal"))
        self.count = max([self.count, *self._logged])

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _read_log(self, path: Path) -> dict[int, bytes]:
        """The committed pages of the write-ahead log."""
        if not path.is_file():
            return {}
        log = path.read_bytes()
        salts, pages, committed = log[16:24], {}, {}
        for at in range(32, len(log) - self.size - 23, self.size + 24):
            number, size_after, frame_salts = *struct.unpack(">II", log[at : at + 8]), log[at + 8 : at + 16]
            if frame_salts != salts or not number:
                break
            pages[number] = log[at + 24 : at + 24 + self.size]
            if size_after:
                committed.update(pages)
                pages = {}
        return committed

    def page(self, number: int) -> bytes:
        """One page.

        Raises:
            _Damaged: there is no such page.
        """
        if number in self._logged:
            return self._logged[number]
        if not 1 <= number <= self.count:
            raise _Damaged
        self._file.seek((number - 1) * self.size)
        return self._file.read(self.size).ljust(self.size, b"\0")

    def payload(self, page: bytes, at: int, size: int, is_table: bool) -> bytes:
        """The payload of a cell, its overflow pages included.

        Args:
            page: the page that holds the cell.
            at: offset of the payload in the page.
            size: bytes of the whole payload.
            is_table: True for a table leaf, False for an index page.
        """
        usable = self.size
        most_here = usable - 35 if is_table else (usable - 12) * 64 // 255 - 23
        if size <= most_here:
            return page[at : at + size]
        least_here = (usable - 12) * 32 // 255 - 23
        here = least_here + (size - least_here) % (usable - 4)
        here = here if here <= most_here else least_here
        parts, left = [page[at : at + here]], size - here
        following = struct.unpack(">I", page[at + here : at + here + 4].rjust(4, b"\0"))[0]
        while left > 0:
            overflow = self.page(following)
            parts.append(overflow[4 : 4 + min(left, usable - 4)])
            left -= usable - 4
            following = struct.unpack(">I", overflow[:4])[0]
        return b"".join(parts)


def read_records(path: Path) -> Iterator[tuple[Value, ...]]:
    """Every record found on any page of the file, in no order; stale versions of rows may be among them."""
    pages = Pages(path)
    try:
        for number in range(1, pages.count + 1):
            page = pages.page(number)
            start = 100 if number == 1 else 0
            kind = page[start]
            if kind not in (_INTERIOR_INDEX, _LEAF_INDEX, _LEAF_TABLE):
                continue
            num_cells = struct.unpack(">H", page[start + 3 : start + 5])[0]
            pointers = start + (12 if kind == _INTERIOR_INDEX else 8)
            for cell in range(min(num_cells, pages.size // 4)):
                try:
                    yield _read_cell(pages, page, kind, pointers + 2 * cell)
                except (_Damaged, IndexError, struct.error, UnicodeDecodeError):
                    continue
    finally:
        pages.close()


def _read_cell(pages: Pages, page: bytes, kind: int, pointer: int) -> tuple[Value, ...]:
    at = struct.unpack(">H", page[pointer : pointer + 2])[0]
    if kind == _INTERIOR_INDEX:
        at += 4  # its left child
    size, at = _read_varint(page, at)
    if kind == _LEAF_TABLE:
        _, at = _read_varint(page, at)  # its rowid
    if not 0 < size <= _MAX_PAYLOAD:
        raise _Damaged
    return _read_record(pages.payload(page, at, size, kind == _LEAF_TABLE))


def _read_varint(data: bytes, at: int) -> tuple[int, int]:
    value = 0
    for place in range(8):
        byte = data[at + place]
        value = value << 7 | byte & 0x7F
        if byte < 0x80:
            return value, at + place + 1
    return value << 8 | data[at + 8], at + 9


def _read_record(data: bytes) -> tuple[Value, ...]:
    head_size, at = _read_varint(data, 0)
    kinds: list[int] = []
    while at < head_size:
        kind, at = _read_varint(data, at)
        kinds.append(kind)
    values: list[Value] = []
    for kind in kinds:
        value, at = _read_value(data, kind, at)
        values.append(value)
    return tuple(values)


def _read_value(data: bytes, kind: int, at: int) -> tuple[Value, int]:
    if kind in (0, 8, 9):
        return (None, 0, 1)[max(0, kind - 7)], at
    if kind in _INT_SIZES:
        return int.from_bytes(data[at : at + _INT_SIZES[kind]], "big", signed=True), at + _INT_SIZES[kind]
    if kind == 7:
        return struct.unpack(">d", data[at : at + 8])[0], at + 8
    size = (kind - 12) // 2
    if kind < 12 or at + size > len(data):
        raise _Damaged
    raw = data[at : at + size]
    return (raw.decode("utf-8") if kind % 2 else raw), at + size
