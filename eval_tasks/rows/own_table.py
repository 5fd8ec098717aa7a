"""Any table as a benchmark: `PLACE?question=COLUMN&split=NAME`, a file, a folder or a Hub id with a map of columns."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from urllib.parse import parse_qsl

from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_place import hub_id
from eval_tasks.rows.hub_rows import load_rows
from eval_tasks.rows.row_images import has_no_image
from eval_tasks.task import Row

OF_HUB = ("split", "config", "revision")
COLUMNS = ("question", "answer", "image", "options", "hint", "category", "l2_category", "index")


def read_place(data: str) -> tuple[str, HubRows]:
    """The place without its map, and the map.

    Example: `"me/cats?split=val&question=query"` -> `("me/cats", HubRows("me/cats", "val", columns=...))`

    Raises:
        ValueError: the map is malformed, or has an unknown name.
    """
    place, mark, text = data.partition("?")
    pairs = parse_qsl(text, keep_blank_values=True)
    known = (*OF_HUB, *COLUMNS)
    if bool(mark) != bool(pairs) or any(name not in known or not value for name, value in pairs):
        raise ValueError(f"--data {data}: expected PLACE?NAME=COLUMN&..., with NAME one of {', '.join(known)}")
    named = dict(pairs)
    columns = tuple((name, named[name]) for name in COLUMNS if name in named)
    name, revision = hub_id(place) or (place, None)
    return name, HubRows(
        name, named.get("split", "test"), named.get("config"), named.get("revision", revision), columns
    )


def read_own_table(data: str | None, required: Sequence[str]) -> Iterator[Row]:
    """The rows of a table that the user names; each needs an image, unless its `visual_input` is 0.

    Args:
        data: its place, with a map of columns.
        required: columns without which nothing can be asked or scored.

    Raises:
        ValueError: there is no place, a required or a mapped column is missing, or an image is.
    """
    if data is None:
        raise ValueError(
            "this task asks a table of yours: pass --data TASK=FILE, TASK=FOLDER or TASK=ORG/NAME?split=test"
        )
    place, hub = read_place(data)
    renamed = [name for name, _ in hub.columns]
    rows = load_rows(None if hub_id(place) else place, hub, needs_image=lambda row: not has_no_image(row))
    for number, row in enumerate(rows):
        if number == 0:  # a later row may have an empty cell, which its task names
            for name in dict.fromkeys((*required, *renamed)):
                if name not in row and name not in ("image", "options"):
                    wanted = dict(hub.columns).get(name, name)
                    raise ValueError(
                        f"{place}: no column {wanted!r}; it has {', '.join(sorted(row))}. Name it with "
                        f"--data '{place}?{name}=COLUMN'"
                    )
        yield row


def table_name(data: str) -> str:
    """The name of a table in results: the stem of its file, the last part of a folder or a Hub id."""
    place = Path(read_place(data)[0])
    return place.stem if place.is_file() else place.name
