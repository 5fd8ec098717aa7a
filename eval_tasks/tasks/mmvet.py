"""MM-Vet: 218 open questions, graded 0..1 by a chat model.

Source: VLMEvalKit's MMVet.tsv, or Hub lmms-lab-encoder/MMVet (split test)
Licence: CC BY-NC 4.0 · Rows: 218
Metric: mean grade, and that of each of six capabilities · Paper: arXiv 2308.02490
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from eval_tasks.readers.adapters import ask_open
from eval_tasks.readers.judged_answer import fence_reply
from eval_tasks.readers.multiple_choice import VLMEVALKIT
from eval_tasks.readers.ovis2_prompts import CAREFULLY, asks_for_reasons
from eval_tasks.readers.table_rows import TableRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.rows.predictions import read_predictions
from eval_tasks.rows.table_files import load_json, read_table, table_files
from eval_tasks.task import Points, Prediction, Predictions, Row, Sample, Scored, Total
from eval_tasks.totals import mean_total

HUB = HubRows("lmms-lab-encoder/MMVet", "test")
REASON_FIRST = (
    "First please perform reasoning, and think step by step to provide best answer to the following question: \n\n"
)
CAPABILITIES = ("rec", "ocr", "know", "gen", "spat", "math")


class VetRows(TableRows):
    """The rows; `<AND>` and `<OR>` join the parts of a gold answer."""

    id_columns = ("index", "question_id")

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row. Raises: ValueError, a column is missing."""
        question, answer = map(str, require_cells(row, ("question", "answer"), f"MM-Vet row {number}"))
        category = row.get("category", row.get("capability", ""))
        named = category.split(",") if isinstance(category, str) else list(category)
        capabilities = [name.strip() for name in named if name]
        target = {"question": question, "answer": answer, "capabilities": capabilities}
        return self.make(row, rules, number, question, target, answer, has_gold)

    def asked(self, row: Row, question: str, rules: str, num_images: int) -> str:
        """The prompt of a question by the rules of a harness."""
        text = (REASON_FIRST if rules.startswith("lmms-eval") else "") + ask_open(question, "mmvet", rules)
        return text + (CAREFULLY if asks_for_reasons("mmvet", rules) else "")

    def score(self, sample: Sample, replies: Sequence[str], rules: str, verdict: Any) -> Points:  # noqa: ANN401
        """The judge's grade, the mean of several. Args: see `Task.score`."""
        grades = _grades(verdict)
        return {"grade": sum(grades) / len(grades) if grades else None}

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """The mean grade, in total and by required capability."""
        found = {"score": mean_total(scored, "grade")}
        for name in CAPABILITIES:
            members = [one for one in scored if name in one.sample.target["capabilities"]]
            if members:
                found[name] = replace(mean_total(members, "grade"), breakdown="capability")
        return found


def read_grade(verdict: object) -> float | None:
    """The grade in the judge's reply, None if it isn't a number from 0 to 1."""
    try:
        grade = float(str(verdict).strip().split()[0]) if str(verdict).strip() else -1.0
    except ValueError:
        return None
    return grade if 0 <= grade <= 1 else None


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: Any) -> str | None:  # noqa: ANN401
    """The judge's grades. Args: see `Task.score`."""
    return ", ".join(f"{grade:g}" for grade in _grades(verdict)) or None


def _grades(verdict: Any) -> list[float]:  # noqa: ANN401
    given = verdict if isinstance(verdict, list) else [verdict]
    return [grade for grade in map(read_grade, given) if grade is not None]


_EXAMPLES = (
    ("What is x in the equation?", "-1 <AND> -5", "x = 3", "0.0"),
    ("What is x in the equation?", "-1 <AND> -5", "x = -1", "0.5"),
    ("What is x in the equation?", "-1 <AND> -5", "x = -5 or x = -1", "1.0"),
    ("What is x in the equation?", "-1 <OR> -5", "x = -1", "1.0"),
)


def to_judge(sample: Sample, replies: Sequence[str], rules: str) -> str:
    """The judge's few-shot prompt for the grade of a reply (as the official one: arXiv 2308.02490, table 1)."""
    target = sample.target
    gold = target["answer"].replace("<AND>", " <AND> ").replace("<OR>", " <OR> ")
    shown = "\n".join(f"{question} | {right} | {said} | {grade}" for question, right, said, grade in _EXAMPLES)
    return (
        "Grade how right a reply to a question is, from 0.0 (wrong) to 1.0 (right), in steps of 0.1. The true answer "
        "may ask for all of its parts (<AND>) or for any of them (<OR>). Say the number and nothing else.\n\n"
        f"Question | True answer | Reply | Grade\n{shown}\n\n"
        f"Question: {target['question']}\nTrue answer: {gold}\n{fence_reply(replies[0])}\n\nThe grade:"
    )


def predictions(path: Path, data: str | None) -> Predictions:
    """A graded table, the official grades `{"v1_0": {"score": [...]}}`, or answers `{"v1_0": "..."}`.

    Questions and capabilities of the latter two come from `data`, else from a table next to the file; `v1_k` is index
    k + 1 of the table. Grades without a table only have a mean grade.

    Raises:
        ValueError: there is no table for answers, or it lacks one of them.
    """
    value = load_json(path) if path.suffix == ".json" else None
    if not isinstance(value, dict) or not all(isinstance(one, str) or "score" in one for one in value.values()):
        return read_predictions(path, data, verdicts="score")
    tables = (file for file in sorted(path.parent.glob("*MMVet.*")) if file.suffix in (".xlsx", ".tsv"))
    place = Path(data) if data else next(tables, None)
    if place is None and not any(isinstance(one, str) for one in value.values()):
        unknown = "(question not in the file)"
        rows = [{"index": name, "question": unknown, "answer": unknown} for name in value]
        graded = [Prediction(row, "", value[row["index"]]["score"]) for row in rows]
        return Predictions(graded, rules="official", left_out={"capabilities, as no --data names them": len(rows)})
    if place is None:
        raise ValueError(f"{path} holds answers without questions; pass --data with MM-Vet's own table")
    known = {str(row["index"]): row for file in table_files(place) for row in read_table(file) if "index" in row}
    found = []
    for name, one in value.items():
        number = name.removeprefix("v1_")
        index = str(int(number) + 1) if number.isdigit() else ""
        if index not in known:
            raise ValueError(f"{path}: {name!r} is not in {place}, which has {len(known)} questions")
        row = {column: cell for column, cell in known[index].items() if column not in ("image", "score")}
        found.append(Prediction(row, one, None) if isinstance(one, str) else Prediction(row, "", one["score"]))
    return Predictions(found, rules="official")


ROWS = VetRows(HUB, "MMVet", level="", rules=(*VLMEVALKIT, "lmms-eval@0.7", "official"), task="mmvet")
JUDGED = {"judge": "chat", "to_judge": to_judge, "read": read, "is_read_by_rules": False}
TASK = ROWS.task("mmvet", __doc__, **JUDGED, predictions=predictions)
