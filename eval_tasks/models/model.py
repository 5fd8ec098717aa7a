"""The protocol of an evaluated model."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Protocol, Self

from eval_tasks.models.generation import Wording
from mmcr_dataset.record.dialogue import Dialogue


class NoReply(RuntimeError):
    """The model failed on this one question; `.reason` is a short error code for counting."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Reply(str):
    """The text of a reply.

    Attributes:
        is_truncated: it ends at the token limit.
    """

    is_truncated: bool

    def __new__(cls, text: str, is_truncated: bool = False) -> Self:
        """The text, marked if it is truncated."""
        reply = super().__new__(cls, text)
        reply.is_truncated = is_truncated
        return reply


class Model(Protocol):
    """A model that answers the next turn of a dialogue.

    Attributes:
        name: the `--model` value.
        revision: hash of the weights or snapshot name; part of the key of stored replies.
        batch_size: number of concurrent dialogues.
    """

    name: str
    revision: str
    batch_size: int

    async def reply(self, dialogue: Dialogue, replies: Sequence[str], max_new_tokens: int, repeat: int = 0) -> Reply:
        """The answer to the turn after the given replies; one that ends at the token limit is marked.

        Args:
            dialogue: the dialogue.
            replies: replies of the turns before.
            max_new_tokens: maximum number of new tokens.
            repeat: number of the answer, if the turn is sampled several times.

        Raises:
            NoReply: this question failed.
            ValueError: every question to this model would fail; the run stops.
        """
        ...

    def describe(self) -> dict[str, Any]:
        """What a reply depends on besides name, revision and the run's settings, as JSON values."""
        ...

    def ask_with(self, wording: Wording) -> dict[str, Any]:
        """Put the next task in these words; returns what of them its replies depend on, as JSON values.

        Raises:
            ValueError: the model can't be asked so.
        """
        ...

    def forget(self, dialogue: Dialogue) -> None:
        """Release the resources of a finished dialogue."""
        ...

    async def __aenter__(self) -> Self:
        """Open connections."""
        ...

    async def __aexit__(self, *exception: object) -> None:
        """Close connections."""
        ...
