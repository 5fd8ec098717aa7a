"""SEED-Bench-2-Plus: multiple-choice questions about charts, maps and web pages full of text.

Source: Hub doolayer/SEED-Bench-2-Plus (split test), or VLMEvalKit's SEEDBench2_Plus.tsv
Licence: see the Hub card · Rows: all of the split
Metric: accuracy, by kind of image · Paper: arXiv 2404.16790

Columns and the rules lmms-eval@0.7 (first character of the reply): lmms-eval seedbench_2_plus/utils.py (0.7.2).
"""

from collections.abc import Mapping

from eval_tasks.readers.multiple_choice import VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows

COLUMNS = (*((letter, f"choice_{letter}") for letter in "ABCD"), ("category", "question_image_type"))


def read_first(reply: str, options: Mapping[str, str]) -> str | None:
    """The first character of a reply, None without any."""
    return reply.strip()[:1].upper() or None


HUB = HubRows("doolayer/SEED-Bench-2-Plus", "test", columns=COLUMNS)
ROWS = ChoiceRows(HUB, stem="SEEDBench2_Plus", lmms_read=read_first)
TASK = choice_task("seedbench_2_plus", __doc__, ROWS, (*VLMEVALKIT, "lmms-eval@0.7"))
