"""Truncate dialogues to their first turns and the images of these, lazily when rows are read."""

from __future__ import annotations

import functools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from mmcr_dataset.record.row import IMAGE_TOKEN

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
    end = 2 * turns_max + bool(messages and messages[0]["role"] == "system")
    num_gone = sum(_count_images(message["content"]) for message in messages[end:])
    return {**row, "messages": messages[:end], "images": images[: max(0, len(images) - num_gone)]}


def _count_images(content: str | Sequence[Mapping[str, Any]] | None) -> int:
    if isinstance(content, str):
        return content.count(IMAGE_TOKEN)
    return sum(block["type"] == "image" for block in content or [])


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
    whole = left = Counts(0, 0)
    for table in rows.select_columns(["messages"]).with_format("arrow").iter(batch_size=_ROWS_AT_ONCE):
        messages = table["messages"].combine_chunks()
        whole = _add(whole, messages)
        if pc.any(pc.equal(pc.struct_field(pc.list_flatten(messages), "role"), "system")).as_py():
            kept = [
                truncate_row({"messages": one, "images": []}, turns_max)["messages"] for one in messages.to_pylist()
            ]
            left = _add(left, pa.array(kept, messages.type))
        else:
            left = _add(left, pc.list_slice(messages, 0, 2 * turns_max))
    return whole, left


def _add(counts: Counts, messages: Any) -> Counts:
    """Add the counts of an Arrow list array of messages."""
    flat = pc.list_flatten(messages)
    answers, content = pc.equal(pc.struct_field(flat, "role"), "assistant"), pc.struct_field(flat, "content")
    if pa.types.is_string(content.type) or pa.types.is_large_string(content.type):
        images = pc.count_substring(content, IMAGE_TOKEN)
    else:
        images = pc.equal(pc.struct_field(pc.list_flatten(content), "type"), "image")
    return Counts(counts.turns + (pc.sum(answers).as_py() or 0), counts.images + (pc.sum(images).as_py() or 0))


def show_truncated(turns_max: int, whole: Counts, left: Counts) -> str:
    """A line about the truncation."""
    return (
        f"the first {turns_max} turns of each dialogue: {left.turns:,} of {whole.turns:,} turns and "
        f"{left.images:,} of {whole.images:,} images"
    )
