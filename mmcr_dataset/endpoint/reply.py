"""Interpret an endpoint's response: a reply, a failure of this request, or an error that stops the run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, TypeGuard

from mmcr_dataset.endpoint.budget import EndpointUnusable
from mmcr_dataset.endpoint.retry_after import read_retry_after
from mmcr_dataset.endpoint.transport import HttpResponse, RequestFailed

_FILTERED = {
    *("content_filter", "content_policy_violation", "invalid_prompt", "moderation_blocked", "data_inspection_failed"),
    *("content_policy", "ResponsibleAIPolicyViolation", "safety"),
}
_SAID_OF_FILTERS = re.compile(
    r"\bflagged\b|moderation|content[ _-]?(?:policy|filter|management)|safety (?:system|polic)", re.I
)
# Names of other servers for two ends; what is in neither list and is not `stop` is `unfinished`.
_ENDED_EARLY = {
    **dict.fromkeys(("length", "max_tokens", "max_output_tokens", "model_length"), "length"),
    **dict.fromkeys(("content_filter", "safety", "sensitive", "prohibited_content", "blocklist"), "content_filter"),
}
_GATEWAY_GAVE_UP = (408, 504, 524)  # the model behind it may have answered
_TOKENS_MAX = 2**31 - 1  # published as int32
_NO_MONEY = {"insufficient_quota", "billing_hard_limit_reached", "billing_not_active"}


class RetryableFailure(RequestFailed):
    """A failure that a retry may resolve.

    Args:
        reason: a short name, for counting.
        detail: the message.
        wait_s: delay that the server requests, None if it doesn't.
        endpoint_wide: True if the delay holds for all requests to the endpoint.
        maybe_billed: as in RequestFailed.
    """

    def __init__(
        self, reason: str, detail: str, wait_s: float | None, endpoint_wide: bool = False, maybe_billed: bool = False
    ) -> None:
        super().__init__(reason, detail, maybe_billed)
        self.wait_s = wait_s
        self.endpoint_wide = endpoint_wide


@dataclass(frozen=True, slots=True)
class Reply:
    """One reply of a model.

    Attributes:
        text: content of the message.
        model: model and snapshot as the server names them.
        date: ISO date of its creation, None if not reported.
        prompt_tokens: tokens of the request, None if not reported.
        completion_tokens: tokens of the reply, None if not reported.
        from_ledger: True if it was read from the ledger, so nothing was paid now.
    """

    text: str
    model: str
    date: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    from_ledger: bool


def read_reply(raw: Mapping[str, Any], from_ledger: bool) -> Reply:
    """The reply in a raw completion; fields of unexpected types are read as if they were absent.

    Raises:
        RequestFailed: no complete answer; the reason is no_choice, refusal, content_filter, length, unfinished or
            empty_reply.
    """
    choices = raw.get("choices")
    choice = choices[0] if isinstance(choices, list) and choices else choices
    if not isinstance(choice, Mapping) or not choice:
        raise RequestFailed("no_choice", "the server sent a completion without choices")
    message = choice.get("message")
    message = message if isinstance(message, Mapping) else {"content": message or choice.get("text")}
    if message.get("refusal"):
        raise RequestFailed("refusal", str(message["refusal"]))
    text = _read_content(message.get("content"))
    ended = choice.get("finish_reason")
    if str(ended or "stop").lower() != "stop":  # null or absent where the server names none
        reason = _ENDED_EARLY.get(str(ended).lower(), "unfinished")
        raise RequestFailed(reason, f"finish_reason {ended!r}, the reply ends early: {text[-80:]!r}")
    if not text.strip():
        raise RequestFailed("empty_reply", "the server sent no text")
    usage = read_usage(raw)
    model = raw.get("model")
    return Reply(
        text=text,
        model=model if isinstance(model, str) else "",
        date=_read_date(raw.get("created")),
        prompt_tokens=usage.get("prompt_tokens"),
        completion_tokens=usage.get("completion_tokens"),
        from_ledger=from_ledger,
    )


def _read_content(content: object) -> str:
    """The text of a message's content: a string, or parts of which those of the type text count (not thinking)."""
    if isinstance(content, str):
        return content
    if isinstance(content, Mapping):
        content = [content]
    if not isinstance(content, list):
        return ""
    texts = [part.get("text") if _is_text(part) else part for part in content]
    return "".join(text for text in texts if isinstance(text, str))


