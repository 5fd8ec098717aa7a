"""Ask a chat model about images and read the JSON object that ends its reply; paid once, through the ledger."""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from mmcr_bench.judge.spending import current_spending
from mmcr_dataset.endpoint.address import Endpoint
from mmcr_dataset.endpoint.ask_all import ask_all
from mmcr_dataset.endpoint.client import ChatClient, RequestFailed
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.prices import estimate_tokens, find_price
from mmcr_dataset.endpoint.thoughts import split_thoughts
from mmcr_dataset.record.dialogue import DialogueImage
from mmcr_dataset.record.images import open_image, shrunk_size, to_data_url
from mmcr_dataset.record.messages import Question, to_messages, to_openai

MAX_SIDE_PX = 768
MAX_TOKENS = 1024
_USUAL_TOKENS = 150  # of a reply: a few sentences and an object
log = logging.getLogger(__name__)
_OBJECT = re.compile(r"\{[^{}]*\}")


class NoAnswer(ValueError):
    """A model gave no answer that can be read: `.reason` is a short name for counting."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


def ask_each(endpoint: Endpoint, ledger_path: Path, asked: Sequence[Question]) -> list[dict[str, Any] | NoAnswer]:
    """The object at the end of each reply, or why there is none, in order.

    Args:
        endpoint: the model.
        ledger_path: stores every answer.
        asked: text and images of each question.

    Raises:
        EndpointUnusable: no request can succeed, or the next one could exceed the limit; answers are kept.
        ValueError: the model's price is unknown, and that was not allowed.
    """
    current_spending().check(endpoint)
    log.info("%s", show_cost(endpoint, asked))
    return asyncio.run(_ask_each(endpoint, ledger_path, asked))


def show_cost(endpoint: Endpoint, asked: Sequence[Question]) -> str:
    """A line that says what the questions cost, if none is in the ledger."""
    price = find_price(endpoint.model)
    if price is None:
        return f"{len(asked)} questions to {endpoint.model}, whose price is not known"
    sizes = [shrunk_size(open_image(image.data).size, MAX_SIDE_PX) for question in asked for image in question.images]
    tokens_in = sum(estimate_tokens(question.text) for question in asked)
    tokens_in += sum(price.tokens_of_image(size, None) for size in sizes)
    usual, most = (price.cost_usd(tokens_in, tokens * len(asked)) for tokens in (_USUAL_TOKENS, MAX_TOKENS))
    return f"{len(asked)} questions to {endpoint.model}: about {usual:.2f} USD, at most {most:.2f}"


async def _ask_each(
    endpoint: Endpoint, ledger_path: Path, asked: Sequence[Question]
) -> list[dict[str, Any] | NoAnswer]:
    with Ledger(ledger_path) as ledger:
        async with ChatClient(current_spending().limit(endpoint, ledger, 1.0), ledger) as client:

            async def ask(question: Question) -> dict[str, Any] | NoAnswer:
                named, shown = (to_openai(to_messages(question), show, None) for show in (_name, _show))
                try:
                    reply = await client.ask(named, lambda: shown, temperature=0.0, max_tokens=MAX_TOKENS)
                except RequestFailed as failure:
                    return NoAnswer(failure.reason, failure.detail)
                return read_object(reply.text)

            return await ask_all((ask(question) for question in asked), 2 * endpoint.max_in_flight)


def _name(image: DialogueImage) -> str:
    return f"data:sha256,{image.sha256};max_side_px={MAX_SIDE_PX}"


def _show(image: DialogueImage) -> str:
    return to_data_url(image.data, MAX_SIDE_PX)


def read_object(reply: str) -> dict[str, Any] | NoAnswer:
    """The last JSON object without objects inside in a reply.

    Example: `'Image 3 is odd. {"right": false}'` -> `{"right": False}`
    """
    found = _OBJECT.findall(split_thoughts(reply).answer)
    try:
        value = json.loads(found[-1]) if found else None
    except ValueError as error:
        return NoAnswer("not_json", f"{error}: {found[-1][:200]}")
    return value if isinstance(value, dict) else NoAnswer("no_object", f"the reply ends {reply[-200:]!r}")
