"""Parse replies to MMMU's questions like its official evaluation, without its random guess."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

Value = str | float

_NUMBERS = (
    re.compile(r"-?\b\d{1,3}(?:,\d{3})+\b"),  # 1,234
    re.compile(r"(?:-|(?<!\d))\d+(?:\.\d+)?[eE][+-]?\d+"),  # 1.2e3
    re.compile(r"(?:(?:-|(?<!\d))(?:\d+\.\d+|\d+\b)|-?\.\d+)(?![eE][+-]?\d)(?![,\d])"),  # 1.2
)
_LEADS = ("could be ", "so ", "is ", "thus ", "therefore ", "final ", "answer ", "result ")


FORMS = ("({})", "{} ", "{}.")  # of a letter, the first that a reply has one in; lmms-eval's
OWN_FORMS = ("({})", " {} ")  # MMMU's own, which MuirBench shares


def read_choice(reply: str, options: Mapping[str, str], forms: Sequence[str] = FORMS) -> str | None:
    """The chosen letter, the last of several; in replies of more than five words the text of an option counts too.

    Source: MMMU eval_utils.py, lmms-eval mmmu_mcq_utils.py; None where they guess at random.
    """
    text = reply
    for mark in ",.!?;:'":
        text = text.strip(mark)
    text = f" {text} "
    for form in forms:
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
    """All candidate answers in a reply: the shortest end of each sentence, and the numbers in it."""
    said = reply.strip().strip(".").lower()
    pieces = re.split(r"\.\s(?=[A-Z])|\n", said)
    keys: list[str] = []
    leads = list(_LEADS)
    for number, piece in enumerate(pieces):
        if number == len(pieces) - 1:
            leads.append("=")
        shortest = ""  # an empty end is replaced by that of the next lead
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
    """A number rounded to two places, or lower-case text; a single character must be next to a space."""
    text = text.strip()
    try:
        return [round(float(text.replace(",", "")), 2)]
    except ValueError:
        pass
    said = text.lower()
    return [f" {said}", f"{said} "] if len(said) == 1 else [said]


def is_open_right(said: Sequence[Value], golds: Sequence[str]) -> bool:
    """True if the text of a gold answer occurs in a candidate, or its number is a candidate."""
    wanted = [value for gold in golds for value in to_values(gold)]
    for value in said:
        if isinstance(value, str) and any(isinstance(gold, str) and gold in value for gold in wanted):
            return True
        if not isinstance(value, str) and value in wanted:
            return True
    return False