def _is_text(part: object) -> TypeGuard[Mapping[str, object]]:
    return isinstance(part, Mapping) and part.get("type") in (None, "text", "output_text")


def _read_date(created: object) -> str | None:
    """ISO date (UTC) of a time in seconds since 1970, None if it is none."""
    try:
        seconds = float(created) if isinstance(created, (int, float, str)) else 0.0
        return datetime.fromtimestamp(seconds, tz=UTC).date().isoformat() if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return None


def read_usage(raw: Mapping[str, Any]) -> dict[str, int]:
    """`prompt_tokens` and `completion_tokens` as the server reports them; what is no number of tokens is left out."""
    usage = raw.get("usage")
    if not isinstance(usage, Mapping):
        return {}
    found = {name: usage.get(name) for name in ("prompt_tokens", "completion_tokens")}
    return {name: int(value) for name, value in found.items() if _is_count(value)}


def _is_count(value: object) -> TypeGuard[int | float]:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value <= _TOKENS_MAX


def read_object(answered: HttpResponse) -> dict[str, Any]:
    """The JSON object of a response; an object with an `error` where the body is none."""
    try:
        raw = json.loads(answered.body.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        return {"error": {"message": f"not JSON ({error}): {answered.body[:80]!r}"}}
    if not isinstance(raw, dict):
        return {"error": {"message": f"expected a JSON object, got {type(raw).__name__}"}}
    return raw


def count_tokens(raw: Mapping[str, Any]) -> int:
    """Prompt and completion tokens as the server reports them, 0 if it doesn't."""
    return sum(read_usage(raw).values())


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
    if status == 200 and (raw.get("choices") or not raw.get("error")):
        return raw
    error = raw.get("error")
    error = error if isinstance(error, Mapping) else {"message": str(error or raw)}
    message, codes = str(error.get("message")), {str(error.get("code")), str(error.get("type"))}
    if codes & _FILTERED or (status in (200, 400, 403, 422) and _is_moderated(error, message)):
        raise RequestFailed("content_filter", message)
    if status == 200:
        raise RetryableFailure("bad_reply", message, wait_s=None, maybe_billed=True)
    said = f"{where}: status {status}, {message}"
    key = "set OPENAI_API_KEY (Azure: AZURE_OPENAI_API_KEY) to a key that may use this model"
    if status == 401:
        raise EndpointUnusable(f"{said}; {key}")
    if status == 404:
        raise EndpointUnusable(f"{said}; check the address and the model's name")
    if status == 402 or codes & _NO_MONEY:
        raise EndpointUnusable(f"{said}; the account's quota is used up, a retry can't succeed")
    if status in (408, 409, 429) or status >= 500:
        raise RetryableFailure(
            f"http_{status}",
            message,
            _retry_after_s(headers),
            endpoint_wide=status in (429, 503),
            maybe_billed=status in _GATEWAY_GAVE_UP,
        )
    raise RequestFailed(f"http_{status}", f"{said}; if no request passes, {key}" if status == 403 else message)


def _is_moderated(error: Mapping[str, Any], message: str) -> bool:
    """True if a gateway says that it refuses this input, as OpenRouter does with status 403."""
    metadata = error.get("metadata")
    flagged = isinstance(metadata, Mapping) and bool({"flagged_input", "reasons"} & metadata.keys())
    return flagged or _SAID_OF_FILTERS.search(message) is not None


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Delay that the server requests, None if it doesn't; capped at ten minutes."""
    wait_s = read_retry_after(headers.get("retry-after"), headers.get("retry-after-ms"))
    return None if wait_s is None else min(600.0, wait_s)
