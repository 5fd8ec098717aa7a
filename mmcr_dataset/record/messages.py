"""Convert a dialogue (with the replies so far) or a single question to chat messages with image blocks.

Generation, training, evaluation, judges and the published row all use `to_messages`, so that a model is evaluated on
the messages that it was trained on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn


class Content(TypedDict):
    """One content block of a message: text or image."""

    type: Literal["text", "image"]
    text: NotRequired[str]
    image: NotRequired[DialogueImage]


class Message(TypedDict):
    """One message in the format of `processor.apply_chat_template`."""

    role: Literal["system", "user", "assistant"]
    content: list[Content]


@dataclass(frozen=True, slots=True)
class Question:
    """A prompt for a writer or a judge: text, then images. Not a dialogue of the data set."""

    text: str
    images: tuple[DialogueImage, ...] = ()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The single turn, without an answer; an empty text is omitted."""
        texts = (self.text,) if self.text else ()
        return (Turn((*texts, *range(1, len(self.images) + 1)), ""),)


def to_messages(asked: Dialogue | Question, replies: Sequence[str] = ()) -> list[Message]:
    """The messages up to and including the next user turn.

    With a reply for each turn (`to_messages(d, d.references)`, as in training) they end with the last reply.

    Args:
        asked: the dialogue or the question.
        replies: assistant messages of the first turns, in order; references are used only if passed here.

    Raises:
        ValueError: there are more replies than turns.
    """
    if len(replies) > len(asked.turns):
        name = f"dialogue {asked.id!r}" if isinstance(asked, Dialogue) else "the question"
        raise ValueError(f"{name} has {len(asked.turns)} turns, got {len(replies)} replies; pass one a turn")
    messages: list[Message] = []
    for index, turn in enumerate(asked.turns[: len(replies) + 1]):
        content: list[Content] = [
            text_block(block) if isinstance(block, str) else {"type": "image", "image": asked.images[block - 1]}
            for block in turn.human
        ]
        messages.append({"role": "user", "content": content})
        if index < len(replies):
            messages.append(to_message("assistant", replies[index]))
    return messages


def text_block(text: str) -> Content:
    """A block of words."""
    return {"type": "text", "text": text}


def to_message(role: Literal["system", "user", "assistant"], text: str) -> Message:
    """A message of words alone."""
    return {"role": role, "content": [text_block(text)]}


def to_blocks(text: str, mark: str) -> list[dict[str, str | None]]:
    """The blocks of a published row's message, from a text in which a mark stands for each image."""
    first, *others = text.split(mark)
    blocks: list[dict[str, str | None]] = [{"type": "text", "text": first}]
    for other in others:
        blocks += [{"type": "image", "text": None}, {"type": "text", "text": other}]
    return [block for block in blocks if block["text"] != ""]


def images_in(messages: Sequence[Message]) -> tuple[DialogueImage, ...]:
    """The images of the messages, in order."""
    return tuple(block["image"] for message in messages for block in message["content"] if "image" in block)


def without_images(messages: Sequence[Message]) -> list[Message]:
    """The messages in a JSON-serializable form: image blocks without their image."""
    return [
        {
            "role": message["role"],
            "content": [{"type": "image"} if block["type"] == "image" else block for block in message["content"]],
        }
        for message in messages
    ]


def to_openai(
    messages: Sequence[Message], show: Callable[[DialogueImage], str], detail: str | None = None
) -> list[dict[str, Any]]:
    """The messages for an OpenAI-compatible endpoint.

    Args:
        messages: from `to_messages`.
        show: returns an image's `data:` URL, or another text that identifies it.
        detail: image detail `low`, `high` or `auto`, for endpoints that support it.
    """
    extra = {"detail": detail} if detail else {}
    return [
        {
            "role": message["role"],
            "content": message["content"][0]["text"]
            if message["role"] == "assistant"
            else [
                {"type": "image_url", "image_url": {"url": show(block["image"])} | extra}
                if block["type"] == "image"
                else dict(block)
                for block in message["content"]
            ],
        }
        for message in messages
    ]
