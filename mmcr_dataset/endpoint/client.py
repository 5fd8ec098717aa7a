"""Client of an OpenAI-compatible chat endpoint: retries with exponential backoff, usage, cost, ledger.

Honours `Retry-After`, never retries what can't succeed, and stores the raw reply before it is parsed. Max concurrency
adapts to the server's rate limit (rate_limit.py).
"""

from __future__ import annotations

import asyncio
import itertools
import json
import logging
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
from mmcr_dataset.endpoint.rate_limit import RateLimiter
from mmcr_dataset.endpoint.reply import (
    InputRefused,
    Reply,
    RetryableFailure,
    count_tokens,
    read_completion,
    read_object,
    read_reply,
    read_usage,
    refused_field,
)
from mmcr_dataset.endpoint.transport import HttpResponse, RequestFailed

log = logging.getLogger(__name__)

__all__ = ["ChatClient", "Endpoint", "EndpointUnusable", "Reply", "RequestFailed"]

_PATIENCE_S = 120.0  # a rate limit's window is a minute: a 429 is waited for that long, whatever the attempts
_INPUT_REFUSED = ("http_400", "http_403", "http_413", "http_422")  # of this request, where others pass
Messages = Sequence[Mapping[str, Any]]


class ChatClient:
    """Client of one endpoint; use as `async with ChatClient(endpoint, ledger) as client`.

    Args:
        endpoint: the endpoint.
        ledger: stores every answer.
        keeps_truncated: a reply that ends at the token limit is an answer, not a failure.

    Attributes:
        refused: fields that the model refuses, so that they are renamed (`max_tokens`) or left out (`temperature`).
        num_from_ledger: answers read from the ledger.
    """

    def __init__(self, endpoint: Endpoint, ledger: Ledger, keeps_truncated: bool = False) -> None:
        self.endpoint = endpoint
        self.ledger = ledger
        self._keeps_truncated = keeps_truncated
        self.budget = Budget(endpoint.model, endpoint.max_cost_usd, ledger.totals().usd)
        self.num_from_ledger = 0
        self._num_consecutive_failures = 0
        self.refused: set[str] = set()
        self._any_answer = False
        self._fatal: EndpointUnusable | None = None
        self._rate_limiter = RateLimiter(endpoint.max_in_flight)
        self._asking: dict[str, asyncio.Future[Reply]] = {}
        self._threads = ThreadPoolExecutor(max_workers=os.cpu_count(), thread_name_prefix="request")

    async def __aenter__(self) -> Self:
        self._transport = self.endpoint.connect()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._transport.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    @property
    def spent_usd(self) -> float:
        """Cost so far, of all rows in the ledger."""
        return self.budget.spent_usd

    def show_spend(self) -> str:
        """Cost so far, if the model's price is known, and the number of answers read from the ledger."""
        paid_before = f", {self.num_from_ledger} from the ledger" if self.num_from_ledger else ""
        return self.budget.show() + paid_before

    def has_answer(self, messages: Messages, attempt: int = 1, **decoding: Any) -> bool:  # noqa: ANN401
        """True if the answer to these messages is in the ledger."""
        return self.ledger.has(to_attempt(to_request(self.endpoint.model, messages, decoding), attempt).key)

    async def ask(
        self,
        messages: Messages,
        with_images: Callable[[], Messages] | None = None,
        attempt: int = 1,
        **decoding: Any,  # noqa: ANN401
    ) -> Reply:
        """The reply to some messages, from the ledger if it has one.

        Args:
            messages: in the chat API's format (`messages.to_openai`); an image as a `data:` URL, or as another text
                that identifies it.
            with_images: returns the messages to send, where those above only identify their images. Called in a
                thread, and only if the request is sent: an answer in the ledger needs no image encoding.
            attempt: from 2 on, another answer to the same request, because an earlier one is unusable.
            **decoding: further fields of the request as the API names them (temperature, max_tokens,
                response_format, seed, ...); None values are left out.

        Raises:
            RequestFailed: this request got no answer; stored in the ledger with its reason.
            EndpointUnusable: no request can succeed, or the next one could exceed max_cost_usd.
            LedgerError: the ledger can't be read or written.
        """
        request = to_request(self.endpoint.model, messages, decoding)
        asked = to_attempt(request, attempt)
        known = self.ledger.find(asked.key)
        if known is not None:
            self.num_from_ledger += 1
            return read_reply(known, True, self._keeps_truncated)
        if asked.key in self._asking:  # the same request is in flight
            return replace(await asyncio.shield(self._asking[asked.key]), from_ledger=True)
        answer = self._asking[asked.key] = asyncio.get_running_loop().create_future()
        try:
            reply = await self._answer(asked, request, with_images)
        except (RequestFailed, EndpointUnusable, LedgerError) as failure:
            answer.set_exception(failure)
            answer.exception()  # mark as retrieved: there may be no second caller
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
        async with self.budget.reserve(request) as worst_case_usd:
            return await self._send(asked, body, worst_case_usd)

    async def _take(
        self, asked: Asked, answered: HttpResponse, raw: Mapping[str, Any], worst_case_usd: float
    ) -> Reply | RequestFailed:
        """Add the cost and store the response: the reply, or why it isn't one."""
        usd = self.budget.spend(read_usage(raw), worst_case_usd)
        body = answered.body.decode("utf-8-sig")
        try:
            reply = read_reply(raw, False, self._keeps_truncated)
        except RequestFailed as failure:
            detail = f"{failure.detail}; as it came: {body}"
            await self._keep(self.ledger.store_failure(asked, failure.reason, detail, usd))
            return failure
        await self._keep(self.ledger.store(asked, body, usd))
        return reply

    async def _keep(self, stored: Future[None]) -> None:
        """Wait until a row is on disk; if it can't be written, no further request is sent."""
        try:
            await asyncio.wrap_future(stored)
        except LedgerError as error:
            self._fatal = EndpointUnusable(str(error))
            raise

    async def _send(self, asked: Asked, body: bytes, worst_case_usd: float) -> Reply:
        """One request with its retries; the answer is on disk before its slot is freed."""
        started, entry = asyncio.get_running_loop().time(), ""
        for attempt in itertools.count(1):
            try:
                async with self._rate_limiter:
                    if self._fatal is not None:
                        raise self._fatal
                    adapted = self._adapt(body)
                    entry = self.ledger.in_flight.begin(asked.key, worst_case_usd)
                    answered = await self._transport.post_json("/chat/completions", adapted)
                    taken = await self._take(asked, answered, self._read(answered, adapted), worst_case_usd)
                    self.ledger.in_flight.end(entry)
            except EndpointUnusable as error:
                self._fatal = error  # queued requests are not sent
                self.ledger.in_flight.end(entry)
                raise
            except RequestFailed as error:
                failure, wait_s = error, _wait_s(error, attempt)
            else:
                self._num_consecutive_failures = 0
                self._any_answer = True
                if isinstance(taken, RequestFailed):
                    raise taken
                return taken
            lost_usd = worst_case_usd if failure.maybe_billed else 0.0  # so that the cost limit holds if it was
            self.budget.add_unanswered(lost_usd)
            is_last = attempt >= self.endpoint.max_attempts or wait_s is None
            if failure.reason == "http_429" and asyncio.get_running_loop().time() - started < _PATIENCE_S:
                is_last = wait_s is None
            # before the await below: others are sent meanwhile
            fatal = self._count_failure(failure) if is_last else None
            if is_last or failure.maybe_billed:
                await self._keep(self.ledger.store_failure(asked, failure.reason, failure.detail, lost_usd))
            self.ledger.in_flight.end(entry)
            if lost_usd and not self.budget.has_room(0.0):
                raise self.budget.limit_error(worst_case_usd)
            if is_last or wait_s is None:
                raise fatal or failure
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable: the loop returns or raises")

    def _read(self, answered: HttpResponse, body: bytes) -> dict[str, Any]:
        """The completion in a response to a request's body, after the rate limiter has adjusted to it."""
        raw = read_object(answered)
        self._rate_limiter.observe(answered.status, answered.headers, count_tokens(raw))
        try:
            return read_completion(answered, raw, f"{self.endpoint.base_url}, model {self.endpoint.model!r}")
        except RetryableFailure as failure:
            if failure.endpoint_wide and failure.wait_s is not None:
                self._rate_limiter.pause(failure.wait_s)
            raise
        except RequestFailed as failure:
            sent = json.loads(body)
            field = refused_field(raw) if answered.status in (400, 422) else None
            if field is None or field not in sent:
                raise
            if field not in self.refused:
                self.refused.add(field)
                log.warning("%s refuses %s (%s): asked without it", self.endpoint.model, field, failure.detail[:120])
            raise RetryableFailure(failure.reason, failure.detail, wait_s=0.0) from None

    def _adapt(self, body: bytes) -> bytes:
        """The body for this model: without the fields that it refused, `max_tokens` under its newer name."""
        if not self.refused:
            return body
        request = json.loads(body)
        for name in self.refused - {"max_tokens"}:
            request.pop(name, None)
        return to_body(rename_max_tokens(request) if "max_tokens" in self.refused else request)

    def _count_failure(self, failure: RequestFailed) -> EndpointUnusable | None:
        """Stop the run after many consecutive failures, instead of failing a million requests one by one.

        A refusal that names its input stays with that request, however many there are.
        """
        if isinstance(failure, InputRefused) or (failure.reason in _INPUT_REFUSED and self._any_answer):
            return None
        self._num_consecutive_failures += 1
        if self._num_consecutive_failures < max(20, 2 * self.endpoint.max_in_flight):
            return None
        self._fatal = EndpointUnusable(
            f"{self.endpoint.base_url}: {self._num_consecutive_failures} requests in a row failed, last: {failure}; "
            "check the server and run the same command again, answered requests are not paid twice"
        )
        return self._fatal


