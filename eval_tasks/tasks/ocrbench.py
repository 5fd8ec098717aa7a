"""OCRBench: 1000 questions about text in images; right if a gold answer is inside the reply.

Source: VLMEvalKit's OCRBench.tsv, or Hub echo840/OCRBench (split test)
Licence: see the Hub card · Rows: 1000
Metric: number of right answers (0..1000) and a tenth of it · Paper: arXiv 2305.07895
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eval_tasks.readers.multiple_choice import VLMEVALKIT
from eval_tasks.readers.short_answer import ShortAnswerRows, is_exact
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.task import Points, Sample, Scored, Total
from eval_tasks.totals import grouped, mean_total

COLUMNS = (("answer", "answers"), ("category", "question_type"), ("category", "type"))
HUB = HubRows("echo840/OCRBench", "test", columns=COLUMNS)
FORMULAS = "Handwritten Mathematical Expression Recognition"
OWN_GROUP = ("Scene Text-centric VQA", "Doc-oriented VQA", "Key Information Extraction", FORMULAS)
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str:
    """The gold answers contained in the reply; in formulas case matters, spaces don't. Args: see `Task.score`."""
    is_formula = sample.target["category"] == FORMULAS

    def plain(text: str) -> str:
        if rules.startswith("lmms-eval") and not is_formula:
            text = text.translate(_HALF_WIDTH)
        text = text.strip().replace("\n", " ")
        return text.replace(" ", "") if is_formula else text.lower()

    said = plain(replies[0])
    return " | ".join(answer for answer in sample.target["answers"] if plain(answer) in said)


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
    """1 if the reply contains a gold answer. Args: see `Task.score`."""
    return {"accuracy": float(bool(read(sample, replies, rules, verdict)))}


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """Accuracy, the number of right answers, and their number in each of the five groups."""
    found = {"accuracy": mean_total(scored, "accuracy"), "final_score": _sum(scored)}
    groups = grouped(scored, lambda one: _group(one.sample.target["category"]))
    return found | {name: replace(_sum(members), breakdown="category") for name, members in groups.items()}


def _group(category: str) -> str:
    return category if category in OWN_GROUP else "Text Recognition"


def _sum(scored: Sequence[Scored]) -> Total:
    return mean_total(scored, "accuracy", scale=float(len(scored)))


ROWS = ShortAnswerRows(HUB, "OCRBench", is_exact, "accuracy", "", rules=(*VLMEVALKIT, "lmms-eval@0.7"), task="ocrbench")
TASK = replace(ROWS.task("ocrbench", __doc__, read=read), score=score, totals=totals)
