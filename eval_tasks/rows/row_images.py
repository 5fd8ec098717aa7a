"""The images of a table's rows: in the cell, in a file that the row names, or in another row."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from eval_tasks.rows.table_files import read_table, to_list
from eval_tasks.task import Row
from mmcr_dataset.record.paths import find_inside

_INDEX_LENGTH = 64  # characters: base64 images are longer, indices shorter
_IMAGE_FILES = (".jpg", ".jpeg", ".png", ".webp", ".gif", ".bmp", ".tif", ".tiff")
_ADDRESS = re.compile(r"https?://", re.IGNORECASE)
IMAGE_COLUMN = re.compile(r"(decoded_)?image(_\d+)?", re.IGNORECASE)
NAN_WORDS = frozenset({"nan", "NaN", "-nan", "-NaN", "<NA>", "#N/A", "#NA"})  # an empty cell, as pandas writes it


def has_no_image(row: Row) -> bool:
    """True for a row about no image: HallusionBench's text-only questions."""
    return str(row.get("visual_input", "1")) == "0"


def rows_with_images(
    path: Path, needs_image: Callable[[Row], bool], renamed: Callable[[Row], dict[str, Any]] = dict
) -> Iterator[Row]:
    """The rows of a file; `image` holds bytes or base64, or a list of them.

    Args:
        path: the file.
        needs_image: tells the rows that can't be asked without an image.
        renamed: the row under our names of its columns.

    Raises:
        ValueError: an image is missing: an empty cell, a file or another row that isn't there; the row is named.
    """
    images: dict[str, Any] = {}
    whole = False
    for number, row in enumerate(read_table(path), start=1):
        place = f"{path} row {number}"
        row = without_nan_words(renamed(row))
        if (index := other_row(row.get("image"))) is not None:
            if index not in images and not whole:
                images, whole = _images_by_index(path, renamed), True  # the row may come later
            if _ADDRESS.match(index):
                raise ValueError(f"{place}: image {index!r} is an address; nothing is fetched, put the file beside it")
            if index not in images:
                raise ValueError(f"{place}: image {index!r} is not the index of another row, nor an image")
            row = {**row, "image": images[index]}
        elif row.get("image") is not None:
            images[_index(row.get("index"))] = row["image"]
        yield with_image_files(row, path, place, needs_image)


def with_image_files(row: Row, path: Path, place: str, needs_image: Callable[[Row], bool]) -> Row:
    """The row with the bytes of the image files that it names.

    Raises:
        ValueError: it needs an image and has none, or a file isn't in the table's folder.
    """
    cells_of = {name: to_list(row[name], place) for name in row if IMAGE_COLUMN.fullmatch(name)}
    shown = [name for name, cells in cells_of.items() if cells]
    found: dict[str, Any] = {}
    for name in shown:
        cells = cells_of[name]
        if any(map(_file_name, cells)) and not (name == "image" and "decoded_image" in row):
            found[name] = [_read_file(one, path, place) for one in cells]
    if not shown and "image_path" in row and needs_image(row):
        found["image"] = [_read_file(one, path, place, named=True) for one in to_list(row["image_path"], place)]
    elif not shown and needs_image(row):
        raise ValueError(
            f"{place}: no image (its cell is empty, or there is no such column); nothing is asked blind. The row has "
            f"{', '.join(sorted(map(str, row)))}"
        )
    return {**row, **found}


def _images_by_index(path: Path, renamed: Callable[[Row], dict[str, Any]]) -> dict[str, Any]:
    """The image of each row that has one of its own, or that of the row it names."""
    cells = {_index(row.get("index")): row.get("image") for row in map(renamed, read_table(path))}

    def follow(cell: Any, depth: int = 0) -> Any:  # noqa: ANN401  (a cell)
        index = other_row(cell)
        return cell if index is None or depth > len(cells) else follow(cells.get(index), depth + 1)

    found = {index: follow(cell) for index, cell in cells.items()}
    return {index: cell for index, cell in found.items() if cell is not None and other_row(cell) is None}


def _index(cell: Any) -> str:  # noqa: ANN401  (a cell)
    return str(cell).strip().removesuffix(".0")


def other_row(cell: Any) -> str | None:  # noqa: ANN401  (a cell)
    """The index of another row in an `image` cell (VLMEvalKit's rotations); None if the cell is something else."""
    if isinstance(cell, int | float) and not isinstance(cell, bool):
        return _index(cell)
    is_short = isinstance(cell, str) and len(cell) <= _INDEX_LENGTH and not cell.lstrip().startswith("[")
    return _index(cell) if is_short and _file_name(cell) is None else None


def _file_name(cell: Any) -> str | None:  # noqa: ANN401  (a cell)
    """The file that a cell names, None if it holds the image itself."""
    if isinstance(cell, Mapping):
        return str(cell["path"]) if cell.get("bytes") is None and cell.get("path") else None
    is_name = isinstance(cell, str) and len(cell) < 1024 and cell.strip().lower().endswith(_IMAGE_FILES)
    return cell.strip() if is_name else None


def _read_file(cell: Any, path: Path, place: str, named: bool = False) -> Any:  # noqa: ANN401  (a cell)
    """The bytes of the file that a cell names, from the table's folder; other cells as they are."""
    name = str(cell).strip() if named else _file_name(cell)
    if name is None:
        return cell
    folder = path.parent.absolute()
    relative = Path(name)
    if relative.is_absolute() and relative.is_relative_to(folder):
        relative = relative.relative_to(folder)
    for base in ("", "images", f"images/{path.stem}"):
        file = find_inside(folder, os.path.normpath(Path(base) / relative))
        if file is not None:
            return file.read_bytes()
    why = "; an address isn't fetched" if _ADDRESS.match(name) else ""
    raise ValueError(f"{place}: no image file {name!r} in {folder} or its folder images{why}")


def without_nan_words(row: Row) -> dict[str, Any]:
    """The row without the cells that pandas wrote for an empty one; a gold option keeps its words."""
    gold = str(row.get("answer", "")).strip().upper()
    kept = (*("question", "answer", "answers", "query"), gold)
    return {
        name: cell
        for name, cell in row.items()
        if name in kept or not (isinstance(cell, str) and cell.strip() in NAN_WORDS)
    }
