"""ReMI: thirteen tasks that need several images at once: maths, physics, logic, code, tables, maps, clocks.

Source: Hub mehrankazemi/ReMI (split test)
Licence: see the Hub card · Rows: 2600
Metric: share of exact answers, and by task · Paper: arXiv 2406.09175

Columns (question with `<image1>`, label, task, image_1 to image_6) from the Hub's card. The paper's scorer isn't
public: ours compares words, case and a last period aside, and numbers by value.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from eval_tasks.readers.judged_rows import to_number
from eval_tasks.readers.short_answer import ShortAnswerRows, is_exact
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.task import Row

HUB = HubRows("mehrankazemi/ReMI", "test", columns=(("answer", "label"), ("category", "task")))
CLOSING = "\nAnswer the question using a single word, number or expression."
_PLACE = re.compile(r"<image_?(\d+)>", re.IGNORECASE)


def ask(row: Row, question: str) -> str:
    """The question, its images at their places."""
    return _PLACE.sub(r"<image \1>", question)


def points(reply: str, golds: Sequence[str]) -> float:
    """1 for the same words or the same number."""
    if is_exact(reply, golds):
        return 1.0
    numbers = [to_number(text) for text in (reply, golds[0])]
    return float(None not in numbers and numbers[0] == numbers[1])


ROWS = ShortAnswerRows(HUB, "ReMI", points, "accuracy", CLOSING, question=ask, rules=("mmcr@2026-11",))
TASK = ROWS.task("remi", __doc__)
