"""MMLongBench: long contexts with images: retrieval, needles, many-shot classes, summaries, documents.

Source: Hub ZhaoweiWang/MMLongBench, vlmevalkit/MMLongBench_{32K,128K,256K,512K}.tsv, and its images (--data FILE)
Licence: see the Hub card · Rows: all of the table
Metric: mean of the families' own metrics over rows, and by family · Paper: arXiv 2505.10610

Columns (question with `<image>`, answer, task, source_dataset, extra_info, image_path), form of the prompt and metrics:
VLMEvalKit mmlongbench.py (August 2026). A yes/no needle without an answer is wrong here, there it gets 0, 1, 1, 0 in
turn. documentQA takes --judge (our prompt); summaries are compared without a stemmer. Not MMLongBench-Doc.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from eval_tasks.readers.judged_rows import JudgedRows
from eval_tasks.readers.long_context import after_prefix, chosen, contains, counted, labelled, rouge_lsum, says
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.rows.table_files import json_value, to_list
from eval_tasks.task import Row, Sample

PREFIXES = {"summ": "Summary:", "ICL": "label:"}
TASKS = ("vrag", "NIAH", "ICL", "summ", "documentQA")


def metric_of(task: str, source: str, place: str) -> str:
    """The metric of a row.

    Raises:
        ValueError: its task or source is another one.
    """
    fixed = {"vrag": "sub_em", "ICL": "cls_acc", "summ": "rouge", "documentQA": "judge"}
    if task in fixed:
        return fixed[task]
    if task == "NIAH" and source.startswith("vh_"):
        return "binary_acc"
    if task == "NIAH" and "counting" in source:
        return "soft_acc"
    if task == "NIAH" and ("retrieval" in source or "reasoning" in source):
        return "mc_acc" if "image" in source else "sub_em"
    raise ValueError(f"{place}: task {task!r} of {source!r}, expected one of {', '.join(TASKS)} and a known source")


def points(reply: str, golds: Sequence[str]) -> float | None:
    """The points of a reply, the better of the whole and of what follows its prefix; None where a judge is needed.

    Args:
        reply: the reply.
        golds: gold answers behind the metric and the task's prefix.
    """
    *answers, metric, prefix = golds
    if metric == "judge":
        return None
    if metric == "binary_acc":
        said = says(reply)
        return None if said is None else float(said == says(answers[0]))
    return max(_points(text, answers, metric) for text in (reply, after_prefix(reply, prefix)))


def _points(text: str, answers: Sequence[str], metric: str) -> float:
    if metric == "sub_em":
        return contains(text, answers)
    if metric == "rouge":
        return max(rouge_lsum(text, answer) for answer in answers)
    gold = sum(int(answer) for answer in answers)  # of a count, the sum of the list
    said = {"soft_acc": counted, "mc_acc": chosen, "cls_acc": labelled}[metric](text)
    return float(said == gold)


class LongRows(JudgedRows):
    """The rows, each with the metric of its family."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row. Raises: see `metric_of` and `ShortAnswerRows.to_sample`."""
        place, row = f"row {number}", self.hub.renamed(row)
        task, answer = require_cells(row, ("category", "answer"), place)
        metric = metric_of(str(task), str(row.get("source_dataset", "")), place)
        extra = row.get("extra_info") or {}
        known: Any = json_value(extra, f"{place} extra_info") if isinstance(extra, str) else extra
        answers = [str(one) for one in _flat(to_list(known.get("answer", answer), place))]
        if metric in ("soft_acc", "mc_acc", "cls_acc") and not all(one.strip().isdigit() for one in answers):
            raise ValueError(f"{place}: the answer is {answers}, expected numbers for {task}")
        marked = [*answers, metric, PREFIXES.get(str(task), "Answer:")]
        return super().to_sample({**row, "answer": marked}, rules, number, has_gold)

    def reference(self, sample: Sample) -> str:
        """All gold answers, without the metric and the prefix behind them."""
        return ", ".join(sample.target["answers"][:-2])


def _flat(values: Sequence[Any]) -> list[Any]:
    return [one for value in values for one in (value if isinstance(value, list) else [value])]


ROWS = LongRows(
    HubRows("ZhaoweiWang/MMLongBench", "test", columns=(("category", "task"),)),
    "MMLongBench",
    points,
    "score",
    "",
    question=lambda row, question: question.replace("<image token>", "<image>"),
)
TASK = ROWS.task("mmlongbench", __doc__)
