"""Answers of MathVista: a choice, a whole number, a decimal, a list; how each harness reads and compares them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from eval_tasks.readers.multiple_choice import read_letter


def normal_answer(extraction: str, target: Mapping[str, Any], rules: str) -> str | None:
    """The extracted answer in the gold's form, None if it has none.

    A choice that isn't named by its letter is the nearest choice by edit distance, so a choice is always read.
    lmms-eval can't round to a number of places that is written as 1.0, so it reads no decimal there; it strips spaces.

    Source: MathVista calculate_score.py; lmms-eval mathvista_evals.py.
    """
    by_lmms = rules.startswith("lmms-eval")
    choices: Sequence[str] = target["choices"]
    if target["question_type"] == "multi_choice" and choices:
        said = extraction.strip()
        letters = re.findall(r"\(([a-zA-Z])\)", said)
        if letters:
            said = letters[0].upper()
        if len(said) == 1 and said in ascii_uppercase[: len(choices)]:
            return choices[ascii_uppercase.index(said)]
        return min(choices, key=lambda choice: edit_distance(said, choice))
    try:
        if target["answer_type"] == "integer":
            return str(int(float(extraction)))
        if target["answer_type"] == "float":
            places = target["precision"]
            if by_lmms and isinstance(places, float):
                return None
            return str(round(float(extraction), None if places is None else int(float(places))))
    except (ValueError, OverflowError):
        return None
    return extraction.strip() if by_lmms else extraction


def is_plain_answer(reply: str, target: Mapping[str, Any]) -> bool:
    """True if a reply is nothing but an answer, so that nothing has to be extracted from it."""
    if target["question_type"] == "multi_choice":
        return reply in target["choices"]
    kinds = {"integer": int, "float": float}
    try:
        kinds[target["answer_type"]](reply)
    except (KeyError, ValueError):
        return False
    return True


def read_answer(text: str, target: Mapping[str, Any], rules: str) -> str | None:
    """The answer that stands plainly in a text, None if it doesn't. Source: VLMEvalKit mathvista.py.

    A list is never read there, so it can't be right.
    """
    if target["question_type"] == "multi_choice":
        options = dict(zip(ascii_uppercase, target["choices"], strict=False))
        return read_letter(text, options, rules)
    try:
        if target["answer_type"] == "integer":
            return str(int(text))
        if target["answer_type"] == "float":
            return str(float(text))
    except ValueError:
        return None
    return None


def edit_distance(a: str, b: str) -> int:
    """Levenshtein distance: insertions, deletions and replacements of one character each."""
    before = list(range(len(b) + 1))
    for row, left in enumerate(a, start=1):
        now = [row]
        for column, right in enumerate(b, start=1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (left != right)))
        before = now
    return before[-1]
