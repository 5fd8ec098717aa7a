"""Truncate dialogues to their first turns and the images of these, lazily when rows are read."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

_ROWS_AT_ONCE = 1000


class Counts(NamedTuple):
    """Total number of turns and images of dialogues."""

    turns: int
    images: int


def truncate_row(row: Mapping[str, Any], turns_max: int) -> dict[str, Any]:
    """The row with its first turns, without the images of later turns.

    Removes as many images as placeholders, so that an invalid row stays invalid and is reported later.
    """
    messages, images = row["messages"] or [], row["images"] or []
    later = [block for message in messages[2 * turns_max :] for block in message["content"] or []]
    num_gone = sum(block["type"] == "image" for block in later)
    return {**row, "messages": messages[: 2 * turns_max], "images": images[: max(0, len(images) - num_gone)]}


def keep_first_turns(rows: Any, turns_max: int) -> Any:
    """A `datasets` object whose rows are truncated lazily, when they are read."""
    if hasattr(rows, "with_transform"):
        return rows.with_transform(functools.partial(_truncate_columns, turns_max=turns_max))
    return rows.map(functools.partial(truncate_row, turns_max=turns_max), features=rows.features)


def _truncate_columns(columns: Mapping[str, Sequence[Any]], turns_max: int) -> dict[str, list[Any]]:
    rows = [
        truncate_row(dict(zip(columns, values, strict=True)), turns_max)
        for values in zip(*columns.values(), strict=True)
    ]
    return {name: [row[name] for row in rows] for name in columns}


def count_truncated(rows: Any, turns_max: int) -> tuple[Counts, Counts]:
    """Counts of a data set before and after truncation; reads the text, not the images."""
    import pyarrow.compute as pc

    whole = left = Counts(0, 0)
    for table in rows.select_columns(["messages"]).with_format("arrow").iter(batch_size=_ROWS_AT_ONCE):
        messages = table["messages"].combine_chunks()
        whole = _add(whole, messages)
        left = _add(left, pc.list_slice(messages, 0, 2 * turns_max))
    return whole, left


def _add(counts: Counts, messages: Any) -> Counts:
    """Add the counts of an Arrow list array of messages."""
    import pyarrow.compute as pc

    flat = pc.list_flatten(messages)
    kinds = pc.struct_field(pc.list_flatten(pc.struct_field(flat, "content")), "type")
    return Counts(counts.turns + len(flat) // 2, counts.images + (pc.sum(pc.equal(kinds, "image")).as_py() or 0))


def show_truncated(turns_max: int, whole: Counts, left: Counts) -> str:
    """A line about the truncation."""
    return (
        f"the first {turns_max} turns of each dialogue: {left.turns:,} of {whole.turns:,} turns and "
        f"{left.images:,} of {whole.images:,} images"
    )
