"""Dialogues to an Arrow table, column by column: equal to a table made from `to_row`, several times faster.

Builds flat lists with offsets instead of a dict a row; a test compares the two results.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import accumulate, chain

import pyarrow as pa

from mmcr_dataset.record.dialogue import Dialogue, Generation
from mmcr_dataset.record.row import to_conversations


def _texts(values: Iterable[str | None]) -> pa.Array:
    return pa.array(list(values), pa.string())


def _lists(lengths: Iterable[int], values: pa.Array, kind: pa.DataType) -> pa.Array:
    """A list column from the length of each list and all their values."""
    offsets = pa.array([0, *accumulate(lengths)], pa.int32())
    return pa.ListArray.from_arrays(offsets, values, type=kind)


def _struct(kind: pa.DataType, *columns: pa.Array) -> pa.Array:
    return pa.StructArray.from_arrays(list(columns), fields=list(kind.fields))


def to_columns(dialogues: Sequence[Dialogue], schema: pa.Schema) -> pa.Table:
    """The published columns of dialogues.

    Args:
        dialogues: the rows, in order.
        schema: schema of the published row (`parquet.arrow_schema`).
    """
    kind = {name: schema.field(name).type for name in schema.names}
    images = [image for dialogue in dialogues for image in dialogue.images]
    num_images = [len(dialogue.images) for dialogue in dialogues]
    num_turns = [len(dialogue.turns) for dialogue in dialogues]
    sources = [dialogue.source for dialogue in dialogues]
    image_kind = kind["images"].value_type
    labels = _lists((len(p.labels) for p in images), _texts(chain(*(p.labels for p in images))), pa.list_(pa.string()))
    columns = {
        "id": _texts(dialogue.id for dialogue in dialogues),
        "images": _lists(
            num_images,
            _struct(image_kind, pa.array([p.data for p in images], pa.binary()), pa.nulls(len(images), pa.string())),
            kind["images"],
        ),
        "messages": _messages(dialogues, kind["messages"]),
        "conversations": _conversations(dialogues, kind["conversations"]),
        "num_turns": pa.array(num_turns, pa.int8()),
        "num_images": pa.array(num_images, pa.int8()),
        "domain": _texts(dialogue.domain for dialogue in dialogues),
        "topic": _texts(dialogue.topic for dialogue in dialogues),
        "image_labels": _lists(num_images, labels, kind["image_labels"]),
        "source": _struct(
            kind["source"],
            _texts(source.document_url for source in sources),
            _lists(num_images, _texts(p.url for p in images), pa.list_(pa.string())),
            _texts(source.licence for source in sources),
            _texts(source.dump for source in sources),
        ),
        "generation": _generation(dialogues, kind["generation"]),
        "clip_similarity": _lists(
            num_images, pa.array([p.similarity for p in images], pa.float32()), kind["clip_similarity"]
        ),
        "image_phash": _lists(num_images, _texts(p.phash for p in images), kind["image_phash"]),
    }
    return pa.Table.from_arrays([columns[name] for name in schema.names], schema=schema)


def _messages(dialogues: Sequence[Dialogue], kind: pa.DataType) -> pa.Array:
    turns = [turn for dialogue in dialogues for turn in dialogue.turns]
    types: list[str] = []
    texts: list[str | None] = []
    lengths: list[int] = []
    for turn in turns:
        lengths += (len(turn.human), 1)
        for block in turn.human:
            types.append("image" if isinstance(block, int) else "text")
            texts.append(None if isinstance(block, int) else block)
        types.append("text")
        texts.append(turn.assistant)
    message = kind.value_type
    content = message.field("content").type
    blocks = _lists(lengths, _struct(content.value_type, _texts(types), _texts(texts)), content)
    roles = _texts(["user", "assistant"] * len(turns))
    return _lists((2 * len(dialogue.turns) for dialogue in dialogues), _struct(message, roles, blocks), kind)


def _conversations(dialogues: Sequence[Dialogue], kind: pa.DataType) -> pa.Array:
    conversations = [to_conversations(dialogue) for dialogue in dialogues]
    entries = list(chain(*conversations))
    values = _struct(kind.value_type, _texts(e["from"] for e in entries), _texts(e["value"] for e in entries))
    return _lists(map(len, conversations), values, kind)


def _generation(dialogues: Sequence[Dialogue], kind: pa.DataType) -> pa.Array:
    names = Generation.__dataclass_fields__
    return _struct(
        kind, *(pa.array([getattr(d.generation, name) for d in dialogues], kind.field(name).type) for name in names)
    )
