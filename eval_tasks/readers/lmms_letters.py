"""Parse the letter of an option as lmms-eval does: by a priority of formats, or as the task file of a benchmark."""

from __future__ import annotations

import re
from collections.abc import Mapping
from string import ascii_uppercase, punctuation
from typing import NamedTuple

_PHRASES = [
    f"{before} {noun} is" for before in ("the correct", "correct", "the best", "best") for noun in ("answer", "option")
] + ["the answer is", "answer is", "the choice is", "choice is", "the correct choice is", "correct choice is"]
_PHRASES += ["i choose", "i select", "i pick", "my answer is", "my choice is"]
_PHRASES += ["옵션", "정답은", "답은", "답:", "答案是", "答案为", "选", "答えは"]


class _Found(NamedTuple):
    priority: int
    position: int
    letter: str


def read_by_priority(reply: str, options: Mapping[str, str]) -> str | None:
    """The letter in the format of highest priority, the last of several. Source: lmms-eval mcq_extract.py."""
    text = reply.strip()
    for mark in ",.!?;:'\"":
        text = text.strip(mark)
    said = text.strip()
    text = f" {text} "
    found: list[_Found] = []
    for letter in options:
        forms = ((6, f"({letter})"), (5, f"{letter}."), (4, f"{letter}:"), (3, f"{letter})"), (2, f"{letter} "))
        found += [_Found(priority, text.rfind(form), letter) for priority, form in forms if form in text]
        for phrase in _PHRASES:
            start = text.lower().find(phrase)
            place = text.find(letter, start + len(phrase)) if start >= 0 else -1
            if place >= 0:
                found.append(_Found(7, place, letter))
        if said.startswith(letter) and not said[1:2].isalpha():
            found.append(_Found(10, 0, letter))
        if said.endswith(letter) and not said[-2:-1].isalpha():
            found.append(_Found(9, len(text), letter))
    if not found:
        found = [_Found(0, text.rfind(letter), letter) for letter in options if letter in text]
    return max(found, key=lambda one: one[:2]).letter if found else None


def read_among_four(reply: str, options: Mapping[str, str]) -> str | None:
    """MMStar: `read_by_priority` among A to D. Source: lmms-eval mmstar/utils.py."""
    return read_by_priority(reply, dict.fromkeys("ABCD", ""))


def read_leading_letter(reply: str, options: Mapping[str, str]) -> str | None:
    """AI2D: `B. ...`, or a single letter in any case, with any punctuation. Source: lmms-eval ai2d/utils.py."""
    match = re.match(r"\s*([A-Z])\.", reply)
    said = match.group(1) if match else reply.translate(str.maketrans("", "", punctuation)).upper()
    return said if len(said) == 1 and said in ascii_uppercase else None


def read_lone_letter(reply: str, options: Mapping[str, str]) -> str | None:
    """ScienceQA: a single letter in any case, or a capital and a period. Source: lmms-eval scienceqa/utils.py."""
    said = reply.strip()
    if len(said) == 1 and said.upper() in ascii_uppercase:
        return said.upper()
    return said[0] if said[:1].isupper() and said[1:2] == "." else None


_AROUND = [("", ""), ("", "."), ("", ","), ("", ":"), ("", ")"), ("", ")."), ("(", ")"), ("(", ")."), (":", "")]
_AROUND += [(":", ","), (":", "."), (":", ")"), (":", ").")]


def read_marked_letter(reply: str, options: Mapping[str, str]) -> str | None:
    """MMBench: the only letter A..E among the words, bare or in punctuation; else the only option whose text occurs.

    Bare letters don't count if `A` is one of more than three words, as it may be an article.
    Source: lmms-eval mmbench/mmbench_evals.py.
    """
    words = reply.split() if "Failed to obtain answer via API" not in reply else []
    for before, after in _AROUND:
        found = [letter for letter in "ABCDE" if before + letter + after in words]
        may_be_article = not before + after and "A" in words and len(words) > 3
        if len(found) == 1 and not may_be_article:
            return found[0]
    said = reply.lower()
    named = [letter for letter, text in options.items() if letter in "ABCD" and text.lower() in said]
    return named[0] if len(named) == 1 else None
