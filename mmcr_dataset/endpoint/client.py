"""OpenAI-compatible chat endpoints: one request, retries, usage, price; every reply goes through the ledger.

Waits as long as the server says, never retries what cannot succeed, and stores the raw reply before anyone reads it.
How many requests are out at once follows what the server takes (pace.py).
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import replace
from types import TracebackType
from typing import Any, Self

from mmcr_dataset.endpoint.address import Endpoint
from mmcr_dataset.endpoint.budget import Budget, EndpointUnusable
from mmcr_dataset.endpoint.ledger import Asked, Ledger, LedgerError, to_asked
from mmcr_dataset.endpoint.rate_limit import Pace
from mmcr_dataset.endpoint.reply import (
    Again,
    Reply,
    count_tokens,
    read_completion,
    read_object,
    read_reply,
    wants_completion_tokens,
)
from mmcr_dataset.endpoint.transport import Answered, RequestFailed

__all__ = ["ChatClient", "Endpoint", "EndpointUnusable", "Reply", "RequestFailed"]

_MAYBE_PAID = ("timeout", "bad_reply")  # counted as if they were, so that the limit holds whatever the server did
Messages = Sequence[Mapping[str, Any]]


class ChatClient:
    """Asks one endpoint; use as `async with ChatClient(endpoint, ledger) as client`.

    Attributes:
        num_sent: requests that went over the wire.
        num_from_ledger: answers that had been paid for before.
    """

    def __init__(self, endpoint: Endpoint, ledger: Ledger) -> None:
        self.endpoint = endpoint
        self.ledger = ledger
        self.budget = Budget(endpoint.model, endpoint.max_cost_usd, ledger.totals().usd)
        self.num_sent = 0
        self.num_from_ledger = 0
        self._num_lost_in_a_row = 0
        self._says_completion_tokens = False
        self._end: EndpointUnusable | None = None
        self._pace = Pace(endpoint.max_in_flight)
        self._asking: dict[str, asyncio.Future[Reply]] = {}
        self._threads = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="request")

    async def __aenter__(self) -> Self:
        self._wire = self.endpoint.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._wire.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def spent_usd(self) -> float:
        """Money spent so far by everything in the ledger."""
        return self.budget.spent_usd

    def show_spend(self) -> str:
        """Money so far, if the model's price is known; what came from the ledger costs nothing again."""
        paid_before = f", {self.num_from_ledger} from the ledger" if self.num_from_ledger else ""
        return (f"{self.spent_usd:.4f} USD" if self.budget.price else "price unknown") + paid_before

    def knows(self, messages: Messages, **decoding: Any) -> bool:  # noqa: ANN401
        """True if the answer to these messages is in the ledger."""
        return self.ledger.has(to_asked(to_request(self.endpoint.model, messages, decoding)).key)

    async def ask(
        self,
        messages: Messages,
        with_images: Callable[[], Messages] | None = None,
        **decoding: Any,  # noqa: ANN401
    ) -> Reply:
        """The answer to some messages, from the ledger if it is there.

        Args:
            messages: in the form of the chat API (`messages.to_openai`); an image as a `data:` URL, or as any other
                text that names it.
            with_images: gives the messages as they are sent, where those above only name their images. Called in a
                thread, and only when the request has to go out: an answer that is there costs no encoding.
            **decoding: further fields of the request as the API names them (temperature, max_tokens,
                response_format, seed, ...); None values are left out.

        Raises:
            RequestFailed: this request has no answer; stored in the ledger with its reason.
            EndpointUnusable: no request can succeed, or the next one could cross max_cost_usd.
        """
        request = to_request(self.endpoint.model, messages, decoding)
        asked = to_asked(request)
        known = self.ledger.find(asked.key)
        if known is not None:
            self.num_from_ledger += 1
            return read_reply(known, from_ledger=True)
        if asked.key in self._asking:  # the same words about the same images, asked a moment ago
            return replace(await asyncio.shield(self._asking[asked.key]), from_ledger=True)
        answer = self._asking[asked.key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._answer(asked, request, with_images)
        except (RequestFailed, EndpointUnusable, LedgerError) as failure:
            answer.set_exception(failure)
            answer.exception()  # nobody else may have asked
            raise
        else:
            answer.set_result(reply)
            return reply
        finally:
            answer.cancel()
            del self._asking[asked.key]

    async def _answer(self, asked: Asked, request: dict[str, Any], with_images: Callable[[], Messages] | None) -> Reply:
        loop = asyncio.get_running_loop()
        if with_images is None:
            body = to_body(request)
        else:
            body = await loop.run_in_executor(
                self._threads, lambda: to_body(request | {"messages": list(with_images())})
            )
        async with self.budget.reserve(request) as most_usd:
            return await self._send(asked, body, most_usd)

    async def _take(
        self, asked: Asked, answered: Answered, raw: Mapping[str, Any], most_usd: float
    ) -> Reply | RequestFailed:
        """Count and keep what was paid: the reply, or why it is none."""
        usd = self.budget.spend(raw.get("usage") or {}, most_usd)
        try:
            reply = read_reply(raw, from_ledger=False)
        except RequestFailed as failure:
            await self._keep(self.ledger.store_failure(asked, failure.reason, failure.detail, usd))
            return failure
        await self._keep(self.ledger.store(asked, answered.body.decode("utf-8"), usd))
        return reply

    async def _keep(self, stored: Future[None]) -> None:
        """Wait until something is on disk; where it can't be put there, nothing more is sent."""
        try:
            await asyncio.wrap_future(stored)
        except LedgerError as error:
            self._end = EndpointUnusable(str(error))
            raise

    async def _send(self, asked: Asked, body: bytes, most_usd: float) -> Reply:
        """One request with its retries; the answer is on disk before the next request takes its place."""
        for attempt in range(1, self.endpoint.max_attempts + 1):
            try:
                async with self._pace:
                    if self._end is not None:
                        raise self._end
                    self.num_sent += 1
                    answered = await self._wire.post_json("/chat/completions", self._spell(body))
                    taken = await self._take(asked, answered, self._read(answered), most_usd)
            except EndpointUnusable as error:
                self._end = error  # what waits is not sent any more
                raise
            except RequestFailed as error:
                failure, wait_s = error, _wait_s(error, attempt)
            else:
                self._num_lost_in_a_row = 0
                if isinstance(taken, RequestFailed):
                    raise taken
                return taken
            lost_usd = most_usd if failure.reason in _MAYBE_PAID else 0.0
            self.budget.lose(lost_usd)
            if lost_usd and not self.budget.has_room(0.0):
                raise self.budget.out_of_money(most_usd)
            is_last = attempt == self.endpoint.max_attempts or wait_s is None
            end = self._count_lost(failure) if is_last else None  # at once: while it is stored others are sent
            if is_last or failure.reason in _MAYBE_PAID:
                await self._keep(self.ledger.store_failure(asked, failure.reason, failure.detail, lost_usd))
            if is_last or wait_s is None:
                raise end or failure
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable: the loop returns or raises")

    def _read(self, answered: Answered) -> dict[str, Any]:
        """The completion in an answer; tells the pace what it says of limits."""
        raw = read_object(answered)
        self._pace.saw(answered.status, answered.headers, count_tokens(raw))
        try:
            return read_completion(answered, raw, f"{self.endpoint.base_url}, model {self.endpoint.model!r}")
        except Again as failure:
            if failure.for_all and failure.wait_s is not None:
                self._pace.pause(failure.wait_s)
            raise
        except RequestFailed as failure:
            if not wants_completion_tokens(raw):
                raise
            self._says_completion_tokens = True
            raise Again(failure.reason, failure.detail, wait_s=0.0) from None

    def _spell(self, body: bytes) -> bytes:
        """The body as this server wants it: newer models know the limit of a reply by another name only."""
        if not self._says_completion_tokens:
            return body
        return to_body(with_completion_tokens(json.loads(body)))

    def _count_lost(self, failure: RequestFailed) -> EndpointUnusable | None:
        """Stop where nothing comes back any more, instead of failing a million documents one by one."""
        if failure.reason == "content_filter":
            return None
        self._num_lost_in_a_row += 1
        if self._num_lost_in_a_row < max(20, 2 * self.endpoint.max_in_flight):
            return None
        self._end = EndpointUnusable(
            f"{self.endpoint.base_url}: {self._num_lost_in_a_row} requests in a row failed, the last: {failure}; "
            "see what is wrong there and run the same command again, answered requests are not paid twice"
        )
        return self._end


def to_request(model: str, messages: Messages, decoding: Mapping[str, Any]) -> dict[str, Any]:
    """The request as the API takes it; None values are left out."""
    request: dict[str, Any] = {"model": model, "messages": list(messages)}
    return request | {name: value for name, value in decoding.items() if value is not None}


def with_completion_tokens(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with the limit of a reply under its newer name."""
    return {("max_completion_tokens" if name == "max_tokens" else name): value for name, value in request.items()}


def to_body(request: Mapping[str, Any]) -> bytes:
    """The bytes that go over the wire."""
    return json.dumps(request, separators=(",", ":")).encode("ascii")


def _wait_s(failure: RequestFailed, attempt: int) -> float | None:
    """How long to wait before the next try, None if there is to be none: a backoff with jitter, unless we were told."""
    if isinstance(failure, Again) and failure.wait_s is not None:
        return failure.wait_s
    if isinstance(failure, Again) or failure.reason in ("timeout", "connection"):
        return float(min(30.0, 0.1 * 3 ** (attempt - 1)) * random.uniform(0.5, 1.0))  # noqa: S311
    return None
