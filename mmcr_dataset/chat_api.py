"""OpenAI-compatible chat endpoints: one request, retries, usage, price; every reply goes through the ledger.

The SDK's own retries are off: it retries an empty quota and pays a timed-out request three times over. Ours waits as
long as the server says, never retries what cannot succeed, and stores the raw reply before anyone reads it.
"""

from __future__ import annotations

import asyncio
import json
import os
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from importlib import resources
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit

import openai

from mmcr_dataset.ledger import Ledger, request_key

_TOKENS_A_PICTURE = 1600  # upper end of what vision endpoints charge for one picture
_CHARACTERS_A_TOKEN = 3  # lower end for English text: an estimate of cost must not be too small


class EndpointUnusable(ValueError):
    """No request to this endpoint can succeed (key, quota, model name, budget); the run stops, nothing is lost."""


class RequestFailed(RuntimeError):
    """This one request has no answer; `.reason` is a short name for counting."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Price:
    """US dollars for a million tokens in and out."""

    usd_per_m_in: float
    usd_per_m_out: float

    def cost_usd(self, prompt_tokens: int, completion_tokens: int) -> float:
        """What that many tokens cost."""
        return (prompt_tokens * self.usd_per_m_in + completion_tokens * self.usd_per_m_out) / 1e6


def find_price(model: str) -> Price | None:
    """The price of a model by its longest known prefix in prices.json, None if it isn't listed."""
    table: dict[str, dict[str, float]] = json.loads(resources.files("mmcr_dataset").joinpath("prices.json").read_text())
    known = [name for name in table if model.startswith(name)]
    return Price(**table[max(known, key=len)]) if known else None


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where to ask, whom, and how patiently.

    Attributes:
        base_url: ends in /v1 for most servers, e.g. http://127.0.0.1:8000/v1.
        model: the model's name on that server.
        api_key: None reads OPENAI_API_KEY; servers without keys take anything.
        max_in_flight: requests at once.
        max_attempts: tries for one request, the first included.
        timeout_s: time for one try.
        max_cost_usd: stop before this sum is crossed, counting what the ledger already holds; None is no limit.
    """

    base_url: str
    model: str
    api_key: str | None = field(default=None, repr=False)
    max_in_flight: int = 16
    max_attempts: int = 5
    timeout_s: float = 180.0
    max_cost_usd: float | None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.base_url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"endpoint {self.base_url!r}: expected an address such as http://127.0.0.1:8000/v1")
        if not self.model:
            raise ValueError(f"endpoint {self.base_url!r}: no model named; write it as {self.base_url}#MODEL")
        if self.max_in_flight < 1 or self.max_attempts < 1 or self.timeout_s <= 0:
            raise ValueError(f"{self}: max_in_flight and max_attempts must be at least 1, timeout_s above 0")


@dataclass(frozen=True, slots=True)
class Reply:
    """One answer.

    Attributes:
        text: what was said.
        model: model and snapshot as the server names them.
        date: ISO date when it was made.
        prompt_tokens: tokens in, None if the server doesn't say.
        completion_tokens: tokens out, None if the server doesn't say.
        from_ledger: True if it had been paid for before.
    """

    text: str
    model: str
    date: str
    prompt_tokens: int | None
    completion_tokens: int | None
    from_ledger: bool


def _read_reply(raw: Mapping[str, Any], from_ledger: bool) -> Reply:
    """The reply in a raw completion; what isn't a whole answer has its reason.

    Raises:
        RequestFailed: no_choice, refusal, content_filter, length, empty_reply.
    """
    choices = raw.get("choices") or []
    if not choices:
        raise RequestFailed("no_choice", "the server sent a completion without choices")
    choice, message = choices[0], choices[0].get("message") or {}
    if message.get("refusal"):
        raise RequestFailed("refusal", str(message["refusal"]))
    if choice.get("finish_reason") in ("content_filter", "length"):
        raise RequestFailed(choice["finish_reason"], f"the reply ends early: {str(message.get('content'))[-80:]!r}")
    text = message.get("content")
    if not isinstance(text, str) or not text.strip():
        raise RequestFailed("empty_reply", "the server sent no text")
    usage = raw.get("usage") or {}
    return Reply(
        text=text,
        model=str(raw.get("model") or ""),
        date=datetime.fromtimestamp(int(raw.get("created") or 0), tz=UTC).date().isoformat(),
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        from_ledger=from_ledger,
    )


class ChatClient:
    """Asks one endpoint; use as `async with ChatClient(endpoint, ledger) as client`.

    Attributes:
        num_sent: requests that went over the wire.
        num_from_ledger: answers that had been paid for before.
    """

    def __init__(self, endpoint: Endpoint, ledger: Ledger) -> None:
        self.endpoint = endpoint
        self.ledger = ledger
        self.price = find_price(endpoint.model)
        if endpoint.max_cost_usd is not None and self.price is None:
            raise EndpointUnusable(
                f"no price known for model {endpoint.model!r}, so a limit of {endpoint.max_cost_usd} USD can't be "
                "kept; add the model to mmcr_dataset/prices.json"
            )
        self.num_sent = 0
        self.num_from_ledger = 0
        self._spent_usd = ledger.totals().usd
        self._reserved_usd = 0.0
        self._slots = asyncio.Semaphore(endpoint.max_in_flight)
        self._sdk = openai.AsyncOpenAI(
            base_url=endpoint.base_url,
            api_key=endpoint.api_key or os.environ.get("OPENAI_API_KEY") or "none",
            max_retries=0,
            timeout=endpoint.timeout_s,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._sdk.close()

    @property
    def spent_usd(self) -> float:
        """Money spent so far by everything in the ledger."""
        return self._spent_usd

    async def ask(self, messages: Sequence[Mapping[str, Any]], **decoding: Any) -> Reply:  # noqa: ANN401
        """The answer to some messages, from the ledger if it is there.

        Args:
            messages: in the form of the chat API (`messages.to_openai`).
            **decoding: further fields of the request as the API names them (temperature, max_tokens,
                response_format, seed, ...); None values are left out.

        Raises:
            RequestFailed: this request has no answer; stored in the ledger with its reason.
            EndpointUnusable: no request can succeed, or the next one could cross max_cost_usd.
        """
        request: dict[str, Any] = {"model": self.endpoint.model, "messages": list(messages)}
        request |= {name: value for name, value in decoding.items() if value is not None}
        known = self.ledger.find(request_key(request))
        if known is not None:
            self.num_from_ledger += 1
            return _read_reply(known, from_ledger=True)
        async with self._slots:
            reserved = self._reserve(request)
            try:
                raw = await self._send(request)
            except RequestFailed as failure:
                await asyncio.wrap_future(self.ledger.store_failure(request, failure.reason, failure.detail))
                raise
            finally:
                self._reserved_usd -= reserved
        usd = self._cost_usd(raw)
        self._spent_usd += usd
        try:
            reply = _read_reply(raw, from_ledger=False)
        except RequestFailed as failure:  # paid, and no answer
            await asyncio.wrap_future(self.ledger.store_failure(request, failure.reason, failure.detail, usd))
            raise
        await asyncio.wrap_future(self.ledger.store(request, raw, usd))  # on disk before anybody reads it
        return reply

    def _cost_usd(self, raw: Mapping[str, Any]) -> float:
        usage = raw.get("usage") or {}
        if self.price is None:
            return 0.0
        return self.price.cost_usd(usage.get("prompt_tokens") or 0, usage.get("completion_tokens") or 0)

    def _reserve(self, request: Mapping[str, Any]) -> float:
        """Set aside the most that a request can cost, so that requests in flight can't cross the line together."""
        if self.price is None:
            return 0.0
        tokens = 0
        for message in request["messages"]:
            content = message["content"]
            for block in [{"type": "text", "text": content}] if isinstance(content, str) else content:
                text = block.get("text")
                tokens += _TOKENS_A_PICTURE if text is None else len(text) // _CHARACTERS_A_TOKEN + 1
        most = self.price.cost_usd(tokens, request.get("max_tokens") or request.get("max_completion_tokens") or 4096)
        limit = self.endpoint.max_cost_usd
        if limit is not None and self._spent_usd + self._reserved_usd + most > limit:
            raise EndpointUnusable(
                f"stopped before crossing --max-cost-usd {limit}: {self._spent_usd:.4f} USD are spent and the requests "
                f"in flight may cost {self._reserved_usd + most:.4f}; raise the limit and run the same command again, "
                "answered requests are not paid twice"
            )
        self._reserved_usd += most
        return most

    async def _send(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One request with its retries; the raw completion as a dict."""
        for attempt in range(1, self.endpoint.max_attempts + 1):
            self.num_sent += 1
            try:
                # The plain route: the typed one copies every message and picture, 7 ms a call.
                raw = await self._sdk.post("/chat/completions", body=request, cast_to=object)
                if not isinstance(raw, dict):
                    raise RequestFailed("bad_reply", f"expected a JSON object, got {type(raw).__name__}")
                return raw
            except openai.APIStatusError as error:
                failure, wait_s = self._read_status(error, attempt)
            except openai.APITimeoutError as error:
                failure, wait_s = RequestFailed("timeout", f"{self.endpoint.timeout_s} s: {error}"), _backoff_s(attempt)
            except openai.APIConnectionError as error:
                failure, wait_s = RequestFailed("connection", f"{error.__cause__ or error}"), _backoff_s(attempt)
            except json.JSONDecodeError as error:
                failure, wait_s = RequestFailed("bad_reply", f"not JSON: {error}"), _backoff_s(attempt)
            if attempt == self.endpoint.max_attempts or wait_s is None:
                raise failure
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable: the loop returns or raises")

    def _read_status(self, error: openai.APIStatusError, attempt: int) -> tuple[RequestFailed, float | None]:
        """What an error status means: the failure, and how long to wait before the next try (None: don't)."""
        status, code = error.status_code, str(getattr(error, "code", "") or "")
        where = f"{self.endpoint.base_url} answers {status} for model {self.endpoint.model!r}: {error.message}"
        if status in (401, 403):
            raise EndpointUnusable(f"{where}; set OPENAI_API_KEY to a key that may use this model") from error
        if status == 404:
            raise EndpointUnusable(f"{where}; check the address and the model's name") from error
        if code == "insufficient_quota":
            raise EndpointUnusable(f"{where}; the account has no money left, waiting doesn't help") from error
        if status == 429 or status >= 500 or status in (408, 409):
            wait = _retry_after_s(error.response.headers)
            return RequestFailed(f"http_{status}", error.message), _backoff_s(attempt) if wait is None else wait
        reason = "content_filter" if code == "content_filter" else f"http_{status}"
        return RequestFailed(reason, error.message), None


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks us to wait, None if it doesn't say; at most ten minutes are honoured."""
    for name, scale in (("retry-after-ms", 1e-3), ("retry-after", 1.0)):
        try:
            return min(600.0, max(0.0, float(headers[name]) * scale))
        except (KeyError, ValueError):
            continue
    return None


def _backoff_s(attempt: int) -> float:
    """0.5, 1, 2, ... seconds, at most 30, each with jitter so that clients don't come back together."""
    return float(min(30.0, 0.5 * 2 ** (attempt - 1)) * random.uniform(0.5, 1.0))  # noqa: S311
