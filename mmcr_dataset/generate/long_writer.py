"""Writer of MMDU's dialogues: a request for each part of the plan, with the rounds written so far."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.client import Reply, RequestFailed
from mmcr_dataset.generate.long_dialogue import (
    Part,
    Rounds,
    long_prompt_sha256,
    plan_parts,
    read_part,
    show_part,
    show_rounds,
)
from mmcr_dataset.generate.parse import UnreadableReply
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.generate.writing import UNUSABLE, AnswerSource, ask_in_full, image_name, image_url
from mmcr_dataset.record.dialogue import DialogueImage, Generation
from mmcr_dataset.record.messages import Question, to_messages, to_openai


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
