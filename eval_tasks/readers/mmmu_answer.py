"""Replies to MMMU's questions as its official evaluation reads them, without its random guess."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Value = str | float

_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),  # 1,234
    re.compile(r"-?\d+(?:\.\d+)?[eE][+-]?\d+"),  # 1.2e3
    re.compile(r"-?(?:\d+\.\d+|\.\d+|\d+\b)(?![eE][+-]?\d+)(?![,\d])"),  # 1.2
)
_LEADS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")


def read_choice(reply: str, options: Mapping[str, str]) -> str | None:
    """The letter a reply gives, the last of several; an option's words count in replies of more than five words.

    Source: MMMU eval_utils.py; where that guesses at random the result is None.
    """
    text = reply
    for mark in ",.!?;:'":
        text = text.strip(mark)
    text = f" {text} "
    for form in ("({})", "{} ", "{}."):
        found = [letter for letter in options if form.format(letter) in text]
        if found:
            place = "({})" if form == "({})" else " {} "
            return max(found, key=lambda letter: text.rfind(place.format(letter)))
    if len(text.split()) > 5:
        said = text.lower()
        named = [letter for letter, words in options.items() if words.lower() in said]
        if named:
            return max(named, key=lambda letter: said.rfind(options[letter].lower()))
    return None


def read_open(reply: str) -> list[Value]:
    """Everything in a reply that may be its answer: the shortest end of each sentence, and the numbers in it."""
    said = reply.strip().strip(".").lower()
    pieces = re.split(r"\.\s(?=[A-Z])|\n", said)
    keys: list[str] = []
    leads = list(_LEADS)
    for number, piece in enumerate(pieces):
        if number == len(pieces) - 1:
            leads.append("=")
        shortest = ""  # an empty end is forgotten as soon as another lead follows
        for lead in leads:
            end = piece.split(lead)[-1].strip()
            if lead in piece and (not shortest or len(end) < len(shortest)):
                shortest = end
        if shortest and shortest not in (":", ",", ".", "!", "?", ";", "'"):
            keys.append(shortest)
    keys = keys or [said]
    numbers = [number for key in keys for pattern in _NUMBERS for number in pattern.findall(key)]
    return list(dict.fromkeys(value for text in [*keys, *numbers] for value in to_values(text)))


def to_values(text: str) -> list[Value]:
    """A number rounded to two places, or words in lower case; one character only counts beside a space."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        pass
    said = text.lower()
    return [f" {said}", f"{said} "] if len(said) == 1 else [said]


def is_open_right(said: Sequence[Value], golds: Sequence[str]) -> bool:
    """True if a gold's words stand in what was said, or its number is among it."""
    wanted = [value for gold in golds for value in to_values(gold)]
    for value in said:
        if isinstance(value, str) and any(isinstance(gold, str) and gold in value for gold in wanted):
            return True
        if not isinstance(value, str) and value in wanted:
            return True
    return False
