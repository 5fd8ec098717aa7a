"""RealWorldQA: questions about photographs from vehicles and other real scenes, with a letter or a short answer.

Source: Hub lmms-lab-encoder/RealWorldQA (split test); columns, prompt, scorer: lmms-eval realworldqa/utils.py (0.7.2)
Licence: see the Hub card · Rows: all of the split
Metric: accuracy · Paper: none (a data set of xAI)

The question holds its options and what is asked for; nothing is added. VLMEvalKit's table has the options in columns of
their own: ask it with `--tasks choice --data choice=RealWorldQA.tsv`.
"""

from __future__ import annotations

from collections.abc import Sequence

from eval_tasks.readers.lmms_letters import read_among_four
from eval_tasks.readers.short_answer import ShortAnswerRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.task import Row


def ask(row: Row, question: str) -> str:
    """The question as it is.

    Raises:
        ValueError: the options stand outside of the question.
    """
    if "A" in row:
        raise ValueError("the row has its options in columns A, B, ...: ask this table with --tasks choice")
    return question.strip()


def points(reply: str, golds: Sequence[str]) -> float:
    """1 for the right letter, or for the gold text, case and last periods aside."""
    gold = golds[0].strip()
    if gold.upper() in ("A", "B", "C", "D"):
        return float(read_among_four(reply, {}) == gold.upper())
    return float(reply.lower().strip().rstrip(".") == gold.lower())


HUB = HubRows("lmms-lab-encoder/RealWorldQA", "test")
ROWS = ShortAnswerRows(HUB, "RealWorldQA", points, "accuracy", "", question=ask, rules=("lmms-eval@0.7",))
TASK = ROWS.task("realworldqa", __doc__)
