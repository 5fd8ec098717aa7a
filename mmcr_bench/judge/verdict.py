"""Parse a judge's reply: six scores, or an error code. Nothing of the reply is executed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from mmcr_bench.judge.rubric import DIMENSIONS, SCORE_MAX, SCORE_MIN

UNREAD_REASONS = (
    "no_verdict",
    "unreadable_verdict",
    "repeated_key",
    "missing_key",
    "unknown_key",
    "not_an_integer",
    "out_of_range",
)
_NAME_BY_KEY = {dimension.key.lower(): dimension.name for dimension in DIMENSIONS} | {"overall": "overall"}
_FLAT = re.compile(r"\{[^{}]*\}")
_STRING = r"'(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\""
_PAIR = re.compile(rf"\s*({_STRING})\s*:\s*({_STRING}|[^\s,'\"]+)\s*(,|\Z)", re.DOTALL)
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_QUOTED_KEY = re.compile("['\"](?:" + "|".join(re.escape(key) for key in _NAME_BY_KEY) + ")['\"]\\s*:", re.IGNORECASE)
_FENCE = re.compile(r"```[a-z]*+\s*+")

Pairs = list[tuple[str, Any]]


class Unread(ValueError):
    """A reply has no valid verdict; `.reason` is one of UNREAD_REASONS."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


@dataclass(frozen=True, slots=True)
class Verdict:
    """A judge's verdict.

    Attributes:
        scores: by dimension name, 1..10.
        explanation: the judge's.
        is_in_reply: the same scores stand in a judged reply: the judge repeats it, or agrees by chance.
    """

    scores: dict[str, int]
    explanation: str
    is_in_reply: bool = False


def read_verdict(text: str, judged: Iterable[str] = ()) -> Verdict:
    """Parse the verdict at the end of a judge's reply: a JSON object, or text whose last dictionary holds the scores.

    Example: `"Good. {'Precision': 7, ..., 'Overall Score': 8}"` -> scores with `precision` 7 and `overall` 8

    Args:
        text: the judge's reply.
        judged: the judged replies. A verdict that stands in one of them still counts: the judge reads them masked
            (masking.py), and a reply that carries the verdict it deserves must not leave the mean.

    Raises:
        Unread: no_verdict, unreadable_verdict, repeated_key, missing_key, unknown_key, not_an_integer, out_of_range.
    """
    pairs, before = _read_pairs(text)
    scores = _read_scores(pairs)
    given = [value for key, value in pairs if key.lower() == "explanation"]
    is_in_reply = any(scores == shown for shown in _shown_scores(judged))
    return Verdict(scores, str(given[0]) if given else before.strip(), is_in_reply)


def _read_pairs(text: str) -> tuple[Pairs, str]:
    """Keys and values of the verdict, and the text before it."""
    whole = _read_json(text)
    if whole is not None:
        return whole, ""
    found = [match for match in _FLAT.finditer(text) if _QUOTED_KEY.search(match.group())]
    if not found:
        if _QUOTED_KEY.search(text):
            raise Unread("unreadable_verdict", f"keys of a verdict but no complete dictionary: {text[-120:]!r}")
        raise Unread("no_verdict", f"the reply ends in {text[-120:]!r}, expected a dictionary of six scores")
    last = found[-1]
    rest = text[last.end() :]
    if _QUOTED_KEY.search(rest) or "{" in rest or "}" in rest:
        raise Unread("unreadable_verdict", f"text after the last complete dictionary: {rest[:120]!r}")
    pairs = read_flat(last.group())
    if pairs is None:
        raise Unread("unreadable_verdict", f"expected quoted keys and integers, got {last.group()[:200]!r}")
    return pairs, text[: last.start()]


def _read_json(text: str) -> Pairs | None:
    """Pairs of a reply that is nothing but a JSON object, else None."""
    try:
        value = json.loads(_without_fence(text.strip()), object_pairs_hook=_Object)
    except (ValueError, RecursionError):
        return None
    return list(value) if isinstance(value, _Object) else None


def _without_fence(text: str) -> str:
    """The text inside of a code fence that holds all of it, else the text."""
    first, _, rest = text.partition("\n")
    inside, _, last = rest.rpartition("\n")
    return inside if _FENCE.fullmatch(first) and last.strip() == "```" else text


class _Object(list[tuple[str, Any]]):
    """A JSON object as pairs, so that duplicate keys are detected."""


def read_flat(dictionary: str) -> Pairs | None:
    """Pairs of a flat dictionary in Python or JSON syntax; None if it can't be parsed."""
    body = dictionary[1:-1]
    pairs: Pairs = []
    place = 0
    end = len(body.rstrip())
    while place < end:
        match = _PAIR.match(body, place)
        if match is None:
            return None
        value = match.group(2)
        pairs.append((match.group(1)[1:-1], int(value) if _INTEGER.fullmatch(value) else value))
        place = match.end()
    return pairs


def _read_scores(pairs: Pairs) -> dict[str, int]:
    scores: dict[str, int] = {}
    for key, value in pairs:
        name = _NAME_BY_KEY.get(key.strip().lower())
        if name is None:
            if key.lower() == "explanation":
                continue
            raise Unread("unknown_key", f"{key!r}, expected {[dimension.key for dimension in DIMENSIONS]}")
        if name in scores:
            raise Unread("repeated_key", f"{key!r} occurs twice")
        if type(value) is not int:  # True is an int to isinstance
            raise Unread("not_an_integer", f"{key!r} is {value!r}")
        if not SCORE_MIN <= value <= SCORE_MAX:
            raise Unread("out_of_range", f"{key!r} is {value}, expected {SCORE_MIN} to {SCORE_MAX}")
        scores[name] = value
    missing = [dimension.key for dimension in DIMENSIONS if dimension.name not in scores]
    if missing:
        raise Unread("missing_key", f"no score for {', '.join(missing)}")
    return {dimension.name: scores[dimension.name] for dimension in DIMENSIONS}


def _shown_scores(texts: Iterable[str]) -> Sequence[dict[str, int]]:
    """Every verdict that occurs in these texts."""
    shown = []
    for text in texts:
        for match in _FLAT.finditer(text):
            try:
                shown.append(_read_scores(read_flat(match.group()) or []))
            except Unread:
                continue
    return shown
