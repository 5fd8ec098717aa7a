"""VisualPuzzles: puzzles of algorithmic, analogical, deductive, inductive and spatial reasoning, one image each.

Source: Hub neulab/VisualPuzzles (split train), or VLMEvalKit's VisualPuzzles.tsv; columns, the direct prompt and the
order in which forms of an answer are looked for: lmms-eval VisualPuzzles/utils.py (0.7.2)
Licence: see the Hub card · Rows: 1168
Metric: accuracy, by category · Paper: arXiv 2504.10342

lmms-eval guesses a letter at random where it reads none, worth 25 points; here nothing read is wrong. Where the
image shows the options, the table has no text of them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from eval_tasks.readers.multiple_choice import ChoiceRows, asked_with, choice_task, options_of
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.task import Row, Sample

DIRECT = "Answer the question with the option's letter from the given choices directly."
_FORMS = (
    re.compile(r"Answer:\s*\(([A-Za-z])\)"),
    re.compile(r"(?<!Final )Answer:\s*([A-Za-z])"),
    re.compile(r"Answer:\s*([A-Za-z])"),
    re.compile(r"\(([A-Za-z])\)"),
    re.compile(r"([A-Za-z])\)"),
    re.compile(r"\{([A-Za-z])\}"),
    re.compile(r"\$([A-Za-z])\$"),
    re.compile(r" ([A-Da-d])\."),
)
_LONE = re.compile(r" ([A-Da-d])")
_LETTERS = "ABCD"
_SHORT = 5  # characters of a reply in which a lone letter is the answer


def read_puzzle(reply: str, options: Mapping[str, str]) -> str | None:
    """The last letter in the first form that a reply has one in, else the option whose text is the answer."""
    text = " " + reply.strip()
    for form in (*_FORMS, *([_LONE] if len(text) <= _SHORT else [])):
        found = [letter.upper() for letter in form.findall(text) if letter.upper() in _LETTERS]
        if found:
            return str(found[-1])
    said = {letter: option for letter, option in options.items() if option}
    for letter, option in said.items():
        if f"answer: {option}" in text.lower() or f"answer:{option}" in text.lower():
            return letter
    places = {letter: text.rfind(option) for letter, option in said.items()}
    best = max(places, key=lambda letter: places[letter], default=None)
    return best if best is not None and places[best] >= 0 else None


class PuzzleRows(ChoiceRows):
    """The rows, asked with the prompt of the benchmark."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row. Raises: see `ChoiceRows.to_sample`."""
        row = {name: cell for name, cell in row.items() if cell is not None}
        (question,) = require_cells(row, ("question",), f"row {number}")
        listed = options_of(row, f"row {number}")
        options = "\n".join(f"({letter}) {text}" for letter, text in listed.items())
        shown = f"Options:\n{options}" if listed else "Options: Choose from (A) (B) (C) (D) in the image."
        sample = super().to_sample(row if listed else {**row, "options": [""] * 4}, rules, number, has_gold)
        text = f"Question: {str(question).strip()}\n{shown}\n{DIRECT}"
        return asked_with(sample, text)


ROWS = PuzzleRows(HubRows("neulab/VisualPuzzles", "train"), stem="VisualPuzzles", lmms_read=read_puzzle)
TASK = choice_task("visual_puzzles", __doc__, ROWS, ("lmms-eval@0.7",))
