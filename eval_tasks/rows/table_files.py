"""Read tables as rows: TSV and CSV, XLSX, JSON, JSON Lines, Parquet; a folder of shards as one table."""

from __future__ import annotations

import base64
import binascii
import csv
import json
import re
from ast import literal_eval
from collections.abc import Iterator, Mapping
from io import StringIO
from pathlib import Path
from token import ENDMARKER, NEWLINE, NL, STRING
from tokenize import TokenError, generate_tokens
from typing import Any

from eval_tasks.rows.label_versions import note_table
from eval_tasks.rows.xlsx import read_xlsx
from mmcr_dataset.record.parquet_memory import rows_a_batch

CELL_CHARACTERS_MAX = 200_000_000  # a cell, a line of JSON Lines: several images of the largest size in base64
_JSON_BYTES_MAX = 4_000_000_000
SUFFIXES = (".parquet", ".tsv", ".csv", ".xlsx", ".jsonl", ".json")
_NO_COMMA = re.compile(r"""['"]\s+['"]""")  # between texts, as numpy writes a list
_PICKLE = "a pickle can execute code when it is loaded, so it is refused; use the table that holds the replies"
_REFUSED = dict.fromkeys((".pkl", ".pickle"), _PICKLE) | {".xls": "the old format of Excel; save it as .xlsx"}


def read_table(path: Path) -> Iterator[dict[str, Any]]:
    """The rows of a file, without empty cells.

    Raises:
        ValueError: the file is missing, of another format, or malformed.
    """
    if not path.is_file():
        raise ValueError(f"{path}: no such file")
    readers = {".parquet": _read_parquet, ".xlsx": read_xlsx, ".jsonl": _read_jsonl, ".json": _read_json}
    if path.suffix.lower() not in SUFFIXES:
        why = _REFUSED.get(path.suffix.lower(), f"can't read {path.suffix or 'a file without a suffix'}")
        raise ValueError(f"{path}: {why}; expected {', '.join(SUFFIXES)}")
    read = readers.get(path.suffix.lower(), _read_separated)
    note_table(path)
    try:
        for row in read(path):
            yield {str(name): value for name, value in row.items() if value is not None and value != ""}
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error
    except csv.Error as error:
        raise ValueError(f"{path}: a cell that can't be read ({error})") from error


def table_files(place: Path) -> list[Path]:
    """The files of a table: the file itself, or a folder's Parquet shards, else its only table.

    Raises:
        ValueError: there is no table, or the choice is ambiguous.
    """
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise ValueError(f"{place}: no such file or folder")
    for suffix in SUFFIXES:
        found = sorted(place.rglob(f"*{suffix}"))
        if suffix == ".parquet" and found:
            return found
        if len(found) > 1:
            names = ", ".join(path.name for path in found[:5])
            raise ValueError(f"{place} holds several {suffix} files ({names}); name one of them")
        if found:
            return found
    raise ValueError(f"{place}: no table in it; expected one of {', '.join(SUFFIXES)}")


def _read_separated(path: Path) -> Iterator[Mapping[str, Any]]:
    csv.field_size_limit(CELL_CHARACTERS_MAX)  # an image is one field
    separator = "\t" if path.suffix.lower() == ".tsv" else ","
    with path.open(encoding="utf-8-sig", newline="") as lines:
        for row in csv.DictReader(lines, delimiter=separator):
            if None in row:
                raise ValueError(f"{path}: row {row!r:.120} has more fields than the header")
            yield row


def _read_jsonl(path: Path) -> Iterator[Mapping[str, Any]]:
    with path.open(encoding="utf-8-sig") as lines:
        number = 0
        while line := lines.readline(CELL_CHARACTERS_MAX):
            number += 1
            if len(line) >= CELL_CHARACTERS_MAX:
                raise ValueError(f"{path} line {number}: longer than {CELL_CHARACTERS_MAX:,} characters")
            if line.strip():
                yield _object(json_value(line, f"{path} line {number}"), f"{path} line {number}")


def _read_json(path: Path) -> Iterator[Mapping[str, Any]]:
    """A list of rows, or an object of id -> row or id -> reply."""
    value = load_json(path)
    if isinstance(value, dict):
        for name, row in value.items():
            cells = {"prediction": row} if isinstance(row, str) else _object(row, f"{path}, entry {name!r}")
            yield {"id": name, **cells}
        return
    for number, row in enumerate(value if isinstance(value, list) else [value]):
        yield _object(row, f"{path}, entry {number}")


