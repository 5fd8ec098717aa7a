"""Benchmarks of answers that a rule decides where it can, and otherwise a chat judge that sees the reference."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from eval_tasks.readers.judged_answer import fence_reply
from eval_tasks.readers.multiple_choice import read_letter
from eval_tasks.readers.short_answer import ShortAnswerRows, is_exact
from eval_tasks.task import Points, Sample, Task

_MARK = re.compile(r"\b[01]\b")
BOXED = re.compile(r"boxed\{([^{}]*+(?:\{[^{}]*+\}[^{}]*+)*+)\}", re.IGNORECASE)
_LETTER = re.compile(r"[A-H]")


def last_boxed(reply: str) -> str:
    """What stands in the last box of a reply, else all of it."""
    found = BOXED.findall(reply)
    return str(found[-1]).strip() if found else reply.strip()


def to_number(text: str) -> float | None:
    """The number that a text is, thousands separators, a dollar sign and a last period aside; None if it is none."""
    try:
        return float(text.strip().rstrip(".").replace(",", "").removeprefix("$"))
    except ValueError:
        return None


def plain_points(reply: str, golds: Sequence[str]) -> float | None:
    """1 for the gold answer or its number, the letter of a choice by VLMEvalKit's rules; None where neither decides.

    Args:
        reply: the reply; of several boxes the last is read.
        golds: the gold answer, and the texts of the options if there are any.
    """
    said, gold = last_boxed(reply), golds[0].strip()
    numbers = to_number(said), to_number(gold)
    if is_exact(said, [gold]) or (numbers[0] is not None and numbers[0] == numbers[1]):
        return 1.0
    if not _LETTER.fullmatch(gold):
        return None
    texts = golds[1:] or ["\0"] * 4
    options = {chr(ord("A") + place): text for place, text in enumerate(texts)}
    letter = read_letter(said, options, "vlmevalkit@2026-06")
    return None if letter is None else float(letter == gold)


def read_mark(verdict: object) -> float | None:
    """1 or 0 in a judge's verdict; None without one, or with both."""
    marks = set(_MARK.findall(str(verdict if verdict is not None else "")))
    return float(marks.pop()) if len(marks) == 1 else None


class JudgedRows(ShortAnswerRows):
    """Samples, points and totals; the scorer says None where only the judge can decide."""

    def score(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
        """The scorer's points, else the judge's mark. Args: see `Task.score`."""
        points = self.scorer(replies[0], sample.target["answers"])
        return {self.metric: read_mark(verdict) if points is None else points}

    def read(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
        """What is judged, or who decided. Args: see `Task.score`."""
        if self.scorer(replies[0], sample.target["answers"]) is not None:
            return last_boxed(replies[0])[:200]
        mark = read_mark(verdict)
        return None if mark is None else f"judge: {mark:.0f}"

    def reference(self, sample: Sample) -> str:
        """The gold answer that a judge sees."""
        return str(sample.target["answers"][0])

    def to_judge(self, sample: Sample, replies: Sequence[str], rules: str) -> str:
        """The judge's prompt: does the final answer of the reply mean the reference?"""
        question, gold = sample.dialogue.turns[-1].human_text, self.reference(sample)
        return (
            "Does the final answer of a reply to a question mean the same as the reference answer? Other wording and "
            "units written otherwise are fine; several answers, or none, are not. Say 1 if it does and 0 if not, and "
            f"nothing else.\n\nQuestion:\n{question[-20000:]}\n\nReference answer: {gold}\n\n"
            f"{fence_reply(replies[0])}\n\n1 or 0:"
        )

    def task(self, name: str, source: str | None, **more: Any) -> Task:  # noqa: ANN401
        """The task of the benchmark. Args: see `TableRows.task`."""
        return super().task(name, source, judge="chat", to_judge=self.to_judge, read=self.read, **more)
