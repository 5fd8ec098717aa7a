"""V*Bench: multiple-choice questions about small details of large images.

Source: Hub lmms-lab-encoder/vstar-bench (split test), or VLMEvalKit's VStarBench.tsv
Licence: see the Hub card · Rows: 191
Metric: accuracy over all rows, and by category · Paper: arXiv 2312.14135

On the Hub the options stand in the question's text, as `(A) ...`; columns and this split: lmms-eval
vstar_bench/utils.py (0.7.2). The letter is read as VLMEvalKit does.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from eval_tasks.readers.multiple_choice import VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import load_rows
from eval_tasks.task import Row, Sample

HUB = HubRows("lmms-lab-encoder/vstar-bench", "test", columns=(("answer", "label"), ("index", "question_id")))
_OPTION = re.compile(r"\(([A-D])\)")


def load(data: str | None) -> Iterator[Row]:
    """The rows, their options split from the text."""
    return (with_options(HUB.renamed(row)) for row in load_rows(data, HUB, "VStarBench"))


def with_options(row: Row) -> Row:
    """A row whose options stand in columns A to D instead of in `text`; others unchanged."""
    if "text" not in row:
        return row
    question, *rest = _OPTION.split(str(row["text"]))
    options = dict(zip(rest[::2], (text.strip() for text in rest[1::2]), strict=True))
    return {**{name: cell for name, cell in row.items() if name != "text"}, "question": question.strip(), **options}


class VStarRows(ChoiceRows):
    """The rows of either table."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row. Raises: see `ChoiceRows.to_sample`."""
        return super().to_sample(with_options(row), rules, number, has_gold)


ROWS = VStarRows(HUB, load=load)
TASK = choice_task("vstar_bench", __doc__, ROWS, VLMEVALKIT)
