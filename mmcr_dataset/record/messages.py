"""A dialogue and the replies so far, or one question about images, to chat messages with the images at their marks.

The only place that does this: generation, training, evaluation, judges and the published row go through `to_messages`,
so what is trained is what is asked.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NotRequired, TypedDict

from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn


class Content(TypedDict):
    """One block of a message: a text, or an image."""

    type: Literal["text", "image"]
    text: NotRequired[str]
    image: NotRequired[DialogueImage]


class Message(TypedDict):
    """One message as `processor.apply_chat_template` takes it."""

    role: Literal["user", "assistant"]
    content: list[Content]


@dataclass(frozen=True, slots=True)
class Question:
    """What a writer or a judge is asked: a text, then the images. It is no dialogue of the data set."""

    text: str
    images: tuple[DialogueImage, ...] = ()

    @property
    def turns(self) -> tuple[Turn, ...]:
        """The one turn, without an answer; an empty text is left out."""
        texts = (self.text,) if self.text else ()
        return (Turn((*texts, *range(1, len(self.images) + 1)), ""),)


def to_messages(asked: Dialogue | Question, replies: Sequence[str] = ()) -> list[Message]:
    """Messages up to the turn after the given replies.

    With fewer replies than turns the last message is the person's next question; with all of them
    (`to_messages(d, d.references)`, what training uses) it is the last answer.

    Args:
        asked: the dialogue or the question.
        replies: what was answered so far, the first turn's first; not the references unless they are passed.

    Raises:
        ValueError: there are more replies than turns.
    """
    if len(replies) > len(asked.turns):
        name = f"dialogue {asked.id!r}" if isinstance(asked, Dialogue) else "the question"
        raise ValueError(f"{name} has {len(asked.turns)} turns, got {len(replies)} replies; pass one a turn")
    messages: list[Message] = []
    for index, turn in enumerate(asked.turns[: len(replies) + 1]):
        content: list[Content] = [
            {"type": "text", "text": block}
            if isinstance(block, str)
            else {"type": "image", "image": asked.images[block - 1]}
            for block in turn.human
        ]
        messages.append({"role": "user", "content": content})
        if index < len(replies):
            messages.append({"role": "assistant", "content": [{"type": "text", "text": replies[index]}]})
    return messages


def images_in(messages: Sequence[Message]) -> tuple[DialogueImage, ...]:
    """The images that the messages show, in order."""
    return tuple(block["image"] for message in messages for block in message["content"] if "image" in block)


def without_images(messages: Sequence[Message]) -> list[Message]:
    """The messages as JSON holds them: an image block says that an image is shown there, not which."""
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
        messages: of `to_messages`.
        show: an image's `data:` URL, or another text that names it.
        detail: `low`, `high` or `auto` for each image, for endpoints that know it.
    """
    more = {"detail": detail} if detail else {}
    return [
        {
            "role": message["role"],
            "content": message["content"][0]["text"]
            if message["role"] == "assistant"
            else [
                {"type": "image_url", "image_url": {"url": show(block["image"])} | more}
                if block["type"] == "image"
                else dict(block)
                for block in message["content"]
            ],
        }
        for message in messages
    ]
