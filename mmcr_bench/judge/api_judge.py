"""LLM judge at an OpenAI-compatible endpoint: one request per dialogue, cached in the ledger, parsed by `verdict`."""

from __future__ import annotations

import asyncio
import copy
import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Self

from tqdm import tqdm

from mmcr_bench.judge.judge_spec import JudgeSpec
from mmcr_bench.judge.judgement import Judgement, check_replies
from mmcr_bench.judge.masking import mask_orders
from mmcr_bench.judge.penalties import measure_penalties
from mmcr_bench.judge.rubric import NAMES, prompt_sha256, to_judge_messages, verdict_schema
from mmcr_bench.judge.spending import current_spending
from mmcr_bench.judge.verdict import Unread, read_verdict
from mmcr_dataset.endpoint.ask_all import ask_all
from mmcr_dataset.endpoint.client import ChatClient, Endpoint, Reply, RequestFailed
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.prices import find_price
from mmcr_dataset.endpoint.thoughts import split_thoughts
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import ImageError, to_data_url
from mmcr_dataset.record.messages import Question, to_messages, to_openai

log = logging.getLogger(__name__)

CHARACTERS_A_TOKEN = 4  # English text
TOKENS_A_VERDICT = 600  # an explanation of five dimensions and the dictionary
MAX_SIDE_PX = 1024  # images are downscaled to this for a judge
_SCHEMA_REFUSED = ("http_400", "http_422")  # replies of servers that don't support a field of the request
_SCHEMA_CRASHED = "http_500"  # of some servers (llama.cpp); counts as refusal only if no schema request ever succeeded
_SCHEMA_FORM = {
    "type": "json_schema",
    "json_schema": {"name": "verdict", "strict": True, "schema": verdict_schema()},
}


