"""What all writers share: their interface, a request that is answered in full, and how images are named in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.client import Messages, Reply, RequestFailed
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.dialogue import DialogueImage, Generation
from mmcr_dataset.record.images import to_data_url

# Failures of a reply that another attempt can mend; `length` has had its second limit.
UNUSABLE = frozenset({"no_choice", "empty_reply", "unfinished", "length"})


class Writer(Protocol):
    """Returns the reply text for a candidate."""

    max_attempts: int

    async def write(self, candidate: Candidate, attempt: int = 1) -> tuple[str, Generation]:
        """The raw reply of an attempt and its metadata; raises RequestFailed if there is none."""

    def spend(self) -> str:
        """Cost so far, for the progress bar; empty if nothing is paid."""


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


def image_name(image: DialogueImage, max_side_px: int) -> str:
    """An image in the ledger's key: hash of the original and target size, independent of the JPEG encoder."""
    return f"data:sha256,{image.sha256};max_side_px={max_side_px}"


def image_url(image: DialogueImage, max_side_px: int) -> str:
    """An image in a request: a `data:` URL."""
    return to_data_url(image.data, max_side_px)
