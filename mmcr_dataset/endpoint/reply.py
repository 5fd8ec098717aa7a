"""Interpret an endpoint's response: a reply, a failure of this request, or an error that stops the run."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from mmcr_dataset.endpoint.budget import EndpointUnusable, read_count
from mmcr_dataset.endpoint.retry_after import read_retry_after
from mmcr_dataset.endpoint.transport import HttpResponse, RequestFailed

_FILTERED = {"content_filter", "content_policy_violation", "invalid_prompt", "moderation_blocked"}
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
_MODERATED = re.compile(r"moderat|flagged")
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
        is_truncated: it ends at the token limit.
        thoughts: the reasoning that the server reports apart from the content.
    """

    text: str
    model: str
    date: str
    prompt_tokens: int | None
    completion_tokens: int | None
    from_ledger: bool
    is_truncated: bool = False
    thoughts: str = ""


_TRUNCATED = {"length", "max_tokens", "model_length"}
_BLOCKED = {"content_filter", "sensitive", "safety", "recitation", "prohibited_content", "blocklist", "spii"}
_BROKEN = {"error", "abort", "network_error", "insufficient_system_resource"}  # the server gave up; a retry may succeed


def read_reply(raw: Mapping[str, Any], from_ledger: bool, keep_truncated: bool = False) -> Reply:
    """The reply in a raw completion.

    Args:
        raw: the completion.
        from_ledger: it was not paid now.
        keep_truncated: return a reply that ends at the token limit, even without content, instead of failing.

    Raises:
        RequestFailed: no complete answer; the reason is no_choice, refusal, content_filter, length, empty_reply or the
            server's own word for its breakdown.
    """
    choices = raw.get("choices") or []
    if not isinstance(choices, list) or not choices or not isinstance(choices[0], Mapping):
        raise RequestFailed("no_choice", "the server sent a completion without choices")
    choice = choices[0]
    message = choice.get("message")
    message = message if isinstance(message, Mapping) else {}
    if message.get("refusal"):
        raise RequestFailed("refusal", str(message["refusal"]))
    text, thoughts = _read_content(message)
    ended = str(choice.get("finish_reason")).lower()
    is_truncated = ended in _TRUNCATED
    if ended in _BLOCKED or (is_truncated and not keep_truncated):
        reason = "length" if is_truncated else "content_filter"
        raise RequestFailed(reason, f"the reply ends early: {text[-80:]!r}")
    if ended in _BROKEN:
        raise RequestFailed(ended, f"the server broke off: {text[-80:]!r}")
    if not text.strip() and not is_truncated:
        raise RequestFailed("empty_reply", "the server sent no text")
    usage = raw.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    return Reply(
        text=text,
        model=str(raw.get("model") or ""),
        date=_read_date(raw.get("created")),
        prompt_tokens=read_count(usage.get("prompt_tokens")),
        completion_tokens=read_count(usage.get("completion_tokens")),
        from_ledger=from_ledger,
        is_truncated=is_truncated,
        thoughts=thoughts,
    )


def _read_content(message: Mapping[str, Any]) -> tuple[str, str]:
    """Text and thoughts of a message, whose content is a text or a list of parts."""
    content, thoughts = message.get("content"), []
    if isinstance(content, list):
        parts = [part for part in content if isinstance(part, Mapping | str)]
        thoughts = [_part_text(part) for part in parts if _is_thought(part)]
        content = "".join(_part_text(part) for part in parts if not _is_thought(part))
    for name in ("reasoning_content", "reasoning"):
        if isinstance(message.get(name), str) and message[name]:
            thoughts.append(message[name])
            break
    return content if isinstance(content, str) else "", "\n".join(filter(None, thoughts))


def _is_thought(part: Mapping[str, Any] | str) -> bool:
    return isinstance(part, Mapping) and str(part.get("type")) in ("thinking", "reasoning", "reasoning_content")


def _part_text(part: Any) -> str:  # noqa: ANN401  (any JSON value)
    """The text of a part of a message, wherever the server puts it."""
    if isinstance(part, str):
        return part
    if isinstance(part, list):
        return "".join(map(_part_text, part))
    if not isinstance(part, Mapping):
        return ""
    return next((_part_text(part[name]) for name in ("text", "thinking", "reasoning", "summary") if name in part), "")


def _read_date(created: object) -> str:
    """ISO date of a creation time in seconds, milliseconds or ISO; empty if it can't be read."""
    text = str(created or "")
    try:
        seconds = float(text)
    except ValueError:
        return text[:10] if _ISO_DATE.match(text) else ""
    if not 0 <= seconds < 1e17:
        return ""
    while seconds > 1e11:  # milliseconds, or less
        seconds /= 1000
    return datetime.fromtimestamp(seconds, tz=UTC).date().isoformat()


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
    usage = raw.get("usage")
    usage = usage if isinstance(usage, Mapping) else {}
    return (read_count(usage.get("prompt_tokens")) or 0) + (read_count(usage.get("completion_tokens")) or 0)


_REFUSABLE = ("max_tokens", "temperature", "top_p", "seed")  # fields that newer models refuse though the API has them
_NOT_TAKEN = re.compile(
    r"unsupported|not support|deprecated|not permitted|not allowed|unrecognized|unknown|only the default"
)


def refused_field(raw: Mapping[str, Any]) -> str | None:
    """The field that this model never takes: one of _REFUSABLE.

    None if it is another error, such as a value that is too large.
    """
    error = raw.get("error")
    error = error if isinstance(error, Mapping) else {"message": str(error or raw.get("message") or raw.get("detail"))}
    message, code, param = str(error.get("message")).lower(), str(error.get("code")), error.get("param")
    if (param == "max_tokens" and code == "unsupported_parameter") or "max_completion_tokens" in message:
        return "max_tokens"
    says_so = code in ("unsupported_parameter", "unsupported_value") or bool(_NOT_TAKEN.search(message))
    named = [name for name in _REFUSABLE if param == name or (param is None and re.search(rf"\b{name}\b", message))]
    return named[0] if named and says_so else None


def rejects_max_tokens(raw: Mapping[str, Any]) -> bool:
    """True if the server rejects `max_tokens` and requires `max_completion_tokens`."""
    return refused_field(raw) == "max_tokens"


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
    if 300 <= status < 400:
        target = urlsplit(str(headers.get("location") or ""))
        raise EndpointUnusable(
            f"{where}: redirected ({status}) to {target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}; "
            "requests are not sent on to another address: name that address itself if you trust it"
        )
    if status == 403 and (codes & _FILTERED or _MODERATED.search(f"{message} {error.get('metadata')}".lower())):
        raise RequestFailed("content_filter", message)  # one moderated input (OpenRouter)
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
