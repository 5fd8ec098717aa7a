"""M4U: university questions of science, engineering and healthcare in English, Chinese and German, images in the text.

Source: Hub M4U-Benchmark/M4U (splits FIELD_LANGUAGE)
Licence: MIT · Rows: 10005
Metric: mean over fields and languages, over rows, and by language · Paper: arXiv 2405.15638

Columns, prompts and parser: the benchmark's evaluate_llava.py, utils.py and calculate_scores.py. A row without the
column language is asked in the language of its file's name, English by default.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import product

from eval_tasks.readers.mmmu_answer import read_choice
from eval_tasks.readers.multiple_choice import LETTER_DIRECTLY, ChoiceRows, asked_with, choice_task, options_of
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_place import hub_id
from eval_tasks.rows.hub_rows import load_rows, require_cells
from eval_tasks.task import Row, Sample, Scored, Total
from eval_tasks.totals import macro_total, unit_of

CLOSINGS = {"en": LETTER_DIRECTLY, "zh": "\n直接用给定选项的字母回答."}
CLOSINGS["de"] = "\nAntworten Sie direkt mit dem Buchstaben der gegebenen Optionen."
FORMS = ("({})", "{}.", " {} ", "**{}**")
FIELDS = ("science", "engineering", "healthcare")
COLUMNS = (("image", "image_files"), ("category", "discipline"))
HUB = HubRows("M4U-Benchmark/M4U", "science_en", columns=COLUMNS)


def load(data: str | None) -> Iterator[Row]:
    """The rows of a table, or of every split on the Hub."""
    if data is not None and hub_id(data) is None:
        yield from load_rows(data, HUB, "M4U")
        return
    for field, language in product(FIELDS, CLOSINGS):
        for row in load_rows(data or HUB.name, replace(HUB, split=f"{field}_{language}"), "M4U"):
            yield {"field": field, "language": language, **row}


class M4uRows(ChoiceRows):
    """The rows, each asked in its language."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row.

        Raises:
            ValueError: a column is missing, or the language is another one.
        """
        place, row = f"row {number}", {"language": "en", "field": "", **self.hub.renamed(row)}
        (question,) = require_cells(row, ("question",), place)
        if row["language"] not in CLOSINGS:
            raise ValueError(f"{place}: language {row['language']!r}, expected one of {', '.join(CLOSINGS)}")
        row = {**row, "index": row.get("index", row.get("id", f"{row['field']}_{row['language']}_{number}"))}
        sample = super().to_sample(row, rules, number, has_gold)
        listed = [f"{letter}. {text}" for letter, text in options_of(row, place).items()]
        text = "\n".join([str(question).replace("<image_", "<image "), *listed]) + CLOSINGS[row["language"]]
        return asked_with(sample, text)


ROWS = M4uRows(HUB, levels=("language", "field"), load=load, own_rules="official")
ROWS.lmms_read = partial(read_choice, forms=FORMS)


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """The mean over fields and languages, accuracy over rows, and by language and field."""
    parts = [f"{one.sample.target['field']} {one.sample.target['language']}" for one in scored]
    units = [unit_of(one, "accuracy", part) for one, part in zip(scored, parts, strict=True)]
    return {"average": macro_total(units), **ROWS.totals(scored, rules)}


TASK = replace(choice_task("m4u", __doc__, ROWS, ("official",)), totals=totals)
