"""Interpret an endpoint's response: a reply, a failure of this request, or an error that stops the run."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mmcr_dataset.endpoint.budget import EndpointUnusable
from mmcr_dataset.endpoint.retry_after import read_retry_after
from mmcr_dataset.endpoint.transport import HttpResponse, RequestFailed

_FILTERED = {"content_filter", "content_policy_violation", "invalid_prompt", "moderation_blocked"}
_NO_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}


class RetryableFailure(RequestFailed):
    """A failure that a retry may resolve.

    Args:
        reason: a short name, for counting.
        detail: the message.
        wait_s: delay that the server requests, None if it doesn't.
        endpoint_wide: True if the delay holds for all requests to the endpoint.
    """

    def __init__(self, reason: str, detail: str, wait_s: float | None, endpoint_wide: bool = False) -> None:
        super().__init__(reason, detail)
        self.wait_s = wait_s
        self.endpoint_wide = endpoint_wide


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of a model.

    Attributes:
        text: content of the message.
        model: model and snapshot as the server names them.
        date: ISO date of its creation.
        prompt_tokens: tokens of the request, None if not reported.
        completion_tokens: tokens of the reply, None if not reported.
        from_ledger: True if it was read from the ledger, so nothing was paid now.
    """

    text: str
    model: str
    date: str
    prompt_tokens: int | None
    completion_tokens: int | None
    from_ledger: bool


def read_reply(raw: Mapping[str, Any], from_ledger: bool) -> Reply:
    """The reply in a raw completion.

    Raises:
        RequestFailed: no complete answer; the reason is no_choice, refusal, content_filter, length or empty_reply.
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


def read_object(answered: HttpResponse) -> dict[str, Any]:
    """The JSON object of a response; an object with an `error` where the body is none."""
    try:
        raw = json.loads(answered.body.decode("utf-8"))
    except ValueError as error:
        return {"error": {"message": f"not JSON ({error}): {answered.body[:80]!r}"}}
    if not isinstance(raw, dict):
        return {"error": {"message": f"expected a JSON object, got {type(raw).__name__}"}}
    return raw


def count_tokens(raw: Mapping[str, Any]) -> int:
    """Prompt and completion tokens as the server reports them, 0 if it doesn't."""
    usage = raw.get("usage") or {}
    return int(usage.get("prompt_tokens") or 0) + int(usage.get("completion_tokens") or 0)


def rejects_max_tokens(raw: Mapping[str, Any]) -> bool:
    """True if the server rejects `max_tokens` and requires `max_completion_tokens`."""
    error = raw.get("error")
    named = [error.get("param"), error.get("code")] if isinstance(error, Mapping) else []
    return named == ["max_tokens", "unsupported_parameter"]


def read_completion(answered: HttpResponse, raw: dict[str, Any], where: str) -> dict[str, Any]:
    """The raw completion of a response.

    Args:
        answered: the HTTP response.
        raw: its JSON object, from `read_object`.
        where: endpoint and model, for the error message.

    Raises:
        RequestFailed: this request failed; `RetryableFailure` if a retry may succeed.
        EndpointUnusable: no other request to this endpoint can succeed either.
    """
    status, headers, _ = answered
    if status == 200 and ("choices" in raw or "error" not in raw):
        return raw
    error = raw.get("error")
    error = error if isinstance(error, Mapping) else {"message": str(error or raw)}
    message, codes = str(error.get("message")), {str(error.get("code")), str(error.get("type"))}
    if status == 200:
        raise RetryableFailure("bad_reply", message, wait_s=None)
    said = f"{where}: status {status}, {message}"
    if status in (401, 403):
        raise EndpointUnusable(
            f"{said}; set OPENAI_API_KEY (Azure: AZURE_OPENAI_API_KEY) to a key that may use this model"
        )
    if status == 404:
        raise EndpointUnusable(f"{said}; check the address and the model's name")
    if status == 402 or codes & _NO_MONEY:
        raise EndpointUnusable(f"{said}; the account's quota is used up, a retry can't succeed")
    if status in (408, 409, 429) or status >= 500:
        raise RetryableFailure(f"http_{status}", message, _retry_after_s(headers), endpoint_wide=status in (429, 503))
    raise RequestFailed("content_filter" if codes & _FILTERED else f"http_{status}", message)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Delay that the server requests, None if it doesn't; capped at ten minutes."""
    wait_s = read_retry_after(headers.get("retry-after"), headers.get("retry-after-ms"))
    return None if wait_s is None else min(600.0, wait_s)