def to_request(model: str, messages: Messages, decoding: Mapping[str, Any]) -> dict[str, Any]:
    """The request in the API's format; None values are left out."""
    request: dict[str, Any] = {"model": model, "messages": list(messages)}
    return request | {name: value for name, value in decoding.items() if value is not None}


def to_attempt(request: Mapping[str, Any], attempt: int) -> Asked:
    """The request in the ledger's form; a further attempt has a key of its own, though the same is sent."""
    return to_asked(request if attempt == 1 else {**request, "attempt": attempt})


def rename_max_tokens(request: Mapping[str, Any]) -> dict[str, Any]:
    """The request with `max_tokens` under its newer name, `max_completion_tokens`."""
    return {("max_completion_tokens" if name == "max_tokens" else name): value for name, value in request.items()}


def to_body(request: Mapping[str, Any]) -> bytes:
    """The request as JSON bytes."""
    return json.dumps(request, separators=(",", ":")).encode("ascii")


def _wait_s(failure: RequestFailed, attempt: int) -> float | None:
    """Delay before the next attempt: `Retry-After`, else exponential backoff with jitter; None for no retry."""
    if isinstance(failure, RetryableFailure) and failure.wait_s is not None:
        return failure.wait_s
    if isinstance(failure, RetryableFailure) or failure.reason in ("timeout", "connection"):
        return float(min(30.0, 0.1 * 3 ** (attempt - 1)) * random.uniform(0.5, 1.0))  # noqa: S311
    return None
