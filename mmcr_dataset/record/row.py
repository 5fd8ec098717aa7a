"""The published row of a dialogue, the public schema of the data set.

`messages` (text blocks, `{"type": "image"}` for an image) and `conversations` (LLaVA / Ovis format) always hold the
same dialogue: both are written here, and `from_row` compares them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from mmcr_dataset.record.dialogue import Block, Dialogue, DialogueImage, Generation, InvalidDialogue, Source, Turn
from mmcr_dataset.record.messages import to_messages

IMAGE_TOKEN = "<image>"  # noqa: S105  (placeholder of an image in `conversations`)


def to_conversations(dialogue: Dialogue) -> list[dict[str, str]]:
    """The dialogue in LLaVA / Ovis format: `from` human or gpt, `value` with `<image>` for each image."""
    conversations: list[dict[str, str]] = []
    for turn in dialogue.turns:
        human = "".join(block if isinstance(block, str) else IMAGE_TOKEN for block in turn.human)
        conversations.append({"from": "human", "value": human})
        conversations.append({"from": "gpt", "value": turn.assistant})
    return conversations


def to_row_messages(dialogue: Dialogue) -> list[dict[str, Any]]:
    """The `messages` column of a dialogue; image blocks have a null text."""
    return [
        {
            "role": message["role"],
            "content": [{"type": block["type"], "text": block.get("text")} for block in message["content"]],
        }
        for message in to_messages(dialogue, dialogue.references)
    ]


def to_row(dialogue: Dialogue) -> dict[str, Any]:
    """The published columns of a dialogue, in their order."""
    images = dialogue.images
    return {
        "id": dialogue.id,
        "images": [{"bytes": image.data, "path": None} for image in images],
        "messages": to_row_messages(dialogue),
        "conversations": to_conversations(dialogue),
        "num_turns": len(dialogue.turns),
        "num_images": len(images),
        "domain": dialogue.domain,
        "topic": dialogue.topic,
        "image_labels": [list(image.labels) for image in images],
        "source": {
            "document_url": dialogue.source.document_url,
            "picture_urls": [image.url for image in images],
            "licence": dialogue.source.licence,
            "dump": dialogue.source.dump,
        },
        "generation": asdict(dialogue.generation),
        "clip_similarity": [image.similarity for image in images],
        "image_phash": [image.phash for image in images],
    }


def _turns_from_messages(row_id: str, messages: Sequence[Mapping[str, Any]]) -> tuple[Turn, ...]:
    """Turns from the `messages` column; images are numbered in order of appearance."""
    roles = [message["role"] for message in messages]
    if not roles or len(roles) % 2 or roles != ["user", "assistant"] * (len(roles) // 2):
        raise InvalidDialogue("alternation", f"row {row_id!r}: roles {roles}, expected user, assistant, user, ...")
    turns: list[Turn] = []
    number = 0
    for human, assistant in zip(messages[::2], messages[1::2], strict=True):
        blocks: list[Block] = []
        for block in human["content"]:
            if block["type"] == "image":
                number += 1
                blocks.append(number)
            else:
                blocks.append(block["text"])
        answer = assistant["content"]
        if [block["type"] for block in answer] != ["text"]:
            raise InvalidDialogue(
                "assistant_text", f"row {row_id!r}: turn {len(turns) + 1}: expected exactly one text block in an answer"
            )
        turns.append(Turn(human=tuple(blocks), assistant=answer[0]["text"]))
    return tuple(turns)


def _image_bytes(row_id: str, image: Any) -> bytes:  # noqa: ANN401  (what a row holds depends on how it was loaded)
    data = image.get("bytes") if isinstance(image, Mapping) else None
    if isinstance(data, bytes):
        return data
    raise InvalidDialogue(
        "image_bytes",
        f"row {row_id!r}: images has {type(image).__name__}, expected undecoded bytes; load the rows with "
        "mmcr_dataset.record.load.load_dialogues, or cast the column to List(Image(decode=False))",
    )


def _aligned(row_id: str, name: str, values: Sequence[Any] | None, count: int) -> Sequence[Any]:
    """A column with one value for each image; missing or empty means all None."""
    if not values:
        return [None] * count
    if len(values) != count:
        raise InvalidDialogue(
            name, f"row {row_id!r}: {len(values)} values for {count} images, expected one for each image"
        )
    return values


def from_row(row: Mapping[str, Any]) -> Dialogue:
    """The dialogue of a published row; `images` must hold undecoded bytes.

    Raises:
        InvalidDialogue: the row violates an invariant, or `messages` and `conversations` differ.
    """
    row_id = str(row["id"])
    source, generation = row.get("source") or {}, row.get("generation") or {}
    count = len(row["images"])
    urls = _aligned(row_id, "picture_urls", source.get("picture_urls"), count)
    labels = _aligned(row_id, "image_labels", row.get("image_labels"), count)
    similarities = _aligned(row_id, "clip_similarity", row.get("clip_similarity"), count)
    phashes = _aligned(row_id, "image_phash", row.get("image_phash"), count)
    images = tuple(
        DialogueImage(_image_bytes(row_id, image), url, tuple(tags or ()), similarity, phash)
        for image, url, tags, similarity, phash in zip(row["images"], urls, labels, similarities, phashes, strict=True)
    )
    dialogue = Dialogue(
        id=row_id,
        turns=_turns_from_messages(row_id, row["messages"]),
        images=images,
        domain=row.get("domain"),
        topic=row.get("topic"),
        source=Source(source.get("document_url"), source.get("licence"), source.get("dump")),
        generation=Generation(**{name: generation.get(name) for name in Generation.__dataclass_fields__}),
    )
    conversations = row.get("conversations")
    if conversations is not None and [dict(entry) for entry in conversations] != to_conversations(dialogue):
        raise InvalidDialogue("same_dialogue", f"row {row_id!r}: messages and conversations differ")
    return dialogue
