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
    **dict.fromkeys(
        ("content_filter", "safety", "sensitive", "recitation", "prohibited_content", "blocklist", "spii"),
        "content_filter",
    ),
}
_GATEWAY_GAVE_UP = (408, 504, 524)  # the model behind it may have answered
# What a refusal of one input speaks of, and what one of every request does.
_OF_INPUTS = re.compile(
    r"\b(?:images?|pictures?|pixels?|resolution|media|mime|base64|prompts?|inputs?|content|messages?|context|tokens?|"
    r"payload|too (?:large|long|many|big))\b",
    re.I,
)
_OF_EVERY_REQUEST = re.compile(
    r"extra (?:inputs?|fields?)|(?:unknown|unrecognized|unexpected|unsupported|missing|required) "
    r"(?:request )?(?:\w+ )?(?:parameters?|arguments?|fields?|keys?)|extra_forbidden|api[ _-]?(?:key|version)",
    re.I,
)
_ISO_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
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


class InputRefused(RequestFailed):
    """The endpoint refuses this input by name (its images, length or content); it says nothing about other inputs."""


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
        is_truncated: it ends at the token limit.
        thoughts: the reasoning that the server reports apart from the content.
    """

    text: str
    model: str
    date: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    from_ledger: bool
    is_truncated: bool = False
    thoughts: str = ""


def read_reply(raw: Mapping[str, Any], from_ledger: bool, keep_truncated: bool = False) -> Reply:
    """The reply in a raw completion; fields of unexpected types are read as if they were absent.

    Args:
        raw: the completion.
        from_ledger: it was not paid now.
        keep_truncated: return a reply that ends at the token limit, even without content, instead of failing.

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
    text, thoughts = _read_content(message)
    ended = str(choice.get("finish_reason") or "stop").lower()  # null or absent where the server names none
    reason = None if ended == "stop" else _ENDED_EARLY.get(ended, "unfinished")
    is_truncated = reason == "length"
    if reason is not None and not (is_truncated and keep_truncated):
        raise RequestFailed(reason, f"finish_reason {ended!r}, the reply ends early: {text[-80:]!r}")
    if not text.strip() and not is_truncated:
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
        is_truncated=is_truncated,
        thoughts=thoughts,
    )


def _read_content(message: Mapping[str, Any]) -> tuple[str, str]:
    """Text and thoughts of a message, whose content is a text or a list of parts."""
    content, thoughts = message.get("content"), []
    content = [content] if isinstance(content, Mapping) else content
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


def _read_date(created: object) -> str | None:
    """ISO date (UTC) of a time in seconds or milliseconds since 1970, or of an ISO date; None if it is none."""
    text = str(created or "")
    try:
        seconds = float(text)
        while seconds > 1e11:  # milliseconds, or less
            seconds /= 1000
        return datetime.fromtimestamp(seconds, tz=UTC).date().isoformat() if seconds > 0 else None
    except (ValueError, OverflowError, OSError):
        return text[:10] if _ISO_DATE.match(text) else None


def read_usage(raw: Mapping[str, Any]) -> dict[str, int]:
    """`prompt_tokens` and `completion_tokens` as the server reports them; what is no number of tokens is left out."""
    usage = raw.get("usage")
    if not isinstance(usage, Mapping):
        return {}
    found = {name: read_count(usage.get(name)) for name in ("prompt_tokens", "completion_tokens")}
    return {name: count for name, count in found.items() if count is not None}


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
        RequestFailed: this request failed; `RetryableFailure` if a retry may succeed, `InputRefused` if the server
            names what it refuses of it.
        EndpointUnusable: no other request to this endpoint can succeed either.
    """
    status, headers, _ = answered
    if status == 200 and (raw.get("choices") or not raw.get("error")):
        return raw
    error = raw.get("error")
    error = error if isinstance(error, Mapping) else {"message": str(error or raw)}
    message, codes = str(error.get("message")), {str(error.get("code")), str(error.get("type"))}
    if codes & _FILTERED or (status in (200, 400, 403, 422) and _is_moderated(error, message)):
        raise InputRefused("content_filter", message)
    if status == 200:
        raise RetryableFailure("bad_reply", message, wait_s=None, maybe_billed=True)
    said = f"{where}: status {status}, {message}"
    if 300 <= status < 400:
        target = urlsplit(str(headers.get("location") or ""))
        raise EndpointUnusable(
            f"{where}: redirected ({status}) to {target.scheme}://{target.netloc.rpartition('@')[2]}{target.path}; "
            "requests are not sent on to another address: name that address itself if you trust it"
        )
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
    if status == 413 or (status in (400, 422) and _names_the_input(error, message)):
        raise InputRefused(f"http_{status}", message)
    raise RequestFailed(f"http_{status}", f"{said}; if no request passes, {key}" if status == 403 else message)


def _is_moderated(error: Mapping[str, Any], message: str) -> bool:
    """True if a gateway says that it refuses this input, as OpenRouter does with status 403."""
    metadata = error.get("metadata")
    flagged = isinstance(metadata, Mapping) and bool({"flagged_input", "reasons"} & metadata.keys())
    return flagged or _SAID_OF_FILTERS.search(message) is not None


def _names_the_input(error: Mapping[str, Any], message: str) -> bool:
    """True if a refusal speaks of the messages, and not of a field that every request has."""
    code, param = str(error.get("code") or ""), str(error.get("param") or "")
    if param:
        return re.match(r"(?:messages|inputs?|images?|content|prompt)\b", param) is not None
    said = f"{message} {code.replace('_', ' ')}"
    return _OF_INPUTS.search(said) is not None and _OF_EVERY_REQUEST.search(said) is None


def _retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Delay that the server requests, None if it doesn't; capped at ten minutes."""
    wait_s = read_retry_after(headers.get("retry-after"), headers.get("retry-after-ms"))
    return None if wait_s is None else min(600.0, wait_s)
