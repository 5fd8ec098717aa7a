"""ViVerBench: does an image fit its description? Sixteen tasks of visual verification, some with several images.

Source: Hub comin/ViVerBench (split train); columns: lmms-eval viverbench/utils.py (0.7.2)
Licence: Apache-2.0 · Rows: 3594
Metric: mean of the tasks' accuracies (the benchmark's own), `micro`: accuracy over rows (lmms-eval's)

The answer is the flag `"answer": true` of the reply's JSON, as in the benchmark's viverbench_eval_rule_based.py; the
question asks for it. lmms-eval reads bare words too. A reply without the flag is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

from eval_tasks.readers.yes_no_rows import YesNoRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.task import Scored, Total
from eval_tasks.totals import macro_total, mean_total, totals_by, unit_of

COLUMNS = (("image", "img"), ("index", "prompt_id"))


def read_flag(reply: str) -> str | None:
    """Yes or no for the first flag after the thoughts."""
    said = reply.split("</think>")[1] if "</think>" in reply else reply
    match = re.search(r'"answer"\s*:\s*(true|false)', said)
    return None if match is None else {"true": "yes", "false": "no"}[match[1]]


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """The mean over tasks, the micro mean, and each task."""
    by_task = macro_total([unit_of(one, "accuracy", str(one.sample.target["task"])) for one in scored])
    return {"task mean": by_task, "micro": mean_total(scored, "accuracy"), **totals_by(scored, "task")}


HUB = HubRows("comin/ViVerBench", "train", columns=COLUMNS)
ROWS = YesNoRows(
    HUB, "ViVerBench", "", level="task", reader=lambda reply, _rules: read_flag(reply), rules=("official",)
)
TASK = replace(ROWS.task("viverbench", __doc__), totals=totals, judge=None)
