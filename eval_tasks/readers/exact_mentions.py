"""Values of the controlled world mentioned in a reply, by type of the answer: words and their synonyms, places, images.

The types: those of a domain's attributes (colour, shape, class, digit, height), number, image and cell.
"""

from __future__ import annotations

import functools
import re

from eval_tasks.readers.exact_numbers import NUMBER, NUMBER_WORDS, ORDINALS, Mention, find_numbers
from mmcr_bench.exact.scene import DOMAINS, Domain

NO_VALUE = -1  # numbers that are none of the attribute's values are at most this
SYNONYMS: dict[str, tuple[str, ...]] = {
    "red": ("crimson", "scarlet"),
    "yellow": ("gold", "golden"),
    "purple": ("violet",),
    "circle": ("circles", "circular", "disc", "discs", "disk", "disks"),
    "square": ("squares",),
    "triangle": ("triangles", "triangular"),
    "cross": ("crosses", "plus", "plus sign", "plus signs"),
    "cat": ("cats", "kitten"),
    "coin": ("coins",),
    "cup": ("cups", "coffee cup", "mug", "cup of coffee", "coffee"),
    "motorcycle": ("motorcycles", "motorbike", "motorbikes", "bike"),
    "person": ("persons", "people", "woman", "man", "human", "astronaut"),
    "rocket": ("rockets",),
}
_COMPOUND = re.compile(r"\b(dark|light|bright|deep|pale)-|-(?=colou?red\b|shaped\b|bordered\b|framed\b)")
_ROWS = {"top": 0, "upper": 0, "bottom": -1, "lower": -1}
_COLUMNS = {"left": 0, "right": -1}
_MIDDLE = ("middle", "centre", "center", "central", "mid")
_LINK = r"(?:most)?(?: row| column| side| edge)?[ ,-]+(?:(?:and|in|on|at|of|the|to|hand|row|column|side)[ ,-]+){0,3}"
_ROW_WORDS, _COLUMN_WORDS = "|".join((*_ROWS, *_MIDDLE)), "|".join((*_COLUMNS, *_MIDDLE))
_NTH = rf"(?:{'|'.join(ORDINALS)})"
_PLACE = re.compile(
    rf"\b(?:(?P<row>{_ROW_WORDS}){_LINK}(?P<column>{_COLUMN_WORDS})|(?P<column2>{_COLUMN_WORDS}){_LINK}"
    rf"(?P<row2>{_ROW_WORDS})|row (?P<y>\d|one|two|three),? (?:and )?column (?P<x>\d|one|two|three)"
    rf"|(?P<ny>{_NTH}) row,? (?:(?:and|in|the) ){{0,2}}(?P<nx>{_NTH}) column|(?P<alone>{'|'.join(_MIDDLE)}))(?:most)?\b"
)
_BAR = re.compile(
    rf"\b(?:(?P<nth>{_NTH})(?: bar| one)|bar (?:number )?#?(?P<n>{NUMBER})|(?P<end>left-?most|right-?most|last|middle)"
    r"(?: bar| one)|(?P<side>leftmost|rightmost))\b"
)
_IMAGES = re.compile(rf"\b(?:images|pictures) ({NUMBER}(?:(?:,? (?:and|or|&) |, ?){NUMBER})+)\b")
_IMAGE = re.compile(rf"\b(?:image|picture|img|pic|figure)[ _#.]{{0,3}}(?:number )?({NUMBER})\b")
_NTH_IMAGE = re.compile(rf"\b({_NTH})(?: image| picture| one)\b")
_BARE_NTH = re.compile(rf"\W{{0,5}}(?:the )?({_NTH})\W{{0,5}}")


def find_mentions(text: str, type_: str, domain_name: str, side: int) -> list[Mention]:
    """The values of a type that a text mentions, in order.

    Args:
        text: plain text in lower case.
        type_: type of the answer; not yesno.
        domain_name: shapes, sheets, numerals or charts.
        side: side of the grid; for charts the number of bars.
    """
    domain = DOMAINS[domain_name]
    if type_ == "number":
        return find_numbers(text, _value_words(domain), is_count=True)
    if type_ == "image":
        return _find_images(text, domain)
    if type_ == "cell":
        return _find_bars(text, side, domain) if domain_name == "charts" else _find_places(text, side)
    values = next(attribute.values for attribute in domain.attributes if attribute.type == type_)
    if values[0].isdigit():
        numbers = find_numbers(text, _value_words(domain), is_count=False)
        known = {int(value): index for index, value in enumerate(values)}
        return [one._replace(value=known.get(one.value, NO_VALUE - one.value)) for one in numbers]
    text = _COMPOUND.sub(lambda match: match[0].replace("-", " "), text)
    names = _names(values)
    return [Mention(names[match[1]], match.start(), match.end()) for match in _pattern(values).finditer(text)]


