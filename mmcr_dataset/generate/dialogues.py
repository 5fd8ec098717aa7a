"""Candidate to dialogue through a writer: ask, keep the raw reply in the ledger, parse.

Writers: `offline` (generate/offline.py) and `openai` (any OpenAI-compatible endpoint). Both give a reply text in one
format, so both go through the same parser and later through the same rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from mmcr_dataset.chat_api import ChatClient, Endpoint, RequestFailed
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.generate.offline import VERSION, write_offline
from mmcr_dataset.generate.parse import UnreadableReply, to_dialogue
from mmcr_dataset.generate.prompts import prompt_sha256, show_prompt
from mmcr_dataset.images import to_data_url
from mmcr_dataset.ledger import Ledger
from mmcr_dataset.schema import Dialogue, Generation
from mmcr_dataset.stages import Removed

Progress = Callable[[str], None]  # called once for every finished candidate, with a note on spend


@dataclass(frozen=True, slots=True)
class WriterSettings:
    """How dialogues are written.

    Attributes:
        writer: `offline` or `openai`.
        endpoint: for `openai`: where and whom to ask.
        temperature: sampling temperature, None for the endpoint's default.
        max_tokens: limit of a reply; a reply that reaches it is removed as `length`.
        max_side_px: pictures are sent with their longer side at most this.
        detail: `low`, `high` or `auto`, for endpoints that know it.
    """

    writer: str = "offline"
    endpoint: Endpoint | None = None
    temperature: float | None = None
    max_tokens: int = 4096
    max_side_px: int = 1024
    detail: str | None = None

    def __post_init__(self) -> None:
        if self.writer not in ("offline", "openai"):
            raise ValueError(f"--writer {self.writer!r}: expected offline or openai")
        if (self.writer == "openai") != (self.endpoint is not None):
            raise ValueError(
                f"--writer {self.writer}: --endpoint URL#MODEL goes with --writer openai, and only with it"
            )

    def fingerprint(self) -> dict[str, Any]:
        """Everything that decides a reply."""
        if self.endpoint is None:
            return {"writer": self.writer, "version": VERSION}
        return {
            "writer": self.writer,
            "endpoint": [self.endpoint.base_url, self.endpoint.model],
            "prompts": [prompt_sha256(1), prompt_sha256(2)],
            "decoding": [self.temperature, self.max_tokens, self.max_side_px, self.detail],
        }


class Writer(Protocol):
    """Gives the reply text for a candidate and says how it was made."""

    async def write(self, candidate: Candidate) -> tuple[str, Generation]:
        """The raw reply; raises RequestFailed when there is none."""

    def spend(self) -> str:
        """A few words on money for the progress line, empty where none is spent."""


class OfflineWriter:
    """No model: sentences and measured facts."""

    async def write(self, candidate: Candidate) -> tuple[str, Generation]:
        """The reply text, made from the candidate alone."""
        return write_offline(candidate), Generation(writer="offline", prompt_sha256=VERSION)

    def spend(self) -> str:
        """Nothing is spent."""
        return ""


class OpenAIWriter:
    """Asks an OpenAI-compatible endpoint; the raw reply is in the ledger before it is read."""

    def __init__(self, client: ChatClient, settings: WriterSettings) -> None:
        self._client, self._settings = client, settings

    async def write(self, candidate: Candidate) -> tuple[str, Generation]:
        """The reply text of the model."""
        settings, count = self._settings, len(candidate.pictures)
        content: list[Mapping[str, Any]] = [{"type": "text", "text": show_prompt(count, candidate.text)}]
        for picture in candidate.pictures:
            url = {"url": to_data_url(picture.data, settings.max_side_px)}
            content.append(
                {"type": "image_url", "image_url": url | ({"detail": settings.detail} if settings.detail else {})}
            )
        reply = await self._client.ask(
            [{"role": "user", "content": content}], temperature=settings.temperature, max_tokens=settings.max_tokens
        )
        return reply.text, Generation(
            writer="openai",
            model=reply.model,
            prompt_sha256=prompt_sha256(count),
            temperature=settings.temperature,
            date=reply.date,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
        )

    def spend(self) -> str:
        """Money so far, if the model's price is known; what came from the ledger costs nothing again."""
        paid_before = f", {self._client.num_from_ledger} from the ledger" if self._client.num_from_ledger else ""
        return (f"{self._client.spent_usd:.4f} USD" if self._client.price else "price unknown") + paid_before


def write_dialogues(
    candidates: Sequence[Candidate], settings: WriterSettings, ledger_path: Path, progress: Progress
) -> list[Dialogue | Removed]:
    """A dialogue for each candidate, or why there is none; in the candidates' order.

    Raises:
        EndpointUnusable: no request can succeed; what was answered before is in the ledger.
    """
    return asyncio.run(_write_dialogues(candidates, settings, ledger_path, progress))


async def _write_dialogues(
    candidates: Sequence[Candidate], settings: WriterSettings, ledger_path: Path, progress: Progress
) -> list[Dialogue | Removed]:
    if settings.endpoint is None:
        offline = OfflineWriter()
        return [await _write_one(candidate, offline, progress) for candidate in candidates]
    with Ledger(ledger_path) as ledger:
        async with ChatClient(settings.endpoint, ledger) as client:
            writer = OpenAIWriter(client, settings)
            tasks = [asyncio.ensure_future(_write_one(candidate, writer, progress)) for candidate in candidates]
            try:
                return list(await asyncio.gather(*tasks))
            finally:
                for task in tasks:
                    task.cancel()


async def _write_one(candidate: Candidate, writer: Writer, progress: Progress) -> Dialogue | Removed:
    try:
        reply, generation = await writer.write(candidate)
        return to_dialogue(candidate, reply, generation)
    except (RequestFailed, UnreadableReply) as failure:
        return Removed(candidate.id, failure.reason, failure.detail)
    finally:
        progress(writer.spend())
