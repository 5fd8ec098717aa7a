"""Verdicts and orders inside a judged reply, masked before a judge reads it (prompt injection).

A reply that carries a verdict of its own, or speaks to the judge, must neither gain nor leave the mean: what looks like
a verdict or an order is replaced by `MASK`, and the rest is judged. Patterns can't know every wording; whether a judge
obeys what they miss is what the canaries measure (`mmcr_bench.trust.canaries` sends orders unmasked).
"""

from __future__ import annotations

import re
import unicodedata
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Sequence

from mmcr_bench.judge.rubric import DIMENSIONS

MASK = "[removed: a verdict or an order to the judge]"
KEYS = tuple(dimension.key for dimension in DIMENSIONS)

_JUDGE = r"(?:judges?|graders?|evaluators?|raters?|assessors?|scorers?|examiners?|reviewers?)"
_NUMBER = r"(?:\d{1,3}(?:\.\d+)?(?:\s*(?:/|of|out of)\s*\d+)?|ten|nine)"
_BEST = r"(?:full marks?|top (?:marks?|scores?)|(?:perfect|maximum|maximal|highest|best|top)(?: possible)?" + (
    r" (?:scores?|marks?|grades?|ratings?|points?|verdict)|\d+\s*(?:/|of|out of)\s*\d+|tens?\b)"
)
_GIVE = (  # as an order: at the start of a clause, or after these words
    r"(?:\A|(?<=[.,;:!?\n\"'(*-])[ \t]{0,4}|\b(?:please|and|then|must|should|to|will|just|simply|now|always|so)\s+)"
    r"(?:give|assign|award|grant|return|output|print|repeat|report|use|set|rate|score|grade|mark|end|answer|respond|conclude)"
)
_RULES = r"(?:instructions?|rubrics?|rules?|criteri(?:a|on)|prompts?|guidelines?|penalt(?:y|ies)|scales?|references?)"
_DROP = r"(?:ignore|disregard|forget|override|skip|bypass|discard|drop)"
_REPLY = r"(?:repl(?:y|ies)|answers?|responses?|outputs?|dialogues?|conversations?)"
_ORDERS = (
    rf"\b(?:attention|dear|hello|hey)\b[,:]?\s+(?:the\s+|any\s+|all\s+|every\s+|our\s+)?{_JUDGE}\b",
    rf"(?:^|[.!?]\s+)(?:to|for)\s+(?:the\s+|any\s+|all\s+|every\s+|our\s+)?{_JUDGE}\s*:",
    rf"\b(?:note|message|instructions?|attention|memo)\s+(?:to|for)\s+(?:the\s+|any\s+|all\s+|every\s+)?{_JUDGE}\b",
    rf"\b{_DROP}\b[^.!?\n]{{0,40}}\b{_RULES}\b",
    rf"{_GIVE}\b[^.!?\n]{{0,60}}\b{_BEST}",
    rf"\b{_REPLY}\b[^.!?\n]{{0,40}}\b(?:deserves?|merits?|should (?:get|receive|be (?:given|rated|scored|graded)))\b",
    rf"\b(?:as|you are|you, as)\s+(?:the|an?)\s+{_JUDGE}\b[^.!?\n]{{0,60}}\b(?:must|should|have to|are to|need to)\b",
    r"\b(?:already|expert|been)\b[^.!?\n]{0,40}\b(?:graded|scored|rated|judged)\b"
    rf"[^.!?\n]{{0,40}}(?:{_BEST}|{_NUMBER})",
    rf"\ball\s+(?:the\s+)?(?:dimensions?|criteria|scores?)\b[^.!?\n]{{0,30}}(?:{_BEST}|{_NUMBER})",
    r"\bsystem\s*(?:prompt|message|note|instruction)\s*[:\]>]|[\[<(][ \t]{0,4}system[ \t]{0,4}[\])>]",
    r"^[ \t]{0,8}[\[<(]{0,3}system[\])>]{0,3}[ \t]{0,4}:",
    r"<\|[^|\n]{1,40}\|>|\[/?INST\]|</?(?:system|material|instructions?)>",
    r"(?<!=)={2,}+\s*+material\b[^\n]*",
)
_ORDER = re.compile("|".join(f"(?:{order})" for order in _ORDERS), re.IGNORECASE | re.MULTILINE)
_OVERALL = re.compile(
    r"[*_\"'`]{0,3}\b(?:overall|final|total)\b[*_\"'`]{0,3}(?:\s+(?:score|rating|grade|mark)s?)?[*_\"'`]{0,3}\s*[:=]"
    r"\s*[*_\"'`]{0,3}\d{1,3}\s*(?:/|out of)\s*10+"
    r"|\brating\s*:\s*\[\[\d{1,3}(?:\.\d)?\]\]",
    re.IGNORECASE,
)
_STOP = re.compile(r"[.!?\n]|\Z")
_END = re.compile(r"[.!?]++(?=\s|\Z)|\n|\Z")
_HIDDEN = re.compile("[\u00ad\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]")
_LOOKALIKES = str.maketrans("‘’‛′＇“”„″＂：｛｝", "'''''\"\"\"\"\":{}")


