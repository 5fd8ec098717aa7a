"""V*Bench: multiple-choice questions about small details of large images.

Source: Hub lmms-lab-encoder/vstar-bench (split test), or VLMEvalKit's VStarBench.tsv
Licence: see the Hub card · Rows: 191
Metric: accuracy over all rows, and by category · Paper: arXiv 2312.14135

On the Hub the options stand in the question's text, as `(A) ...`; columns and this split: lmms-eval
vstar_bench/utils.py (0.7.2). The letter is read as VLMEvalKit does.
"""

from __future__ import annotations

import re

from eval_tasks.readers.multiple_choice import VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.task import Row

HUB = HubRows("lmms-lab-encoder/vstar-bench", "test", columns=(("answer", "label"), ("index", "question_id")))
_OPTION = re.compile(r"\(([A-D])\)")


def with_options(row: Row, place: str) -> Row:
    """A row whose options stand in columns A to D instead of in `text`; others unchanged."""
    if "text" not in row:
        return row
    question, *rest = _OPTION.split(str(row["text"]))
    options = dict(zip(rest[::2], (text.strip() for text in rest[1::2]), strict=True))
    return {**{name: cell for name, cell in row.items() if name != "text"}, "question": question.strip(), **options}


ROWS = ChoiceRows(HUB, stem="VStarBench", change=with_options)
TASK = choice_task("vstar_bench", __doc__, ROWS, VLMEVALKIT)
