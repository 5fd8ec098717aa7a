"""The second solver's own words: what the questions of the controlled world mention. See resolve.py."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple


class Kind(NamedTuple):
    """What a thing may have, or what a question counts: the attribute and its value."""

    attribute: int
    value: int


class Rule(NamedTuple):
    """Each thing that has the value counts as so many."""

    kind: Kind
    times: int


class Thing(NamedTuple):
    """A thing in an image (from 0) and cell."""

    image: int
    cell: int


@dataclass(frozen=True)
class Language:
    """The words of a kind of image: its noun, its attributes with their values, its things in singular and plural."""

    noun: str
    attributes: tuple[str, str]
    values: tuple[tuple[str, ...], tuple[str, ...]]
    things: dict[str, Kind]
    places: dict[int, tuple[str, ...]]


_COLOURS = ("red", "green", "blue", "yellow", "purple", "black")
_SUBJECTS = {"cat": "cats", "coin": "coins", "cup": "cups", "motorcycle": "motorcycles", "person": "people"}
_SUBJECTS |= {"rocket": "rockets"}
_SHAPES = {"circle": "circles", "square": "squares", "triangle": "triangles", "cross": "crosses"}
_TWO = ("top left", "top right", "bottom left", "bottom right")
_THREE: tuple[str, ...] = ("top left", "top middle", "top right", "middle left", "centre", "middle right")
_THREE += ("bottom left", "bottom middle", "bottom right")
ORDINALS = "first second third fourth fifth sixth seventh eighth ninth tenth eleventh twelfth".split()
_BARS = tuple(f"{ordinal} bar" for ordinal in ORDINALS[:6])
_NAMES = ("Ada", "Bob", "Cleo", "Dan", "Eva", "Finn")
_NUMBERS = {"one": 1, "two": 2, "three": 3, "four": 4}


def _things(attribute: int, forms: Sequence[tuple[str, ...]]) -> dict[str, Kind]:
    return {form: Kind(attribute, value) for value, both in enumerate(forms) for form in both}


def _language(noun: str, attributes: tuple[str, str], values: Sequence[Sequence[str]], *patterns: str) -> Language:
    """A language whose things are called by patterns of a value, `{} object`; an empty pattern: given elsewhere."""
    things: dict[str, Kind] = {}
    for attribute, pattern in enumerate(patterns):
        plural = re.sub(rf"\b{noun}\b", f"{noun}s", pattern, count=1)
        things |= _things(attribute, [(pattern.format(v), plural.format(v)) for v in values[attribute] if pattern])
    places = {3: _BARS[:3], 4: _BARS[:4], 5: _BARS[:5], 6: _BARS} if noun == "bar" else {2: _TWO, 3: _THREE}
    return Language(noun, attributes, (tuple(values[0]), tuple(values[1])), things, places)


LANGUAGES = {
    "shapes": _language("object", ("colour", "shape"), (_COLOURS, tuple(_SHAPES)), "{} object", ""),
    "sheets": _language(
        "photo", ("subject", "border colour"), (tuple(_SUBJECTS), _COLOURS), "", "photo with a {} border"
    ),
    "numerals": _language(
        "numeral", ("colour", "value"), (_COLOURS, tuple("234578")), "{} numeral", "numeral with the value {}"
    ),
    "charts": _language("bar", ("colour", "height"), (_COLOURS, tuple("235689")), "{} bar", "bar of height {}"),
}
LANGUAGES["shapes"].things.update(_things(1, list(_SHAPES.items())))
LANGUAGES["sheets"].things.update(
    _things(0, [(f"photo of a {one}", f"photos of {several}") for one, several in _SUBJECTS.items()])
)


class Words:
    """What the words of a question mention. Phrases that were understood are taken out before others are looked for.

    Attributes:
        images: numbers (from 0) of the images, in order.
        names: the names of things.
        last_named: attribute of `the last colour of an object that you named`.
        that: attribute of `that colour`.
        nth_answer: number (from 0) of `your third answer`.
        terms: the numbers of a sum: what is counted, in which image, and by which rule.
        rule: a rule for counting.
        is_rule_for_now: the rule holds for this question only.
        least: the number of `at least two`.
        kinds: the things that are described.
        places: numbers of the places.
        attributes: the attributes that are asked for.
    """

    def __init__(self, question: str, language: Language, side: int) -> None:
        self.low, self._language = question.lower(), language
        attribute = _one_of(language.attributes)
        self.images = [int(number) - 1 for number in re.findall(r"\bimage_(\d+)", self.low)]
        self.names = [name for name in _NAMES if re.search(rf"\b{name}\b", question)]
        self.terms = self._find_terms()
        self.last_named = self._take_attribute(rf"\blast ({attribute}) of an? {language.noun} that you named\b")
        self.that = self._take_attribute(rf"\bthat ({attribute})\b")
        nth = re.search(rf"\b({_one_of(ORDINALS)}) answer\b", self.low)
        self.nth_answer = ORDINALS.index(nth[1]) if nth else None
        self.is_rule_for_now = self.has("if each")
        self.rule = self._take_rule()
        least = re.search(rf"\bat least ({_one_of(_NUMBERS)})\b", self.low)
        self.least = _NUMBERS[least[1]] if least else None
        self.kinds = [language.things[phrase] for phrase in self._take_all(list(language.things))]
        self.places = [language.places[side].index(place) for place in self._take_all(language.places[side])]
        self.attributes = [language.attributes.index(name) for name in re.findall(rf"\b({attribute})\b", self.low)]

    @property
    def refers_to_value(self) -> bool:
        """Whether they speak of a value that was answered."""
        return self.that is not None or self.last_named is not None

    def has(self, *patterns: str) -> bool:
        """Whether one of the patterns begins a word of what is left."""
        return any(re.search(rf"\b(?:{pattern})", self.low) for pattern in patterns)

    def place_in(self, image: int) -> Thing:
        """The thing at the place, in an image."""
        return Thing(image, self.places[0])

    def _find_terms(self) -> list[tuple[Kind, int, Rule | None]]:
        pattern = rf"\bthe number of ({_one_of(self._language.things)}) in image_(\d+)(?: if ({self._rule_pattern()}))?"
        found = []
        for match in re.finditer(pattern, self.low):
            rule = self._to_rule(match[4], match[5]) if match[3] else None
            found.append((self._language.things[match[1]], int(match[2]) - 1, rule))
        return found

    def _rule_pattern(self) -> str:
        return rf"each ({_one_of(self._language.things)}) (?:counts? )?as ({_one_of(_NUMBERS)})\b"

    def _to_rule(self, thing: str, number: str) -> Rule:
        return Rule(self._language.things[thing], _NUMBERS[number])

    def _take_attribute(self, pattern: str) -> int | None:
        match = re.search(pattern, self.low)
        if match is None:
            return None
        self.low = self.low.replace(match[0], "it")
        return self._language.attributes.index(match[1])

    def _take_rule(self) -> Rule | None:
        match = re.search(rf"\b{self._rule_pattern()}", self.low)
        if match is None:
            return None
        self.low = self.low.replace(match[0], "*")
        return self._to_rule(match[1], match[2])

    def _take_all(self, phrases: Sequence[str]) -> list[str]:
        pattern = re.compile(rf"\b(?:{_one_of(phrases)})\b")
        found = pattern.findall(self.low)
        self.low = pattern.sub("*", self.low)
        return found


def _one_of(phrases: Iterable[str]) -> str:
    """A regular expression of phrases, longer ones first."""
    return "|".join(sorted(map(re.escape, phrases), key=len, reverse=True))
