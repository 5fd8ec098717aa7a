"""Thoughts of a reasoning model: told apart from its answer, whatever marks its family writes around them."""

from __future__ import annotations

import re
from typing import NamedTuple

# (opening, closing) marks: Qwen, DeepSeek, GLM, InternVL; Kimi; Magistral; others.
MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("<thought>", "</thought>"),
    ("<thoughts>", "</thoughts>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("◁think▷", "◁/think▷"),
    ("[THINK]", "[/THINK]"),
    ("<|begin_of_thought|>", "<|end_of_thought|>"),
)
_ANSWER = re.compile(
    r"\A\s*(?:<answer>(.*?)</answer>|<\|begin_of_(?:box|solution)\|>(.*?)<\|end_of_(?:box|solution)\|>)\s*\Z",
    re.DOTALL | re.IGNORECASE,
)


class Split(NamedTuple):
    """A reply in two.

    Attributes:
        thoughts: what the model thought aloud, empty if it didn't.
        answer: what it says after that; empty if the thoughts never end.
        is_open: the thoughts have no end.
    """

    thoughts: str
    answer: str
    is_open: bool = False


def split_thoughts(text: str) -> Split:
    """Thoughts and answer of a reply; a reply without marks is all answer, unchanged.

    Where the chat template has written the opening mark, the reply has only the closing one.

    Example: `"<think>A is a dog.</think> B"` -> thoughts `"A is a dog."`, answer `"B"`
    """
    thoughts: list[str] = []
    answer, is_open = text, False
    for opening, closing in MARKS:
        if opening.lower() not in answer.lower() and closing.lower() not in answer.lower():
            continue
        start, end = re.escape(opening), re.escape(closing)
        pair = re.compile(rf"{start}(.*?){end}", re.DOTALL | re.IGNORECASE)
        last = max((mark.end() for mark in re.finditer(end, answer, re.IGNORECASE)), default=0)
        closed = answer[:last]  # every opening mark here has its end, so that the pairs are found in linear time
        thoughts += pair.findall(closed)
        answer = pair.sub("", closed) + answer[last:]
        *before, answer = re.split(end, answer, flags=re.IGNORECASE)
        thoughts += before
        answer, *after = re.split(start, answer, maxsplit=1, flags=re.IGNORECASE)
        thoughts += after
        is_open = is_open or bool(after)
    if not thoughts:
        return Split("", text)
    said = _ANSWER.match(answer)
    if said:
        answer = said.group(1) or said.group(2) or ""
    return Split("\n".join(thought.strip() for thought in thoughts).strip(), answer.strip(), is_open)


def with_thoughts(thoughts: str, text: str) -> str:
    """The whole reply as one text, where a server reports the thoughts apart."""
    opening, closing = MARKS[0]
    return f"{opening}\n{thoughts}\n{closing}\n\n{text}" if thoughts else text
