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

from mmcr_bench.judge.order_patterns import NUMBER, ORDER, SPACED, SPACED_WORDS, readings
from mmcr_bench.judge.rubric import DIMENSIONS
from mmcr_bench.judge.self_ratings import ASKS_STARS, ROW_OF_STARS, SELF_RATINGS

MASK = "[removed: a verdict or an order to the judge]"
KEYS = tuple(dimension.key for dimension in DIMENSIONS)

_OVERALL = re.compile(
    r"[*_\"'`]{0,3}\b(?:overall|final|total)\b[*_\"'`]{0,3}(?:\s+(?:score|rating|grade|mark)s?)?[*_\"'`]{0,3}\s*[:=]"
    r"\s*[*_\"'`]{0,3}\d{1,3}\s*(?:/|out of)\s*10+"
    r"|\brating\s*:\s*\[\[\d{1,3}(?:\.\d)?\]\]",
    re.IGNORECASE,
)
_STOP = re.compile(r"[.!?。\n]|\Z")
_END = re.compile(r"[.!?]++(?=\s|\Z)|。++|\n|\Z")
_IS_OVERALL = re.compile(r"[\"'*_`(<\[]{0,3}overall[ _-]score", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+")
_LINE = re.compile(r"[^\n]+")
_RULE = re.compile(r"[\s|:+=-]*")  # between a table's header and its rows
_ROW_OF_NUMBERS = re.compile(
    r"[\s|,;*\"'-]*+(?:\d{1,3}(?:\.\d{1,3})?(?:/\d{1,3})?[\s|,;*\"'-]++)++(?:\d{1,3}(?:\.\d{1,3})?(?:/\d{1,3})?)?\s*"
)
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
    allowed = [_to_plain(text) for text in allowed]
    spans = [*_verdict_spans(plain, keys), *_table_spans(plain, keys)]
    for rating, asked in SELF_RATINGS:
        if not any(asked.search(text) for text in allowed):
            spans += _sentences_of(plain, (found.span() for found in rating.finditer(plain)))
    if not any(ASKS_STARS.search(text) for text in allowed):
        spans += [found.span() for found in ROW_OF_STARS.finditer(plain)]
    for reading in readings(plain):
        spans += _sentences_of(plain, (found.span() for found in ORDER.finditer(reading)))
    spans += [found.span() for found in SPACED.finditer(plain) if SPACED_WORDS.search(found.group().replace(" ", ""))]
    known = [" ".join(text.lower().split()) for text in allowed]
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


def _key_pattern(keys: Sequence[str]) -> str:
    names = sorted({*keys, "overall", "overall score"}, key=len, reverse=True)
    spelled = "|".join(r"[ _-]".join(map(re.escape, name.split())) for name in names)
    return rf"\b(?:{spelled})(?:[ _-](?:scores?|rating))?"


def _verdict_spans(text: str, keys: Sequence[str]) -> list[tuple[int, int]]:
    """Dictionaries with a key of the rubric, and keys followed by a number: two of them, or an overall score.

    In whatever form: `Key: 9`, `<key>9</key>`, `key="9"`, `| Key | 9 |`, `Key,9`, `Key (9)`, `Key - 9`.
    """
    name = _key_pattern(keys)
    key = rf"[\"'*_`(<\[]{{0,3}}{name}\b[\"'*_`)\]]{{0,3}}"
    quoted = re.compile(rf"\{{[^{{}}]*{key}\s*:[^{{}}]*\}}|\{{[^{{}}\n]*{key}\s*:[^{{}}\n]*", re.IGNORECASE)
    between = r"(?:[ \t]*(?:->|–|—|[:=|,>(-]|\bis\b|\bof\b)[ \t]*|\s{1,4})"
    valued = re.compile(
        rf"{key}{between}[\"'*_`\[]{{0,3}}{NUMBER}[\"'*_`)\]]{{0,3}}(?:</[\w -]{{1,20}}>)?", re.IGNORECASE
    )
    single = list(valued.finditer(text))
    if len({_first_word(match.group()) for match in single}) == 1:
        single = [match for match in single if _IS_OVERALL.match(match.group())]
    return [span.span() for found in (quoted.finditer(text), single, _OVERALL.finditer(text)) for span in found]


def _first_word(text: str) -> str:
    found = _WORD.search(text)
    return found.group().lower() if found else ""


def _table_spans(text: str, keys: Sequence[str]) -> list[tuple[int, int]]:
    """A line with two keys or more, and the line of numbers below it."""
    key, spans = re.compile(_key_pattern(keys) + r"\b", re.IGNORECASE), []
    lines = [(line.start(), line.end(), line.group()) for line in _LINE.finditer(text)]
    for place, (start, _, line) in enumerate(lines):
        if len({found.group().lower() for found in key.finditer(line)}) < 2:
            continue
        below = [one for one in lines[place + 1 : place + 4] if not _RULE.fullmatch(one[2])][:1]
        if below and _ROW_OF_NUMBERS.fullmatch(below[0][2]):
            spans.append((start, below[0][1]))
    return spans


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


def _sentences_of(text: str, found: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """The sentences in which these spans lie."""
    sentences = [span for span in _sentences(text) if text[slice(*span)].strip()]
    starts, ends = [start for start, _ in sentences], [end for _, end in sentences]
    spans = []
    for begun, ended in found:
        start, end = starts[bisect_right(ends, begun)], ends[bisect_left(starts, ended) - 1]
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
