"""Values of the controlled world mentioned in a reply, by type of the answer: words and their synonyms, places, images.

The types: those of a domain's attributes (colour, shape, class, digit, height), number, image and cell.
"""

from __future__ import annotations

import functools
import re

from eval_tasks.readers.exact_numbers import NUMBER, ORDINALS, Mention, find_numbers, to_number
from eval_tasks.readers.exact_places import NTH, find_bare_places, find_bars, find_places
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
_IMAGES = re.compile(rf"\b(?:images|pictures) ({NUMBER}(?:(?:,? (?:and|or|&) |, ?){NUMBER})+)\b")
_IMAGE = re.compile(rf"\b(?:image|picture|img|pic|figure)[ _#.]{{0,3}}(?:number )?({NUMBER})\b")
_NTH_IMAGE = re.compile(rf"\b({NTH})(?: image| picture| one)\b")


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
        return find_bars(text, side, _value_words(domain)) if domain_name == "charts" else find_places(text, side)
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


def _find_images(text: str, domain: Domain) -> list[Mention]:
    found = [
        Mention(to_number(word[0]) - 1, match.start(), match.end())
        for match in _IMAGES.finditer(text)
        for word in re.finditer(NUMBER, match[1])
    ]
    found += [Mention(to_number(match[1]) - 1, match.start(), match.end()) for match in _IMAGE.finditer(text)]
    found += [Mention(ORDINALS[match[1]] - 1, match.start(), match.end()) for match in _NTH_IMAGE.finditer(text)]
    return sorted(found, key=lambda mention: mention.start) or find_bare_places(text, _value_words(domain))
