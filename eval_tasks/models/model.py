"""What a model is to the loop of an evaluation, and what it raises where it has no answer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self

from mmcr_dataset.record.dialogue import Dialogue


class NoReply(RuntimeError):
    """The model has no answer to this one question; `.reason` is a short name for counting."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Model(Protocol):
    """Something that answers the next turn of a dialogue.

    Attributes:
        name: as the user named it.
        revision: what exactly answers (hash of the weights, snapshot), so that no other model's reply is taken for it.
        batch_size: how many dialogues are asked at once.
    """

    name: str
    revision: str
    batch_size: int

    async def reply(self, dialogue: Dialogue, replies: Sequence[str], max_new_tokens: int) -> str:
        """The answer to the turn after the given replies.

        Raises:
            NoReply: this question has no answer, with the reason.
            ValueError: no question to this model can have one; the run stops.
        """
        ...

    def forget(self, dialogue: Dialogue) -> None:
        """The dialogue is over: nothing more of it will be asked."""
        ...

    async def __aenter__(self) -> Self:
        """Make ready."""
        ...

    async def __aexit__(self, *exception: object) -> None:
        """Let go."""
        ...
