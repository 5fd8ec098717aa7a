"""Dialogue (and the replies so far) to chat messages with the images at their marks.

The only function of the project that does this: generation, training, evaluation and judge ask through it, so what is
trained is what is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, NotRequired, TypedDict

from mmcr_dataset.record.dialogue import Dialogue


class Content(TypedDict):
    """One block of a message: a text, or the place of the next image."""

    type: Literal["text", "image"]
    text: NotRequired[str]


class Message(TypedDict):
    """One message as `processor.apply_chat_template` takes it."""

    role: Literal["user", "assistant"]
    content: list[Content]


def to_messages(dialogue: Dialogue, replies: Sequence[str] = ()) -> list[Message]:
    """Messages up to the turn after the given replies.

    With fewer replies than turns the last message is the person's next question; with all of them
    (`to_messages(d, d.references)`, what training uses) it is the last answer. The n-th image block shows
    `dialogue.images[n - 1]`; `num_images_shown` says how many there are.

    Args:
        dialogue: the dialogue that is asked.
        replies: what was answered so far, the first turn's first; not the references unless they are passed.

    Raises:
        ValueError: there are more replies than turns.
    """
    if len(replies) > len(dialogue.turns):
        raise ValueError(
            f"dialogue {dialogue.id!r} has {len(dialogue.turns)} turns, got {len(replies)} replies; pass one a turn"
        )
    messages: list[Message] = []
    for index, turn in enumerate(dialogue.turns[: len(replies) + 1]):
        content: list[Content] = [
            {"type": "text", "text": block} if isinstance(block, str) else {"type": "image"} for block in turn.human
        ]
        messages.append({"role": "user", "content": content})
        if index < len(replies):
            messages.append({"role": "assistant", "content": [{"type": "text", "text": replies[index]}]})
    return messages


def num_images_shown(dialogue: Dialogue, num_replies: int) -> int:
    """How many images the messages of `to_messages(dialogue, replies)` show after that many replies."""
    return sum(len(turn.introduces) for turn in dialogue.turns[: num_replies + 1])


def to_openai(messages: Sequence[Message], data_urls: Sequence[str]) -> list[dict[str, Any]]:
    """The messages for an OpenAI-compatible endpoint: the n-th image block carries the n-th data URL.

    Raises:
        ValueError: the number of image blocks and of data URLs differ.
    """
    shown = sum(block["type"] == "image" for message in messages for block in message["content"])
    if shown != len(data_urls):
        raise ValueError(f"the messages show {shown} images, got {len(data_urls)} data URLs; pass one an image")
    urls = iter(data_urls)
    asked: list[dict[str, Any]] = []
    for message in messages:
        if message["role"] == "assistant":
            asked.append({"role": "assistant", "content": message["content"][0]["text"]})
            continue
        content: list[dict[str, Any]] = [
            {"type": "image_url", "image_url": {"url": next(urls)}} if block["type"] == "image" else dict(block)
            for block in message["content"]
        ]
        asked.append({"role": "user", "content": content})
    return asked
