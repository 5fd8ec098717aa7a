"""Write a dialogue for a candidate: request, raw reply into the ledger, parse.

Writers: `offline` (generate/offline.py), `openai` (any OpenAI-compatible endpoint) and `openai-batch` (its Batch API).
All return reply texts in the same format, which go through the same parser and the same rules.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.address import Endpoint
from mmcr_dataset.endpoint.ask_all import ask_all
from mmcr_dataset.endpoint.client import ChatClient, Messages, Reply, RequestFailed
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.long_dialogue import (
    Part,
    Rounds,
    long_prompt_sha256,
    plan_parts,
    read_part,
    show_part,
    show_rounds,
)
from mmcr_dataset.generate.offline import VERSION, write_offline
from mmcr_dataset.generate.offline_long import LONG_VERSION, write_offline_long
from mmcr_dataset.generate.parse import UnreadableReply, to_dialogue
from mmcr_dataset.generate.prompts import prompt_sha256, show_prompt
from mmcr_dataset.generate.unwrap import unwrap
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Generation
from mmcr_dataset.record.images import to_data_url
from mmcr_dataset.record.messages import Question, to_messages, to_openai
from mmcr_dataset.record.recipe import RecipeName
from mmcr_dataset.stage.stages import Removed

# Failures of a reply that another attempt can mend; `length` has had its second limit.
UNUSABLE = frozenset({"no_choice", "empty_reply", "unfinished", "length"})
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


class Writer(Protocol):
    """Returns the reply text for a candidate."""

    max_attempts: int

    async def write(self, candidate: Candidate, attempt: int = 1) -> tuple[str, Generation]:
        """The raw reply of an attempt and its metadata; raises RequestFailed if there is none."""

    def spend(self) -> str:
        """Cost so far, for the progress bar; empty if nothing is paid."""


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


class AnswerSource(Protocol):
    """Returns replies to messages: `ChatClient`, or `BatchAnswers`."""

    async def ask(
        self,
        messages: Messages,
        with_images: Callable[[], Messages] | None = None,
        attempt: int = 1,
        **decoding: Any,  # noqa: ANN401
    ) -> Reply:
        """The reply; as `ChatClient.ask`."""

    def has_answer(self, messages: Messages, attempt: int = 1, **decoding: Any) -> bool:  # noqa: ANN401
        """True if the answer is in the ledger."""

    def show_spend(self) -> str:
        """Cost so far."""


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


class LongWriter:
    """Writer of MMDU's dialogues: a request for each part, with the rounds written so far."""

    max_attempts = 1  # each part is asked again by itself, so that a readable one isn't paid twice

    def __init__(self, answers: AnswerSource, settings: WriterSettings) -> None:
        self._answers, self._settings = answers, settings

    async def write(self, candidate: Candidate, attempt: int = 1) -> tuple[str, Generation]:
        """The rounds of all parts as one reply, its tokens summed over the requests."""
        rounds: Rounds = []
        replies: list[Reply] = []
        for part in plan_parts(len(candidate.images)):
            found, asked = await self._write_part(candidate, part, rounds, attempt)
            rounds, replies = [*rounds, *found], [*replies, *asked]
        return "\n".join(show_rounds(rounds, 1)), Generation(
            writer="openai",
            model=replies[-1].model,
            prompt_sha256=long_prompt_sha256(),
            temperature=self._settings.temperature,
            date=replies[-1].date,
            prompt_tokens=_sum([reply.prompt_tokens for reply in replies]),
            completion_tokens=_sum([reply.completion_tokens for reply in replies]),
        )

    async def _write_part(
        self, candidate: Candidate, part: Part, so_far: Rounds, attempt: int
    ) -> tuple[Rounds, list[Reply]]:
        """The rounds of one part, and all replies that were paid for them."""
        settings, replies = self._settings, list[Reply]()
        for number in range(attempt, attempt + settings.attempts):
            try:
                reply = await ask_in_full(
                    self._answers,
                    settings,
                    to_part_messages(candidate, part, so_far, settings, image_name),
                    lambda: to_part_messages(candidate, part, so_far, settings, image_url),
                    number,
                )
                replies.append(reply)
                return read_part(reply.text, part), replies
            except (RequestFailed, UnreadableReply) as failure:
                may_mend = isinstance(failure, UnreadableReply) or failure.reason in UNUSABLE
                if not may_mend or number + 1 == attempt + settings.attempts:
                    raise
        raise AssertionError("unreachable: the loop returns or raises")

    def spend(self) -> str:
        """Cost so far."""
        return self._answers.show_spend()


def open_writer(answers: AnswerSource, settings: WriterSettings) -> Writer:
    """The writer of a recipe at an endpoint."""
    return LongWriter(answers, settings) if settings.recipe == "mmdu" else OpenAIWriter(answers, settings)


async def ask_in_full(
    answers: AnswerSource,
    settings: WriterSettings,
    named: Messages,
    with_images: Callable[[], Messages],
    attempt: int,
) -> Reply:
    """The reply to a request; one truncated at `max_tokens` is requested again with twice the limit.

    Args:
        answers: the endpoint or its ledger.
        settings: settings of the writer.
        named: the messages with the names of images.
        with_images: returns them with the images.
        attempt: from 2 on, another answer to the same request.
    """
    limits = [settings.max_tokens, 2 * settings.max_tokens]
    if answers.has_answer(named, attempt, temperature=settings.temperature, max_tokens=limits[1]):
        del limits[0]  # truncated in an earlier run
    for max_tokens in limits:
        try:
            return await answers.ask(
                named, with_images, attempt, temperature=settings.temperature, max_tokens=max_tokens
            )
        except RequestFailed as failure:
            if failure.reason != "length" or max_tokens == limits[-1]:
                raise
    raise AssertionError("unreachable: the loop returns or raises")


def _sum(counts: Sequence[int | None]) -> int | None:
    """The sum, None if the endpoint doesn't report all of them."""
    known = [count for count in counts if count is not None]
    return sum(known) if len(known) == len(counts) else None


def to_part_messages(
    candidate: Candidate,
    part: Part,
    so_far: Rounds,
    settings: WriterSettings,
    show: Callable[[DialogueImage, int], str],
) -> list[dict[str, Any]]:
    """The messages of one part of a long dialogue; `show` as in `to_request_messages`."""
    images = tuple(candidate.images[number - 1] for number in part.images) or candidate.images
    asked = Question(show_part(candidate, part, so_far), images)
    return to_openai(to_messages(asked), lambda image: show(image, settings.max_side_px), settings.detail)


def to_request_messages(
    candidate: Candidate, settings: WriterSettings, show: Callable[[DialogueImage, int], str]
) -> list[dict[str, Any]]:
    """The messages of a candidate's request; `show` maps an image and its longest side in pixels to a URL."""
    asked = Question(show_prompt(len(candidate.images), candidate.text), candidate.images)
    return to_openai(to_messages(asked), lambda image: show(image, settings.max_side_px), settings.detail)


def image_name(image: DialogueImage, max_side_px: int) -> str:
    """An image in the ledger's key: hash of the original and target size, independent of the JPEG encoder."""
    return f"data:sha256,{image.sha256};max_side_px={max_side_px}"


def image_url(image: DialogueImage, max_side_px: int) -> str:
    """An image in a request: a `data:` URL."""
    return to_data_url(image.data, max_side_px)


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
