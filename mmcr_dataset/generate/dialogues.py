"""Candidate to dialogue through a writer: ask, keep the raw reply in the ledger, parse.

Writers: `offline` (generate/offline.py), `openai` (any OpenAI-compatible endpoint) and `openai-batch` (its Batch API).
All give a reply text in one format, so all go through the same parser and later through the same rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.ask_all import ask_all
from mmcr_dataset.endpoint.client import ChatClient, Messages, Reply, RequestFailed
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.offline import VERSION, write_offline
from mmcr_dataset.generate.parse import UnreadableReply, to_dialogue
from mmcr_dataset.generate.prompts import prompt_sha256, show_prompt
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Generation
from mmcr_dataset.record.images import to_data_url
from mmcr_dataset.record.messages import Question, to_messages, to_openai
from mmcr_dataset.stage.stages import Removed

Progress = Callable[[str], None]  # called once for every finished candidate, with a note on spend


def fingerprint(settings: WriterSettings) -> dict[str, Any]:
    """Everything that decides a reply."""
    if settings.endpoint is None:
        return {"writer": settings.writer, "version": VERSION}
    return {
        "writer": "openai",  # a batch gives the same answers
        "endpoint": [settings.endpoint.base_url, settings.endpoint.model],
        "prompts": [prompt_sha256(1), prompt_sha256(2)],
        "decoding": [settings.temperature, settings.max_tokens, settings.max_side_px, settings.detail],
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


class Asker(Protocol):
    """Answers messages: `ChatClient`, or the answers of finished batches."""

    async def ask(
        self,
        messages: Messages,
        with_images: Callable[[], Messages] | None = None,
        **decoding: Any,  # noqa: ANN401
    ) -> Reply:
        """The answer; as `ChatClient.ask`."""

    def knows(self, messages: Messages, **decoding: Any) -> bool:  # noqa: ANN401
        """True if the answer is in the ledger."""

    def show_spend(self) -> str:
        """A few words on money."""


class OpenAIWriter:
    """Asks an OpenAI-compatible endpoint; the raw reply is in the ledger before it is read."""

    def __init__(self, asker: Asker, settings: WriterSettings) -> None:
        self._asker, self._settings = asker, settings

    async def write(self, candidate: Candidate) -> tuple[str, Generation]:
        """The reply text of the model; one cut off by `max_tokens` is asked for once more with twice as many."""
        settings, named = self._settings, to_request_messages(candidate, self._settings, image_name)
        limits = [settings.max_tokens, 2 * settings.max_tokens]
        if self._asker.knows(named, temperature=settings.temperature, max_tokens=limits[1]):
            del limits[0]  # it was cut off in an earlier run
        for max_tokens in limits:
            try:
                reply = await self._asker.ask(
                    named,
                    lambda: to_request_messages(candidate, settings, image_url),
                    temperature=settings.temperature,
                    max_tokens=max_tokens,
                )
                break
            except RequestFailed as failure:
                if failure.reason != "length" or max_tokens == limits[-1]:
                    raise
        return reply.text, Generation(
            writer="openai",
            model=reply.model,
            prompt_sha256=prompt_sha256(len(candidate.images)),
            temperature=settings.temperature,
            date=reply.date,
            prompt_tokens=reply.prompt_tokens,
            completion_tokens=reply.completion_tokens,
        )

    def spend(self) -> str:
        """Money so far, if the model's price is known; what came from the ledger costs nothing again."""
        return self._asker.show_spend()


def to_request_messages(
    candidate: Candidate, settings: WriterSettings, show: Callable[[DialogueImage, int], str]
) -> list[dict[str, Any]]:
    """The messages of a candidate's request, each image as `show` gives it for a longest side in pixels."""
    asked = Question(show_prompt(len(candidate.images), candidate.text), candidate.images)
    return to_openai(to_messages(asked), lambda image: show(image, settings.max_side_px), settings.detail)


def image_name(image: DialogueImage, max_side_px: int) -> str:
    """An image as the ledger's key holds it: its original and its size, so that no encoder's version is paid for."""
    return f"data:sha256,{image.sha256};max_side_px={max_side_px}"


def image_url(image: DialogueImage, max_side_px: int) -> str:
    """An image as it is sent."""
    return to_data_url(image.data, max_side_px)


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
        return [await write_one(candidate, OfflineWriter(), progress) for candidate in candidates]
    with Ledger(ledger_path) as ledger:
        async with ChatClient(settings.endpoint, ledger) as client:
            writer = OpenAIWriter(client, settings)
            asks = (write_one(candidate, writer, progress) for candidate in candidates)
            return await ask_all(asks, 2 * settings.endpoint.max_in_flight)


async def write_one(candidate: Candidate, writer: Writer, progress: Progress) -> Dialogue | Removed:
    """The dialogue of one candidate, or why there is none."""
    try:
        reply, generation = await writer.write(candidate)
        return to_dialogue(candidate, reply, generation)
    except RequestFailed as failure:
        return Removed(candidate.id, failure.reason, failure.detail, retry=True)
    except UnreadableReply as failure:
        return Removed(candidate.id, failure.reason, failure.detail)
    finally:
        progress(writer.spend())