def _object(value: Any, place: str) -> Mapping[str, Any]:  # noqa: ANN401  (any JSON value)
    if isinstance(value, dict):
        return value
    raise ValueError(f"{place}: expected an object, found {type(value).__name__}")


def load_json(path: Path) -> Any:  # noqa: ANN401  (any JSON value)
    """The value of a JSON file; a list if its content is JSON Lines.

    Raises:
        ValueError: the file isn't JSON.
    """
    if path.stat().st_size > _JSON_BYTES_MAX:
        raise ValueError(f"{path}: larger than {_JSON_BYTES_MAX:,} bytes; save it as JSON Lines")
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path}: not UTF-8 ({error}); save it as UTF-8") from error
    note_table(path)
    lines = text.strip().split("\n")
    if len(lines) > 1 and lines[0].startswith("{") and lines[0].rstrip().endswith("}"):
        return [json_value(line, f"{path} line {number}") for number, line in enumerate(lines, 1) if line.strip()]
    return json_value(text, str(path))


def json_value(text: str, place: str) -> Any:  # noqa: ANN401  (any JSON value)
    """Parse JSON.

    Raises:
        ValueError: the text isn't JSON; the message starts with `place`.
    """
    try:
        return json.loads(text)
    except RecursionError as error:
        raise ValueError(f"{place}: JSON that is nested too deeply to be read") from error
    except ValueError as error:
        raise ValueError(f"{place}: not JSON ({error})") from error


def _read_parquet(path: Path) -> Iterator[Mapping[str, Any]]:
    import pyarrow.parquet as parquet
    from pyarrow import ArrowInvalid

    try:
        file = parquet.ParquetFile(path)
    except (ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: not a Parquet file ({error})") from error
    try:
        for batch in file.iter_batches(batch_size=rows_a_batch(file, 64)):
            yield from batch.to_pylist()
    except (ArrowInvalid, OSError) as error:
        raise ValueError(f"{path}: can't be read ({error})") from error


def to_list(value: Any, place: str) -> list[Any]:  # noqa: ANN401  (a cell holds a list or its text)
    """A cell as a list: a list, its text (`"['a', 'b']"`, or numpy's `"['a' 'b']"`), or a single value.

    Raises:
        ValueError: the text starts like a list but can't be parsed.
    """
    if isinstance(value, list | tuple):
        return list(value)
    if isinstance(value, str) and value.lstrip().startswith("["):
        try:
            return list(literal_eval(_with_commas(value) if _NO_COMMA.search(value) else value.strip()))
        except (ValueError, SyntaxError, TypeError, RecursionError, MemoryError, TokenError) as error:  # too deep: 2
            raise ValueError(
                f"{place}: {value[:60]!r} starts like a list but can't be parsed; write a text that begins so as a "
                'list of one: ["..."]'
            ) from error
    return [] if value is None else [value]


def _with_commas(text: str) -> str:
    """The text of a list with commas between texts that follow each other, which Python would join."""
    before: int | None = None
    found: list[str] = []
    for token in generate_tokens(StringIO(text.strip()).readline):
        found += [","] if before == token.type == STRING else []
        found += [token.string] if token.type not in (NL, NEWLINE, ENDMARKER) else []
        before = before if token.type == NL else token.type
    return " ".join(found)


def to_texts(value: Any, place: str) -> list[str]:  # noqa: ANN401  (a cell holds a list or its text)
    """A cell as texts, without empty cells at the end of its list.

    Raises:
        ValueError: an entry is an object, a list, or an empty cell before others.
    """
    found = to_list(value, place)
    while found and found[-1] is None:
        found.pop()
    for one in found:
        if one is None or isinstance(one, Mapping | list | tuple):
            raise ValueError(f"{place}: {one!r:.60} in a list, expected texts")
    return list(map(str, found))


def image_bytes(value: Any, place: str) -> bytes:  # noqa: ANN401  (a cell's form depends on the file)
    """The bytes of one image: raw, base64 text, or the `{bytes, path}` of `datasets`.

    Raises:
        ValueError: the cell is none of these.
    """
    if isinstance(value, Mapping):
        value = value.get("bytes")
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            text = value.split(",", 1)[-1] if value.lstrip().startswith("data:") else value
            return base64.b64decode("".join(text.split()), validate=True)
        except (binascii.Error, ValueError) as error:
            raise ValueError(f"{place}: {value[:40]!r} is not an image in base64 ({error})") from error
    raise ValueError(f"{place}: an image is missing (found {type(value).__name__})")
