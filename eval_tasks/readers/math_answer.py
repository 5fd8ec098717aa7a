"""Parse and normalize answers of MathVista (choice, integer, float, list) by the rules of each harness."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from eval_tasks.readers.multiple_choice import read_letter


def normal_answer(extraction: str, target: Mapping[str, Any], rules: str) -> str | None:
    """The extracted answer in the gold's format, None if it can't be converted.

    A choice without a letter is mapped to the nearest choice by edit distance, so that it always has a result.
    lmms-eval fails on a precision written as 1.0, so floats aren't parsed there; it strips spaces.

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
    """True if a reply is only an answer, so that no extraction is needed."""
    if target["question_type"] == "multi_choice":
        return reply in target["choices"]
    kinds = {"integer": int, "float": float}
    try:
        kinds[target["answer_type"]](reply)
    except (KeyError, ValueError):
        return False
    return True


def read_answer(text: str, target: Mapping[str, Any], rules: str) -> str | None:
    """The answer in a text by rules, None if there is none. Source: VLMEvalKit mathvista.py.

    Lists aren't parsed there, so they always count as wrong.
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
    """Levenshtein distance."""
    before = list(range(len(b) + 1))
    for row, left in enumerate(a, start=1):
        now = [row]
        for column, right in enumerate(b, start=1):
            now.append(min(before[column] + 1, now[-1] + 1, before[column - 1] + (left != right)))
        before = now
    return before[-1]
