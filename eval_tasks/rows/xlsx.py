"""Read the first sheet of an XLSX file within limits: it is an archive of XML, which may unpack to anything."""

from __future__ import annotations

import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

_UNPACKED_BYTES_MAX = 1_000_000_000
_STRINGS_BYTES_MAX = 200_000_000  # the shared strings are held in memory, about five times as large
_COLUMNS_MAX = 1000
_EMPTY_ROWS_MAX = 10_000  # in a row: a sheet may claim a million of them


def read_xlsx(path: Path) -> Iterator[Mapping[str, Any]]:
    """The rows of the first sheet; the first line names the columns.

    Raises:
        ValueError: it is no XLSX file, is larger than the limits, or openpyxl is not installed.
    """
    try:
        import openpyxl
    except ModuleNotFoundError as error:
        raise ValueError(f"{path}: reading XLSX needs openpyxl; pip install openpyxl") from error
    from xml.etree.ElementTree import ParseError
    from zipfile import BadZipFile

    try:
        _check_size(path)
        book = openpyxl.load_workbook(path, read_only=True, data_only=True)
        lines = book.worksheets[0].iter_rows(values_only=True, max_col=_COLUMNS_MAX)
        header = [str(name) for name in next(lines, ()) if name is not None]
        num_empty = 0
        for line in lines:
            num_empty = 0 if any(cell is not None for cell in line) else num_empty + 1
            if num_empty > _EMPTY_ROWS_MAX:
                raise ValueError(f"{path}: more than {_EMPTY_ROWS_MAX:,} empty rows in a row; delete them and save it")
            if not num_empty:
                yield dict(zip(header, line, strict=False))
        book.close()
    except (BadZipFile, KeyError, OSError, ParseError, EOFError, IndexError, TypeError, zlib.error) as error:
        raise ValueError(f"{path}: not an XLSX file that can be read ({error})") from error


def _check_size(path: Path) -> None:
    """Check what the archive unpacks to, as its directory says; a member that is larger than it says is an error later.

    Raises:
        ValueError: it is more than is read.
    """
    from zipfile import ZipFile

    with ZipFile(path) as archive:
        members = archive.infolist()
    size = sum(member.file_size for member in members)
    strings = sum(member.file_size for member in members if "sharedstrings" in member.filename.lower())
    if size > _UNPACKED_BYTES_MAX or strings > _STRINGS_BYTES_MAX:
        raise ValueError(
            f"{path}: unpacks to {size:,} bytes, {strings:,} of them shared strings; at most {_UNPACKED_BYTES_MAX:,} "
            f"and {_STRINGS_BYTES_MAX:,} are read. Save the table as .tsv or .jsonl"
        )