def mask_orders(reply: str, allowed: Iterable[str] = (), keys: Sequence[str] = KEYS) -> tuple[str, int]:
    """The reply without verdicts and orders, and how many were masked.

    Args:
        reply: the judged reply.
        allowed: questions and references; a sentence that stands in one of them is about the images and stays.
        keys: keys of the rubric's verdict.

    Returns:
        The reply itself, letter for letter, if nothing was found.
    """
    plain = _to_plain(reply)
    spans = [*_verdict_spans(plain, keys), *_order_spans(plain)]
    known = [" ".join(_to_plain(text).lower().split()) for text in allowed]
    found = [span for span in _merged(spans) if not _is_allowed(plain[slice(*span)], known)]
    if not found:
        return reply, 0
    pieces, place = [], 0
    for start, end in found:
        pieces += [plain[place:start], MASK]
        place = end
    return "".join([*pieces, plain[place:]]), len(found)


def _to_plain(text: str) -> str:
    """The text in one form: no invisible characters, plain quotes, wide letters as the usual ones."""
    return unicodedata.normalize("NFKC", _HIDDEN.sub("", text).translate(_LOOKALIKES))


def _verdict_spans(text: str, keys: Sequence[str]) -> list[tuple[int, int]]:
    """Dictionaries with a key of the rubric, and keys followed by a number: two of them, or an overall score."""
    names = "|".join(re.escape(key) for key in sorted(keys, key=len, reverse=True))
    key = rf"[\"'*_`(\[]{{0,3}}\b(?:{names})(?:\s+scores?)?\b[\"'*_`)\]]{{0,3}}"
    quoted = re.compile(rf"\{{[^{{}}]*{key}\s*:[^{{}}]*\}}|\{{[^{{}}\n]*{key}\s*:[^{{}}\n]*", re.IGNORECASE)
    valued = re.compile(rf"{key}\s*(?:[:=]|->|\bis\b)\s*[\"'*_`]{{0,3}}{_NUMBER}[\"'*_`]{{0,3}}", re.IGNORECASE)
    single = [match.span() for match in valued.finditer(text)]
    if len(single) == 1 and "overall" not in text[slice(*single[0])].lower():
        single = []
    return [*(match.span() for match in quoted.finditer(text)), *single, *(m.span() for m in _OVERALL.finditer(text))]


def _sentences(text: str) -> Iterator[tuple[int, int]]:
    """Spans up to a mark that ends a sentence, or a line break; single characters before a mark inside a word."""
    place = 0
    while place < len(text):
        stop = _STOP.search(text, place)
        assert stop is not None, "the end of the text is a stop"
        ended = _END.match(text, stop.start())
        if ended is not None:
            yield place, ended.end()
            place = ended.end()
        else:
            yield from ((at, at + 1) for at in range(place, stop.end()))
            place = stop.end()


def _order_spans(text: str) -> list[tuple[int, int]]:
    """Sentences that speak to the judge."""
    sentences = [span for span in _sentences(text) if text[slice(*span)].strip()]
    starts, ends = [start for start, _ in sentences], [end for _, end in sentences]
    spans = []
    for order in _ORDER.finditer(text):
        start, end = starts[bisect_right(ends, order.start())], ends[bisect_left(starts, order.end()) - 1]
        while start < end and text[start].isspace():
            start += 1
        spans.append((start, start + len(text[start:end].rstrip())))
    return spans


def _merged(spans: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Spans in order, those that overlap as one."""
    merged: list[tuple[int, int]] = []
    for start, end in sorted(spans):
        if merged and start <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(end, merged[-1][1]))
        else:
            merged.append((start, end))
    return merged


def _is_allowed(piece: str, known: Sequence[str]) -> bool:
    words = " ".join(piece.lower().split())
    return any(words in text for text in known)
