"""What a row asks to train: a dialogue, its system message, and which of its answers carry loss.

Rows of other data sets are taken too: a leading system message, contents that are strings (`<image>` for an image), and
`train: false` beside an answer. Whatever else differs from the MMCR row is refused by name, never rewritten.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmcr_dataset.record.dialogue import Dialogue, InvalidDialogue
from mmcr_dataset.record.messages import to_blocks, to_message, to_messages
from mmcr_dataset.record.plain_text import find_special_token
from mmcr_dataset.record.row import IMAGE_TOKEN, from_row


class Skipped(ValueError):
    """A row can't be trained; `.reason` is an error code for counting, the message names the row and the cause."""

    def __init__(self, row_id: str, reason: str, detail: str) -> None:
        super().__init__(f"row {row_id!r}: {reason}: {detail}")
        self.row_id = row_id
        self.reason = reason


@dataclass(frozen=True)
class Conversation:
    """A dialogue to train.

    Attributes:
        dialogue: turns and images.
        system: the system message, None for the template's own.
        trained: for each turn whether its answer carries loss; empty for all.
    """

    dialogue: Dialogue
    system: str | None = None
    trained: tuple[bool, ...] = ()

    @property
    def trained_turns(self) -> tuple[int, ...]:
        """Numbers of the turns whose answers carry loss, from 1."""
        trained = self.trained or (True,) * len(self.dialogue.turns)
        return tuple(number for number, carries_loss in enumerate(trained, 1) if carries_loss)

    @property
    def messages(self) -> list[Mapping[str, Any]]:
        """All messages, the system message first."""
        return self.messages_so_far(self.dialogue.references)

    def messages_so_far(self, replies: Sequence[str]) -> list[Mapping[str, Any]]:
        """The messages up to the turn after these replies, the system message first."""
        first = [] if self.system is None else [to_message("system", self.system)]
        return [*first, *to_messages(self.dialogue, replies)]


def to_dialogue(row: Mapping[str, Any]) -> Dialogue:
    """The dialogue of a row with undecoded images.

    Raises:
        Skipped: the row violates an invariant (more placeholders than images, unknown roles, ...), named in `.reason`.
    """
    try:
        return from_row(row)
    except InvalidDialogue as error:
        raise Skipped(str(row.get("id")), error.invariant, error.detail) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise Skipped(str(row.get("id")), "not_a_row", f"{type(error).__name__}: {error}") from error


def to_conversation(row: Mapping[str, Any], last_turn_only: bool = False) -> Conversation:
    """What a row asks to train.

    Args:
        row: `id`, `messages`, and `images` as undecoded bytes.
        last_turn_only: only the last answer carries loss.

    Raises:
        Skipped: as `to_dialogue`; or no answer is to be trained, or a block is neither text nor an image.
    """
    row_id = str(row.get("id"))
    try:
        messages = list(row["messages"])
        system = _text_of(row_id, messages.pop(0)) if messages and messages[0]["role"] == "system" else None
        plain = [{"role": message["role"], "content": _blocks(row_id, message["content"])} for message in messages]
        trained = [message.get("train") is not False for message in messages if message["role"] == "assistant"]
    except (KeyError, TypeError, AttributeError) as error:
        raise Skipped(row_id, "not_a_row", f"{type(error).__name__}: {error}") from error
    same = {name: value for name, value in row.items() if name != "conversations" or system is None}
    images = row.get("images")  # none in rows of text alone
    dialogue = to_dialogue({**same, "messages": plain, "images": [] if images is None else images})
    if last_turn_only:
        trained = [False] * (len(trained) - 1) + trained[-1:]
    if not any(trained):
        raise Skipped(row_id, "no_trained_turn", "train is false for every answer")
    return Conversation(dialogue, system, tuple(trained))


def _blocks(row_id: str, content: str | Sequence[Mapping[str, Any]]) -> Sequence[Mapping[str, Any]]:
    """The blocks of a message; `<image>` in a string is an image."""
    if isinstance(content, str):
        return to_blocks(content, IMAGE_TOKEN)
    for block in content:
        if block["type"] not in ("text", "image"):
            raise Skipped(row_id, "unknown_block", f"a block of type {block['type']!r}; expected text or image")
    return content


def _text_of(row_id: str, message: Mapping[str, Any]) -> str:
    blocks = _blocks(row_id, message["content"])
    if any(block["type"] != "text" for block in blocks):
        raise Skipped(row_id, "system_image", "an image in the system message; put it into the first turn")
    text = "".join(block["text"] for block in blocks)
    if (token := find_special_token(text)) is not None:
        raise Skipped(row_id, "special_token", f"literal {token!r} in the system message")
    return text