class ApiJudge:
    """The paper's judge at an OpenAI-compatible endpoint.

    Requests the verdict as structured output (JSON schema); if the endpoint doesn't support that, as text that ends
    with a dictionary. Each judgement records which of the two was used (`with_schema`).
    """

    def __init__(self, endpoint: Endpoint, ledger_path: Path, spec: JudgeSpec) -> None:
        self.name = endpoint.model
        self.is_offline = False
        self.names = NAMES
        self.endpoint = endpoint
        self.ledger_path = ledger_path
        self.spec = spec
        self.masks = True
        self.share = 1.0  # of what may still be spent; less for a judge of a panel
        self._takes_schema = spec.prompt != "paper"  # the paper's judge answers in text
        self._answered_schema = False

    def unmasked(self) -> Self:
        """The same judge, which reads replies with their verdicts and orders: to see whether it obeys them."""
        other = copy.copy(self)
        other.masks = False
        return other

    def describe(self) -> dict[str, object]:
        """Model, prompt version and decoding settings."""
        return {
            "judge": self.name,
            "is_offline": False,
            "base_url": self.endpoint.base_url,
            "prompt": self.spec.prompt,
            "prompt_sha256": prompt_sha256(self.spec.images, self.spec.prompt),
            "temperature": self.spec.temperature,
            "repeats": self.spec.repeats,
            "images": self.spec.images,
        }

    def estimate_usd(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> float | None:
        """Estimated cost of judging, without images; None if the model's price is unknown."""
        price = find_price(self.endpoint.model)
        if price is None:
            return None
        asked = [
            to_judge_messages(dialogue, given, self.spec.images, self.spec.prompt)
            for dialogue, given in zip(dialogues, replies, strict=True)
        ]
        tokens_in = sum(len(message["content"]) for messages in asked for message in messages) // CHARACTERS_A_TOKEN
        return self.spec.repeats * price.cost_usd(tokens_in, TOKENS_A_VERDICT * len(asked))

    def score(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> list[Judgement]:
        """One judgement per dialogue; requests run concurrently, replies in the ledger are reused.

        Raises:
            EndpointUnusable: no request can succeed (key, quota, model name); received replies are kept.
            ValueError: the judge needs images, and a dialogue has no image bytes.
        """
        assert self.spec.repeats == 1, "repeats are combined by PanelJudge"
        return asyncio.run(self.judge_all(dialogues, replies))[0]

    async def judge_all(
        self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]], ended: asyncio.Event | None = None
    ) -> list[list[Judgement]]:
        """Judgements by repeat, then by dialogue.

        Args:
            dialogues: what is judged.
            replies: one list per dialogue, one reply per turn.
            ended: see `ask_all`.

        Raises:
            ValueError: as in `score`.
        """
        check_replies(dialogues, replies)
        self._log_masked(dialogues, replies)
        if self.spec.images and not all(image.data for dialogue in dialogues for image in dialogue.images):
            raise ValueError(
                "?images=yes: these dialogues have no image bytes (a stored run keeps none); name the bench that "
                "has them (--bench), or judge without images"
            )
        repeats = range(self.spec.repeats)
        asked = [
            (dialogue, given, repeat) for repeat in repeats for dialogue, given in zip(dialogues, replies, strict=True)
        ]
        with Ledger(self.ledger_path) as ledger, tqdm(total=len(asked), desc=f"judge {self.name}", disable=None) as bar:
            async with ChatClient(current_spending().limit(self.endpoint, ledger, self.share), ledger) as client:

                async def judge(dialogue: Dialogue, given: Sequence[str], repeat: int) -> Judgement:
                    judgement = await self._judge(client, dialogue, given, repeat)
                    bar.update()
                    return judgement

                # the first request shows whether the endpoint supports the schema, so that the others needn't retry
                judgements = [await judge(*one) for one in asked[:1]]
                others = (judge(*one) for one in asked[1:])
                judgements += await ask_all(others, 2 * self.endpoint.max_in_flight, ended)
        return [judgements[repeat * len(dialogues) : (repeat + 1) * len(dialogues)] for repeat in repeats]

    def _log_masked(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> None:
        """Say how many dialogues carry verdicts or orders."""
        num = sum(self._mask(one, given)[1] > 0 for one, given in zip(dialogues, replies, strict=True))
        if num:
            log.warning("%d of %d dialogues: verdicts or orders in the replies, masked", num, len(dialogues))

    def _mask(self, dialogue: Dialogue, given: Sequence[str]) -> tuple[list[str], int]:
        """The replies as the judge reads them, and how many verdicts and orders were masked."""
        if not self.masks:
            return list(given), 0
        allowed = [text for turn in dialogue.turns for text in (turn.human_text, turn.assistant)]
        masked = [mask_orders(reply, allowed) for reply in given]
        return [text for text, _ in masked], sum(num for _, num in masked)

    async def _judge(self, client: ChatClient, dialogue: Dialogue, given: Sequence[str], repeat: int) -> Judgement:
        shown, num_masked = self._mask(dialogue, given)
        try:
            reply, with_schema = await self._ask(client, self._to_messages(dialogue, shown), repeat)
        except (RequestFailed, ImageError) as failure:
            return Judgement(None, failure.reason, {"detail": failure.detail})
        detail: dict[str, object] = {
            "penalties": asdict(measure_penalties(dialogue.references, given)),
            "reply": reply.text,
            "model": reply.model,
            "date": reply.date,
            "prompt_tokens": reply.prompt_tokens,
            "completion_tokens": reply.completion_tokens,
            "with_schema": with_schema,
        }
        if num_masked:
            detail["num_masked"] = num_masked
        try:
            verdict = read_verdict(split_thoughts(reply.text).answer, given)
        except Unread as unread:
            return Judgement(None, unread.reason, detail | {"detail": unread.detail})
        if verdict.is_in_reply:
            detail["verdict_in_reply"] = True
        scores = {name: float(score) for name, score in verdict.scores.items()}
        return Judgement(scores, detail=detail | {"explanation": verdict.explanation})

    def _to_messages(self, dialogue: Dialogue, given: Sequence[str]) -> list[dict[str, Any]]:
        """The judge's prompt, followed by the images if it sees them."""
        messages: list[dict[str, Any]] = [*to_judge_messages(dialogue, given, self.spec.images, self.spec.prompt)]
        if self.spec.images:
            asked = Question(messages[-1]["content"], dialogue.images)
            messages[-1:] = to_openai(to_messages(asked), lambda image: to_data_url(image.data, MAX_SIDE_PX))
        return messages

    async def _ask(self, client: ChatClient, messages: Sequence[dict[str, Any]], repeat: int) -> tuple[Reply, bool]:
        """The judge's reply, and whether the schema was used; repeats differ by their seed."""
        seed = repeat if self.spec.repeats > 1 else None
        decoding: dict[str, Any] = {"temperature": self.spec.temperature, "seed": seed}
        if self._takes_schema:
            try:
                reply = await client.ask(messages, **decoding, response_format=_SCHEMA_FORM)
                self._answered_schema = True
                return reply, True
            except RequestFailed as failure:
                crashed = failure.reason == _SCHEMA_CRASHED and not self._answered_schema
                if failure.reason not in _SCHEMA_REFUSED and not crashed:
                    raise
        reply = await client.ask(messages, **decoding)
        self._takes_schema = False
        return reply, False
