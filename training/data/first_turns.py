"""Dialogues truncated after some turns: the first turns with the images shown by then, made while rows are read."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_ROWS_AT_ONCE = 1000


class Shown(NamedTuple):
    """What dialogues hold."""

    turns: int
    images: int


def cut_row(row: Mapping[str, Any], turns_max: int) -> dict[str, Any]:
    """The row with its first turns, and without the images that only later turns show.

    As many images go as marks do, so that a row with too many or too few of them stays one, and is named later.
    """
    messages, images = row["messages"] or [], row["images"] or []
    later = [block for message in messages[2 * turns_max :] for block in message["content"] or []]
    num_gone = sum(block["type"] == "image" for block in later)
    return {**row, "messages": messages[: 2 * turns_max], "images": images[: max(0, len(images) - num_gone)]}


def keep_first_turns(rows: Any, turns_max: int) -> Any:
    """A `datasets` object whose rows are truncated when they are read (lazily); nothing is copied or read now."""
    if hasattr(rows, "with_transform"):
        return rows.with_transform(functools.partial(_cut_columns, turns_max=turns_max))
    return rows.map(functools.partial(cut_row, turns_max=turns_max), features=rows.features)


def _cut_columns(columns: Mapping[str, Sequence[Any]], turns_max: int) -> dict[str, list[Any]]:
    rows = [
        cut_row(dict(zip(columns, values, strict=True)), turns_max) for values in zip(*columns.values(), strict=True)
    ]
    return {name: [row[name] for row in rows] for name in columns}


def count_shown(rows: Any, turns_max: int) -> tuple[Shown, Shown]:
    """What the rows of a data set hold, and what is left of it; reads their words, not their images."""
    import pyarrow.compute as pc

    whole = left = Shown(0, 0)
    for table in rows.select_columns(["messages"]).with_format("arrow").iter(batch_size=_ROWS_AT_ONCE):
        messages = table["messages"].combine_chunks()
        whole = _add(whole, messages)
        left = _add(left, pc.list_slice(messages, 0, 2 * turns_max))
    return whole, left


def _add(counted: Shown, messages: Any) -> Shown:
    """The counts with those of an Arrow list array of messages."""
    import pyarrow.compute as pc

    flat = pc.list_flatten(messages)
    kinds = pc.struct_field(pc.list_flatten(pc.struct_field(flat, "content")), "type")
    return Shown(counted.turns + len(flat) // 2, counted.images + (pc.sum(pc.equal(kinds, "image")).as_py() or 0))


def show_cut(turns_max: int, whole: Shown, left: Shown) -> str:
    """What the cut leaves, in a line."""
    return (
        f"the first {turns_max} turns of each dialogue: {left.turns:,} of {whole.turns:,} turns and "
        f"{left.images:,} of {whole.images:,} images"
    )
