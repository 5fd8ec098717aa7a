"""OCRBench: 1000 questions about text in images; right if a gold answer is inside the reply.

Source: VLMEvalKit's OCRBench.tsv, or Hub echo840/OCRBench (split test)
Licence: see the Hub card · Rows: 1000
Metric: number of right answers (0..1000) and a tenth of it · Paper: arXiv 2305.07895
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

from eval_tasks.readers.adapters import ADAPTER_RULES, ask_open, to_dialogue
from eval_tasks.readers.multiple_choice import VLMEVALKIT
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import images_of, load_rows, require_cells
from eval_tasks.rows.table_files import to_list
from eval_tasks.task import Points, Row, Sample, Scored, Task, Total
from eval_tasks.totals import mean_total

HUB = HubRows("echo840/OCRBench", "test")
FORMULAS = "Handwritten Mathematical Expression Recognition"
OWN_GROUP = ("Scene Text-centric VQA", "Doc-oriented VQA", "Key Information Extraction", FORMULAS)
_HALF_WIDTH = {code: code - 0xFEE0 for code in range(0xFF01, 0xFF5F)} | {0x3000: 0x20}


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """Every row as a sample."""
    for number, row in enumerate(load_rows(data, HUB, "OCRBench")):
        yield to_sample(row, rules, number)


def to_sample(row: Row, rules: str, number: int) -> Sample:
    """The sample of a row; `answer` is one text or a list of them."""
    place = f"OCRBench row {number}"
    question, answer = require_cells(row, ("question", "answer" if "answer" in row else "answers"), place)
    category = str(row.get("category", row.get("question_type", row.get("type"))))
    answers = [str(one) for one in to_list(answer, place)]
    sample_id = str(row.get("index", row.get("id", number)))
    text = ask_open(str(question), "ocrbench", rules)
    dialogue = to_dialogue(sample_id, images_of(row, place), text, answers[0], "ocrbench", rules)
    return Sample(dialogue, {"answers": answers, "category": category}, group=sample_id)


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
    """1 if the reply contains a gold answer; in formulas case matters, spaces don't. Args: see `Task.score`."""
    return {"accuracy": float(bool(read(sample, replies, rules, verdict)))}


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str:
    """The gold answers contained in the reply. Args: see `Task.score`."""
    is_formula = sample.target["category"] == FORMULAS

    def plain(text: str) -> str:
        if rules.startswith("lmms-eval") and not is_formula:
            text = text.translate(_HALF_WIDTH)
        text = text.strip().replace("\n", " ")
        return text.replace(" ", "") if is_formula else text.lower()

    said = plain(replies[0])
    return " | ".join(answer for answer in sample.target["answers"] if plain(answer) in said)


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """Accuracy, the number of right answers, and their number in each of the five groups."""
    groups: dict[str, list[Scored]] = {"Text Recognition": []}
    for one in scored:
        category = one.sample.target["category"]
        groups.setdefault(category if category in OWN_GROUP else "Text Recognition", []).append(one)
    found = {"accuracy": mean_total(scored, "accuracy"), "final_score": _sum(scored)}
    return found | {name: replace(_sum(members), breakdown="category") for name, members in groups.items() if members}


def _sum(scored: Sequence[Scored]) -> Total:
    return mean_total(scored, "accuracy", scale=float(len(scored)))


TASK = Task(
    "ocrbench",
    (__doc__ or "").strip(),
    samples,
    score,
    totals,
    read=read,
    rules=(*VLMEVALKIT, "lmms-eval@0.7"),
    adapter_rules=ADAPTER_RULES,
    to_sample=to_sample,
)
