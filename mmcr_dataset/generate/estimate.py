"""Cost estimate of a build: requests without an answer in the ledger, tokens, US dollars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.client import Messages, RequestFailed, to_attempt, to_request
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.prices import estimate_tokens, find_price
from mmcr_dataset.endpoint.reply import read_reply
from mmcr_dataset.generate.dialogues import to_request_messages
from mmcr_dataset.generate.long_dialogue import Part, Rounds, plan_parts, read_part
from mmcr_dataset.generate.long_writer import to_part_messages
from mmcr_dataset.generate.parse import UnreadableReply
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.generate.writing import image_name
from mmcr_dataset.record.dialogue import DialogueImage
from mmcr_dataset.record.images import open_image, shrunk_size

BATCH_SHARE = 0.5  # price of the Batch API relative to the list price
_REPLY_TOKENS = {False: 1400, True: 3500}  # paper, Table 1: tokens of a dialogue; key: several images
_ROUND_TOKENS = 300  # of a round of a long dialogue, whose answer has two to four paragraphs
_USUAL_ROUND = ("word " * 30, "word " * 200)  # in place of one that isn't written yet


@dataclass(frozen=True, slots=True)
class Estimate:
    """A cost estimate; costs are None if the model's price is unknown.

    Attributes:
        num_known: requests with an answer in the ledger.
        num_to_pay: requests to send.
        num_other: answers in the ledger to other requests.
        prompt_tokens: estimated tokens of the requests.
        completion_tokens: estimated tokens of the replies.
        usd: estimated cost.
        worst_case_usd: upper bound of the cost, with replies of maximum length.
        sample: what was counted where the numbers are extrapolated; empty where everything was.
    """

    num_known: int
    num_to_pay: int
    num_other: int
    prompt_tokens: int
    completion_tokens: int
    usd: float | None
    worst_case_usd: float | None
    sample: str = ""

    def of_sample(self, num_counted: int, num_shards: int) -> Estimate:
        """The estimate of all shards, if this is the one of some of them."""
        factor = num_shards / num_counted
        known = round(self.num_known * factor)
        return Estimate(
            num_known=known,
            num_to_pay=round(self.num_to_pay * factor),
            num_other=max(0, self.num_known + self.num_other - known),
            prompt_tokens=round(self.prompt_tokens * factor),
            completion_tokens=round(self.completion_tokens * factor),
            usd=None if self.usd is None else self.usd * factor,
            worst_case_usd=None if self.worst_case_usd is None else self.worst_case_usd * factor,
            sample=f"estimated from {num_counted:,} of {num_shards:,} shards",
        )

    def show(self, model: str) -> str:
        """The estimate on one line."""
        money = (
            f"the price of {model} is not in prices.json"
            if self.usd is None or self.worst_case_usd is None
            else f"about {self.usd:,.2f} USD, at most {self.worst_case_usd:,.2f}"
        )
        return (
            f"{self.num_to_pay:,} requests to {model} ({self.num_known:,} are in the ledger): about "
            f"{self.prompt_tokens / 1e6:,.2f}M tokens out, {self.completion_tokens / 1e6:,.2f}M back; {money}"
            + (f" ({self.sample})" if self.sample else "")
        )


def estimate(shards: Iterable[Sequence[Candidate]], settings: WriterSettings, ledger: Ledger) -> Estimate:
    """Estimate the cost of a writer; reads all candidates once, encodes no image."""
    assert settings.endpoint is not None, "only endpoints cost"
    prices = {one.model: find_price(one.model) for one, _ in settings.shares()}
    measured = ledger.mean_reply_tokens()
    known = to_pay = tokens_in = tokens_out = 0
    seen: set[str] = set()
    usd = worst_case_usd = 0.0
    for candidate in (candidate for shard in shards for candidate in shard):
        endpoint = settings.endpoint_of(candidate.id)
        price, of_writer = prices[endpoint.model], replace(settings, endpoint=endpoint, writers=None)
        num_known, requests = _to_pay(candidate, of_writer, ledger, seen)
        known += num_known
        for request in requests:
            to_pay += 1
            asked = estimate_tokens(request.messages[0]["content"][0]["text"])
            asked += sum(
                price.tokens_of_image(shrunk_size(open_image(image.data).size, settings.max_side_px), settings.detail)
                for image in request.images
                if price is not None
            )
            back = round(measured or min(request.reply_tokens, settings.max_tokens))
            tokens_in, tokens_out = tokens_in + asked, tokens_out + back
            if price is not None:  # a truncated reply is asked for with twice the limit, an unreadable one again
                usd += price.cost_usd(asked, back)
                limits = (settings.max_tokens, 2 * settings.max_tokens)
                both = (to_request(endpoint.model, request.messages, _decoding(settings, limit)) for limit in limits)
                worst_case_usd += settings.attempts * sum(map(price.worst_case_usd, both))
    share = BATCH_SHARE if settings.writer == "openai-batch" else 1.0
    return Estimate(
        num_known=known,
        num_to_pay=to_pay,
        num_other=ledger.totals().num_answered - known,
        prompt_tokens=tokens_in,
        completion_tokens=tokens_out,
        usd=None if None in prices.values() else share * usd,
        worst_case_usd=None if None in prices.values() else share * worst_case_usd,
    )


class _Request(NamedTuple):
    """A request that must be paid, its images, and the tokens of a usual reply."""

    messages: Messages
    images: Sequence[DialogueImage]
    reply_tokens: int


def _to_pay(
    candidate: Candidate, settings: WriterSettings, ledger: Ledger, seen: set[str]
) -> tuple[int, list[_Request]]:
    """How many requests of a candidate have an answer in the ledger, and the others; `seen`: keys of all before."""
    if settings.recipe == "mmdu":
        return _parts_to_pay(candidate, settings, ledger)
    messages = to_request_messages(candidate, settings, image_name)
    keys = _keys(messages, settings)
    if keys[0] in seen:
        return 0, []
    seen.add(keys[0])
    if any(map(ledger.has, keys)):
        return 1, []
    return 0, [_Request(messages, candidate.images, _REPLY_TOKENS[len(candidate.images) > 1])]


def _parts_to_pay(candidate: Candidate, settings: WriterSettings, ledger: Ledger) -> tuple[int, list[_Request]]:
    """The same for a long dialogue; the rounds that a later request carries are known once they are written."""
    so_far: Rounds = []
    num_known, requests = 0, list[_Request]()
    for part in plan_parts(len(candidate.images)):
        messages = to_part_messages(candidate, part, so_far, settings, image_name)
        found = None if requests else _find_rounds(messages, part, settings, ledger)
        if found is not None:
            num_known += 1
        else:
            images = [candidate.images[number - 1] for number in part.images] or candidate.images
            requests.append(_Request(messages, images, part.num_rounds * _ROUND_TOKENS))
        so_far = [*so_far, *(found or [_USUAL_ROUND] * part.num_rounds)]
    return num_known, requests


def _find_rounds(messages: Messages, part: Part, settings: WriterSettings, ledger: Ledger) -> Rounds | None:
    """The rounds of a part in the ledger, None without a readable answer."""
    for attempt in range(1, settings.attempts + 1):
        for key in _keys(messages, settings, attempt):
            try:
                if (raw := ledger.find(key)) is not None:
                    return read_part(read_reply(raw, True).text, part)
            except (RequestFailed, UnreadableReply):
                continue  # asked again
    return None


def _keys(messages: Messages, settings: WriterSettings, attempt: int = 1) -> list[str]:
    """Keys of a request, with the token limit and with twice the limit."""
    assert settings.endpoint is not None, "only endpoints have requests"
    limits = (settings.max_tokens, 2 * settings.max_tokens)
    requests = (to_request(settings.endpoint.model, messages, _decoding(settings, limit)) for limit in limits)
    return [to_attempt(request, attempt).key for request in requests]


def _decoding(settings: WriterSettings, max_tokens: int) -> dict[str, Any]:
    return {"temperature": settings.temperature, "max_tokens": max_tokens}


def show_writer_change(before: Mapping[str, Any] | None, now: Mapping[str, Any], cost: Estimate) -> str | None:
    """A warning that a changed writer invalidates paid answers, None if it doesn't.

    Args:
        before: fingerprint of the writer of the dialogues on disk, None if there are none.
        now: fingerprint of the current writer.
        cost: its cost estimate.
    """
    before = None if before is None else {**before, "attempts": now.get("attempts")}  # costs only unreadable ones
    if before is None or dict(before) == dict(now) or not cost.num_other or not cost.num_to_pay:
        return None
    names = {"prompts": "the prompt", "decoding": "temperature, max tokens, image size or detail"}
    changed = [name for key, name in names.items() if before.get(key) != now.get(key)]
    if [*before.get("endpoint", [])][1:] != [*now.get("endpoint", [])][1:]:
        changed.append("the model")
    money = "" if cost.usd is None else f", about {cost.usd:,.2f} USD"
    return (
        f"{' and '.join(changed) or 'the writer'} changed since the last run: {cost.num_other:,} answers in the "
        f"ledger don't match any more, {cost.num_to_pay:,} requests are paid again{money}; stop now (Ctrl-C) to undo it"
    )
