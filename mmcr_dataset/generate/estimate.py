"""Cost estimate of a build: requests without an answer in the ledger, tokens, US dollars."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.client import to_request
from mmcr_dataset.endpoint.ledger import Ledger, to_asked
from mmcr_dataset.endpoint.prices import estimate_tokens, find_price
from mmcr_dataset.generate.dialogues import image_name, to_request_messages
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.images import open_image, shrunk_size

BATCH_SHARE = 0.5  # price of the Batch API relative to the list price
_REPLY_TOKENS = {False: 1400, True: 3500}  # paper, Table 1: tokens of a dialogue; key: several images


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
    for shard in shards:
        for candidate in shard:
            model = settings.endpoint_of(candidate.id).model
            price = prices[model]
            messages = to_request_messages(candidate, settings, image_name)
            request = to_request(
                model, messages, {"temperature": settings.temperature, "max_tokens": settings.max_tokens}
            )
            key = to_asked(request).key
            if key in seen:
                continue
            seen.add(key)
            doubled = to_asked(request | {"max_tokens": 2 * settings.max_tokens}).key
            if ledger.has(key) or ledger.has(doubled):
                known += 1
                continue
            to_pay += 1
            asked = estimate_tokens(messages[0]["content"][0]["text"])
            asked += sum(
                price.tokens_of_image(shrunk_size(open_image(image.data).size, settings.max_side_px), settings.detail)
                for image in candidate.images
                if price is not None
            )
            back = round(measured or min(_REPLY_TOKENS[len(candidate.images) > 1], settings.max_tokens))
            tokens_in, tokens_out = tokens_in + asked, tokens_out + back
            if price is not None:  # a truncated reply is asked for with twice the limit, an unreadable one again
                both = (request, request | {"max_tokens": 2 * settings.max_tokens})
                usd += price.cost_usd(asked, back)
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
