"""What an endpoint's answer means: a reply, a failure of this one request, or an end for all of them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from mmcr_dataset.endpoint.budget import EndpointUnusable
from mmcr_dataset.endpoint.retry_after import read_retry_after
from mmcr_dataset.endpoint.transport import Answered, RequestFailed

_FILTERED = {"content_filter", "content_policy_violation", "invalid_prompt", "moderation_blocked"}
_NO_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}


class Again(RequestFailed):
    """An answer that may be better next time.

    Attributes:
        wait_s: how long the server asks us to wait, None if it doesn't say.
        for_all: True if that holds for every request, not for this one alone.
    """

    def __init__(self, reason: str, detail: str, wait_s: float | None, for_all: bool = False) -> None:
        super().__init__(reason, detail)
        self.wait_s = wait_s
        self.for_all = for_all


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


def read_reply(raw: Mapping[str, Any], from_ledger: bool) -> Reply:
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


def read_object(answered: Answered) -> dict[str, Any]:
    """The JSON object of an answer; one that says what is wrong where there is none."""
    try:
        raw = json.loads(answered.body.decode("utf-8"))
    except ValueError as error:
        return {"error": {"message": f"not JSON ({error}): {answered.body[:80]!r}"}}
    if not isinstance(raw, dict):
        return {"error": {"message": f"expected a JSON object, got {type(raw).__name__}"}}
    return raw


def count_tokens(raw: Mapping[str, Any]) -> int:
    """Tokens in and out by the server's own count, 0 if it doesn't say."""
    usage = raw.get("usage") or {}
    return int(usage.get("prompt_tokens") or 0) + int(usage.get("completion_tokens") or 0)


def wants_completion_tokens(raw: Mapping[str, Any]) -> bool:
    """True if a server refuses a request because it knows `max_tokens` only by its newer name."""
    error = raw.get("error")
    named = [error.get("param"), error.get("code")] if isinstance(error, Mapping) else []
    return named == ["max_tokens", "unsupported_parameter"]


def read_completion(answered: Answered, raw: dict[str, Any], where: str) -> dict[str, Any]:
    """The raw completion of an answer.

    Args:
        answered: what came back.
        raw: its object, by `read_object`.
        where: endpoint and model, for the message.

    Raises:
        RequestFailed: this request failed; `Again` if it may be better next time.
        EndpointUnusable: no other request would fare better.
    """
    status, headers, _ = answered
    if status == 200 and ("choices" in raw or "error" not in raw):
        return raw
    error = raw.get("error")
    error = error if isinstance(error, Mapping) else {"message": str(error or raw)}
    message, codes = str(error.get("message")), {str(error.get("code")), str(error.get("type"))}
    if status == 200:
        raise Again("bad_reply", message, wait_s=None)
    said = f"{where}: status {status}, {message}"
    if status in (401, 403):
        raise EndpointUnusable(
            f"{said}; set OPENAI_API_KEY (Azure: AZURE_OPENAI_API_KEY) to a key that may use this model"
        )
    if status == 404:
        raise EndpointUnusable(f"{said}; check the address and the model's name")
    if status == 402 or codes & _NO_MONEY:
        raise EndpointUnusable(f"{said}; the account has no money left, waiting doesn't help")
    if status in (408, 409, 429) or status >= 500:
        raise Again(f"http_{status}", message, _retry_after_s(headers), for_all=status in (429, 503))
    raise RequestFailed("content_filter" if codes & _FILTERED else f"http_{status}", message)


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds the server asks us to wait, None if it doesn't say; at most ten minutes are honoured."""
    wait_s = read_retry_after(headers.get("retry-after"), headers.get("retry-after-ms"))
    return None if wait_s is None else min(600.0, wait_s)
