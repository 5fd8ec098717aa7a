"""Places mentioned in a reply: cells of a grid, bars of a chart, and bare numbers and ordinals that stand for one."""

from __future__ import annotations

import re

from eval_tasks.readers.exact_numbers import NUMBER, ORDINALS, Mention, find_numbers, to_number

_ROWS = {"top": 0, "upper": 0, "bottom": -1, "lower": -1}
_COLUMNS = {"left": 0, "right": -1}
_MIDDLE = ("middle", "centre", "center", "central", "mid")
NTH = rf"(?:{'|'.join(ORDINALS)})"
_LINK = r"[ ,-]+(?:(?:and|in|on|at|of|the|to|hand)[ ,-]+){0,3}"


def _line_pattern(line: str, ends: dict[str, int], suffix: str) -> str:
    """A row or a column: by its word, as the second one, or by its number."""
    words = "|".join((*ends, *_MIDDLE))
    return (
        rf"(?:(?P<{line}_nth{suffix}>{NTH}) {line}|{line} (?P<{line}_number{suffix}>{NUMBER})"
        rf"|(?P<{line}_word{suffix}>{words})(?:most)?(?: {line}| side| edge)?)"
    )


_PLACE = re.compile(
    rf"\b(?:{_line_pattern('row', _ROWS, '1')}{_LINK}{_line_pattern('column', _COLUMNS, '1')}"
    rf"|{_line_pattern('column', _COLUMNS, '2')}{_LINK}{_line_pattern('row', _ROWS, '2')}"
    rf"|(?P<alone>{'|'.join(_MIDDLE)}))\b"
)
_BAR = re.compile(
    rf"\b(?:(?P<from_right>{NTH})(?: bar| one)? from the right|(?P<nth>{NTH})(?: bar| one)"
    rf"|bar (?:number )?#?(?P<number>{NUMBER})|(?P<end>left-?most|right-?most|last|middle)(?: bar| one)"
    r"|(?P<side>leftmost|rightmost))\b"
)
_BARE_NTH = re.compile(rf"\W{{0,5}}(?:the )?({NTH})\W{{0,5}}")
_BARE_LAST = re.compile(r"\W{0,5}(?:the )?last\W{0,5}")


def find_places(text: str, side: int) -> list[Mention]:
    """The cells of a square grid that a text mentions, numbered in reading order.

    Args:
        text: plain text in lower case.
        side: number of rows and columns.
    """
    found = []
    for match in _PLACE.finditer(text.replace("-", " ").replace("_", " ")):
        if match["alone"]:
            row = column = 1 if side == 3 else None
        else:
            row, column = _to_line(match, "row", _ROWS, side), _to_line(match, "column", _COLUMNS, side)
        if row is not None and column is not None and 0 <= row < side and 0 <= column < side:
            found.append(Mention(row * side + column, match.start(), match.end()))
    return found


def _to_line(match: re.Match[str], line: str, ends: dict[str, int], side: int) -> int | None:
    """Number (from 0) of the row or column; None for the middle of two."""
    nth, number, word = (match[f"{line}_{form}1"] or match[f"{line}_{form}2"] for form in ("nth", "number", "word"))
    if nth:
        return ORDINALS[nth] - 1
    if number:
        return to_number(number) - 1
    if word in _MIDDLE:
        return 1 if side == 3 else None
    return ends[word] % side


def find_bars(text: str, num_bars: int, before_one: frozenset[str]) -> list[Mention]:
    """The bars of a chart that a text mentions, numbered from the left.

    Args:
        text: plain text in lower case.
        num_bars: number of bars.
        before_one: as in `find_numbers`.
    """
    found = []
    for match in _BAR.finditer(text):
        end = (match["end"] or match["side"] or "").replace("-", "")
        if match["from_right"]:
            place = num_bars - ORDINALS[match["from_right"]]
        elif match["nth"]:
            place = ORDINALS[match["nth"]] - 1
        elif match["number"]:
            place = to_number(match["number"]) - 1
        elif end == "middle":
            place = num_bars // 2 if num_bars % 2 else -1
        else:
            place = 0 if end == "leftmost" else num_bars - 1
        if 0 <= place < num_bars:
            found.append(Mention(place, match.start(), match.end()))
    if not found and _BARE_LAST.fullmatch(text):
        return [Mention(num_bars - 1, 0, len(text))]
    return found or [bare for bare in find_bare_places(text, before_one) if bare.value < num_bars]


def find_bare_places(text: str, before_one: frozenset[str]) -> list[Mention]:
    """Numbers, or the ordinal that is all of the text, that stand for the image or the bar of that number, from 0."""
    match = _BARE_NTH.fullmatch(text)
    if match is not None:
        return [Mention(ORDINALS[match[1]] - 1, match.start(1), match.end(1))]
    numbers = find_numbers(text, before_one, is_count=False)
    return [number._replace(value=number.value - 1) for number in numbers if number.value > 0]
