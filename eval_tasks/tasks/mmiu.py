"""MMIU: 52 tasks about several images of seven kinds of relation, as multiple-choice questions.

Source: Hub FanqingM/MMIU-Benchmark (split test), with its images in the same folder
Licence: see the Hub card · Rows: 11698
Metric: mean over the 52 tasks of their accuracies, over rows, and by task · Paper: arXiv 2408.02718

Columns (question, context, options as one text, output, input_image_path) from the Hub; the prompt is context, question
and options, and a request for the letter. The repository's evaluate.py lets a chat model match a reply with an option
where it isn't a letter: so does --judge; without one, nothing read by VLMEvalKit's rules is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import replace

from eval_tasks.readers.multiple_choice import LETTER_DIRECTLY, ChoiceRows, asked_with, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import load_rows, require_cells
from eval_tasks.task import Row, Sample, Scored, Total
from eval_tasks.totals import macro_total, unit_of

COLUMNS = (("answer", "output"), ("image_path", "input_image_path"), ("category", "task"))
HUB = HubRows("FanqingM/MMIU-Benchmark", "test", columns=COLUMNS)
_OPTION = re.compile(r"^[^\S\n]*([A-Z])[^\S\n]*[:.)][^\S\n]*", re.M)


def split_options(text: str) -> dict[str, str]:
    """Letter -> text of options that stand in one text, `A: ...` on each line."""
    _, *rest = _OPTION.split(text)
    return dict(zip(rest[::2], (option.strip() for option in rest[1::2]), strict=True))


class MmiuRows(ChoiceRows):
    """The rows, whose options are one text."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row. Raises: see `ChoiceRows.to_sample`."""
        row = self.hub.renamed(row)
        question, options = require_cells(row, ("question", "options"), f"row {number}")
        listed = split_options(str(options))
        if not listed:
            raise ValueError(f"row {number}: options {options!r}, expected lines such as 'A: ...'")
        rest = {name: cell for name, cell in row.items() if name != "options"}
        sample = super().to_sample({**rest, **listed}, rules, number, has_gold)
        context = str(row.get("context") or "").strip()
        text = "\n".join([*([context] if context else []), str(question).strip(), str(options).strip()])
        return asked_with(sample, text + LETTER_DIRECTLY)


def load(data: str | None) -> Iterator[Row]:
    """The rows of a table."""
    return load_rows(data, HUB, "MMIU")


ROWS = MmiuRows(HUB, levels=("category",), load=load)


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """The mean over tasks, accuracy over rows, and accuracy by task."""
    units = [unit_of(one, "accuracy", str(one.sample.target["category"])) for one in scored]
    return {"task mean": macro_total(units), **ROWS.totals(scored, rules)}


TASK = replace(choice_task("mmiu", __doc__, ROWS, ("vlmevalkit@2026-06",)), totals=totals)
