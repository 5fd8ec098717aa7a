"""Write a dialogue for a candidate: request, raw reply into the ledger, parse.

Writers: `offline` (generate/offline.py), `openai` (any OpenAI-compatible endpoint) and `openai-batch` (its Batch API).
All return reply texts in the same format, which go through the same parser and the same rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.address import Endpoint
from mmcr_dataset.endpoint.ask_all import ask_all
from mmcr_dataset.endpoint.client import ChatClient, RequestFailed
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.long_dialogue import long_prompt_sha256
from mmcr_dataset.generate.long_writer import LongWriter
from mmcr_dataset.generate.offline import VERSION, write_offline
from mmcr_dataset.generate.offline_long import LONG_VERSION, write_offline_long
from mmcr_dataset.generate.parse import UnreadableReply, to_dialogue
from mmcr_dataset.generate.prompts import prompt_sha256, show_prompt
from mmcr_dataset.generate.unwrap import unwrap
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.generate.writing import UNUSABLE, AnswerSource, Writer, ask_in_full, image_name, image_url
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Generation
from mmcr_dataset.record.messages import Question, to_messages, to_openai
from mmcr_dataset.record.recipe import RecipeName
from mmcr_dataset.stage.stages import Removed

Progress = Callable[[str], None]  # called for every finished candidate with the cost so far


def fingerprint(settings: WriterSettings) -> dict[str, Any]:
    """Everything that determines the replies, for the stage's settings."""
    if settings.endpoint is None:
        return {"writer": settings.writer, "version": _offline_version(settings.recipe)}
    shares = settings.shares()
    is_long = settings.recipe == "mmdu"
    return {
        "writer": "openai",  # openai-batch has the same ledger keys
        "endpoint": [settings.endpoint.base_url, settings.endpoint.model],
        "prompts": [long_prompt_sha256()] if is_long else [prompt_sha256(1), prompt_sha256(2)],
        "decoding": [settings.temperature, settings.max_tokens, settings.max_side_px, settings.detail],
        "attempts": settings.attempts,
        **({"writers": [[one.base_url, one.model, share] for one, share in shares]} if len(shares) > 1 else {}),
    }


def _offline_version(recipe: RecipeName) -> str:
    return LONG_VERSION if recipe == "mmdu" else VERSION


class OfflineWriter:
    """Writer without a model: the document's sentences and measured facts of its images."""

    max_attempts = 1  # it would write the same again

    def __init__(self, recipe: RecipeName = "mmcr") -> None:
        self._recipe = recipe

    async def write(self, candidate: Candidate, attempt: int = 1) -> tuple[str, Generation]:
        """The reply text, a function of the candidate."""
        text = write_offline_long(candidate) if self._recipe == "mmdu" else write_offline(candidate)
        return text, Generation(writer="offline", prompt_sha256=_offline_version(self._recipe))

    def spend(self) -> str:
        """Empty: nothing is paid."""
        return ""


class OpenAIWriter:
    """Writer with an OpenAI-compatible endpoint."""

    def __init__(self, answers: AnswerSource, settings: WriterSettings) -> None:
        self._answers, self._settings = answers, settings
        self.max_attempts = settings.attempts

    async def write(self, candidate: Candidate, attempt: int = 1) -> tuple[str, Generation]:
        """The model's reply; one truncated at `max_tokens` is requested again with twice the limit."""
        settings = self._settings
        reply = await ask_in_full(
            self._answers,
            settings,
            to_request_messages(candidate, settings, image_name),
            lambda: to_request_messages(candidate, settings, image_url),
            attempt,
        )
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
        """Cost so far."""
        return self._answers.show_spend()


class SharedWriter:
    """Several writers side by side: each document is written by the one that its id determines."""

    def __init__(self, writers: Mapping[Endpoint, Writer], settings: WriterSettings) -> None:
        self._writers, self._settings = writers, settings
        self.max_attempts = next(iter(writers.values())).max_attempts

    async def write(self, candidate: Candidate, attempt: int = 1) -> tuple[str, Generation]:
        """The reply of the document's writer."""
        return await self._writers[self._settings.endpoint_of(candidate.id)].write(candidate, attempt)

    def spend(self) -> str:
        """Cost so far, of each."""
        return "; ".join(f"{endpoint.model}: {writer.spend()}" for endpoint, writer in self._writers.items())


def open_writer(answers: AnswerSource, settings: WriterSettings) -> Writer:
    """The writer of a recipe at an endpoint."""
    return LongWriter(answers, settings) if settings.recipe == "mmdu" else OpenAIWriter(answers, settings)


def to_request_messages(
    candidate: Candidate, settings: WriterSettings, show: Callable[[DialogueImage, int], str]
) -> list[dict[str, Any]]:
    """The messages of a candidate's request; `show` maps an image and its longest side in pixels to a URL."""
    asked = Question(show_prompt(len(candidate.images), candidate.text), candidate.images)
    return to_openai(to_messages(asked), lambda image: show(image, settings.max_side_px), settings.detail)


def write_dialogues(
    candidates: Sequence[Candidate], settings: WriterSettings, ledger_path: Path, progress: Progress
) -> list[Dialogue | Removed]:
    """A dialogue for each candidate, or why there is none, in order.

    Args:
        candidates: inputs of the writer.
        settings: settings of the writer.
        ledger_path: file of the ledger.
        progress: called after each candidate.

    Raises:
        EndpointUnusable: no request can succeed; earlier answers are in the ledger.
    """
    return asyncio.run(_write_dialogues(candidates, settings, ledger_path, progress))


async def _write_dialogues(
    candidates: Sequence[Candidate], settings: WriterSettings, ledger_path: Path, progress: Progress
) -> list[Dialogue | Removed]:
    if settings.endpoint is None:
        offline = OfflineWriter(settings.recipe)
        return [await write_one(candidate, offline, progress) for candidate in candidates]
    with Ledger(ledger_path) as ledger:
        async with ChatClient(settings.endpoint, ledger) as client:
            writer = open_writer(client, settings)
            asks = (write_one(candidate, writer, progress) for candidate in candidates)
            return await ask_all(asks, 2 * settings.endpoint.max_in_flight)


async def write_one(candidate: Candidate, writer: Writer, progress: Progress) -> Dialogue | Removed:
    """Write the dialogue of one candidate, asking once, or return why there is none."""
    return (await write_counted(candidate, writer, progress, max_attempts=1))[0]


async def write_counted(
    candidate: Candidate, writer: Writer, progress: Progress, max_attempts: int
) -> tuple[Dialogue | Removed, tuple[str, ...]]:
    """Write the dialogue of one candidate, asking again where the reply can't be read.

    Returns:
        The dialogue or why there is none, and names of what was mended: `asked_again`, or stripped from the reply.
    """
    asked_again: tuple[str, ...] = ()
    try:
        for attempt in range(1, max_attempts + 1):
            try:
                reply, generation = await writer.write(candidate, attempt)
                return to_dialogue(candidate, reply, generation), (*asked_again, *unwrap(reply)[1])
            except (RequestFailed, UnreadableReply) as failure:
                may_mend = isinstance(failure, UnreadableReply) or failure.reason in UNUSABLE
                if not may_mend or attempt == max_attempts:
                    raise
                asked_again = ("asked_again",)
        raise AssertionError("unreachable: the loop returns or raises")
    except RequestFailed as failure:
        return Removed(candidate.id, failure.reason, failure.detail, retry=True), asked_again
    except UnreadableReply as failure:
        return Removed(candidate.id, failure.reason, failure.detail), asked_again
    finally:
        progress(writer.spend())
