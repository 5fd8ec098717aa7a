"""What a model is to the loop, and how one is named: `hf:PATH`, `api:URL#NAME`, `scripted:FILE`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
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


def open_model(spec: str, ledger_path: Path, batch_size: int | None = None) -> Model:
    """The model of a `--model` value.

    Args:
        spec: `hf:FOLDER_OR_HUB_ID[@REVISION]`, `api:URL#NAME` or `scripted:FILE.json`.
        ledger_path: where paid replies are kept (`api:` only).
        batch_size: dialogues asked at once; None takes the kind's own number.

    Raises:
        ValueError: the value has none of these forms, or names nothing usable.
    """
    kind, _, rest = spec.partition(":")
    if kind not in ("hf", "api", "scripted") or not rest:
        raise ValueError(f"--model {spec!r}: expected hf:FOLDER_OR_HUB_ID, api:URL#NAME or scripted:FILE.json")
    if kind == "hf":
        from eval_tasks.models.transformers_vlm import TransformersVLM

        return TransformersVLM(rest, batch_size or 8)
    if kind == "api":
        from eval_tasks.models.chat_api_vlm import ChatApiVLM

        return ChatApiVLM(rest, ledger_path, batch_size or 16)
    from eval_tasks.models.scripted import ScriptedModel

    return ScriptedModel(Path(rest), batch_size or 4)
