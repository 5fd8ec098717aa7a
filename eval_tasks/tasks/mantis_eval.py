"""Mantis-Eval: questions about several images, multiple choice and short answers.

Source: Hub TIGER-Lab/Mantis-Eval (configuration mantis_eval, split test); columns, prompts and scorer: lmms-eval
mantis/utils.py (0.7.2)
Licence: Apache-2.0 · Rows: 217
Metric: accuracy over all rows, and by type of question · Paper: arXiv 2405.01483

Ours: options stand on lines of their own before the instruction; lmms-eval prints them as a Python list behind it.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from string import ascii_uppercase

from eval_tasks.readers.short_answer import ShortAnswerRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.rows.table_files import to_list
from eval_tasks.task import Row

COLUMNS = (("image", "images"), ("index", "id"), ("category", "question_type"))
HUB = HubRows("TIGER-Lab/Mantis-Eval", "test", "mantis_eval", columns=COLUMNS)
CHOICE, SHORT = "multi-choice", "short-answer"
LETTER = "Answer with the option's letter from the given choices directly."
_MARKS = ("final answer:", "the answer is", "answer:")


def ask(row: Row, question: str) -> str:
    """The question in the template of its type.

    Raises:
        ValueError: the type is another one.
    """
    kind, options = require_cells(row, ("category",), "Mantis-Eval row")[0], to_list(row.get("options"), "options")
    if kind == CHOICE:
        return "\n".join([question, *map(str, options), LETTER])
    if kind == SHORT:
        return (
            f"Given the images, answer the following short answer vqa question:\nQ: {question}\n"
            'You can first give your analysis, and then give your final answer as "Final Answer:"'
        )
    raise ValueError(f"Mantis-Eval row: question_type {kind!r}, expected {CHOICE} or {SHORT}")


def with_options(row: Row, place: str) -> Row:
    """A row whose gold answers are the letter and the options, if it is multiple choice."""
    if row.get("category") != CHOICE or row.get("answer") is None or isinstance(row["answer"], list):
        return row
    letter = next((sign for sign in str(row["answer"]).strip("()\n ") if sign.isalpha()), "")
    return {**row, "answer": [letter.upper(), *map(str, to_list(row.get("options"), place))]}


def points(reply: str, golds: Sequence[str]) -> float:
    """1 for the right letter, the right option's text, or the right short answer."""
    said = _after_mark(reply)
    if len(golds) == 1:
        return float(said.lower() == golds[0].strip("()\n ").lower())
    named = re.match(r"Answer: ([A-Z])", said)
    letter = named[1] if named else next((sign.upper() for sign in said if sign.isalpha()), "")
    gold, options = golds[0], golds[1:]
    if letter and letter in ascii_uppercase[: len(options)]:
        return float(letter == gold)
    place = ascii_uppercase.find(gold)
    return float(0 <= place < len(options) and reply.strip() == _without_letter(options[place], gold))


def _after_mark(reply: str) -> str:
    low = reply.lower()
    mark = next((mark for mark in _MARKS if mark in low), None)
    return reply if mark is None else reply[low.index(mark) + len(mark) :].strip()


def _without_letter(option: str, letter: str) -> str:
    lead = next((lead for lead in (f"{letter}.", f"{letter}:", f"({letter})") if option.startswith(lead)), "")
    return option[len(lead) :].strip()


ROWS = ShortAnswerRows(
    HUB, "Mantis-Eval", points, "accuracy", "", question=ask, rules=("lmms-eval@0.7",), change=with_options
)
TASK = ROWS.task("mantis_eval", __doc__)