@functools.cache
def _names(values: tuple[str, ...]) -> dict[str, int]:
    """Each word of the values and its number."""
    return {word: number for number, value in enumerate(values) for word in (value, *SYNONYMS.get(value, ()))}


@functools.cache
def _pattern(values: tuple[str, ...]) -> re.Pattern[str]:
    words = sorted(map(re.escape, _names(values)), key=len, reverse=True)
    return re.compile(rf"(?<![\w-])({'|'.join(words)})(?![\w]|-\w)")


@functools.cache
def _value_words(domain: Domain) -> frozenset[str]:
    """The words that may stand before `one`: values, and the last word of each thing."""
    values = {value for attribute in domain.attributes for value in attribute.values if value.isalpha()}
    return frozenset(values | {value for word in values for value in SYNONYMS.get(word, ())})


def _to_number(word: str) -> int:
    return int(word) if word.isdigit() else NUMBER_WORDS[word]


def _find_images(text: str, domain: Domain) -> list[Mention]:
    found = [
        Mention(_to_number(word[0]) - 1, match.start(), match.end())
        for match in _IMAGES.finditer(text)
        for word in re.finditer(NUMBER, match[1])
    ]
    found += [Mention(_to_number(match[1]) - 1, match.start(), match.end()) for match in _IMAGE.finditer(text)]
    found += [Mention(ORDINALS[match[1]] - 1, match.start(), match.end()) for match in _NTH_IMAGE.finditer(text)]
    return sorted(found, key=lambda mention: mention.start) or _bare_place(text, domain)


def _bare_place(text: str, domain: Domain) -> list[Mention]:
    """A number or an ordinal that stands for the image, or the bar, of that number."""
    match = _BARE_NTH.fullmatch(text)
    if match is not None:
        return [Mention(ORDINALS[match[1]] - 1, match.start(1), match.end(1))]
    numbers = find_numbers(text, _value_words(domain), is_count=False)
    return [number._replace(value=number.value - 1) for number in numbers if number.value > 0]


def _find_bars(text: str, num_bars: int, domain: Domain) -> list[Mention]:
    found = []
    for match in _BAR.finditer(text):
        end = (match["end"] or match["side"] or "").replace("-", "")
        if match["nth"]:
            place = ORDINALS[match["nth"]] - 1
        elif match["n"]:
            place = _to_number(match["n"]) - 1
        elif end == "middle":
            place = num_bars // 2 if num_bars % 2 else -1
        else:
            place = 0 if end == "leftmost" else num_bars - 1
        if 0 <= place < num_bars:
            found.append(Mention(place, match.start(), match.end()))
    return found or [bare for bare in _bare_place(text, domain) if bare.value < num_bars]


def _find_places(text: str, side: int) -> list[Mention]:
    found = []
    for match in _PLACE.finditer(text.replace("-", " ").replace("_", " ")):
        if match["alone"]:
            row = column = 1 if side == 3 else None
        elif match["y"]:
            row, column = _to_number(match["y"]) - 1, _to_number(match["x"]) - 1
        elif match["ny"]:
            row, column = ORDINALS[match["ny"]] - 1, ORDINALS[match["nx"]] - 1
        else:
            row = _line(match["row"] or match["row2"], _ROWS, side)
            column = _line(match["column"] or match["column2"], _COLUMNS, side)
        if row is not None and column is not None and 0 <= row < side and 0 <= column < side:
            found.append(Mention(row * side + column, match.start(), match.end()))
    return found


def _line(word: str, ends: dict[str, int], side: int) -> int | None:
    """Number of the row or column; None for the middle of two."""
    if word in _MIDDLE:
        return 1 if side == 3 else None
    return ends[word] % side
