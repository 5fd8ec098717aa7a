"""MathVista testmini: 1000 questions with a chosen, whole, decimal or listed answer.

Source: Hub AI4Math/MathVista (split testmini), or VLMEvalKit's MathVista_MINI.tsv
Licence: CC BY-SA 4.0 · Rows: 1000
Metric: accuracy of the answer extracted from the reply · Paper: arXiv 2310.02255
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from string import ascii_uppercase

from eval_tasks.readers.adapters import SHORT_WORDS, ask_open
from eval_tasks.readers.judged_answer import fence_reply
from eval_tasks.readers.math_answer import is_plain_answer, normal_answer, read_answer
from eval_tasks.readers.multiple_choice import VLMEVALKIT
from eval_tasks.readers.ovis2_prompts import STEP_BY_STEP, asks_for_reasons, final_answer
from eval_tasks.readers.table_rows import TableRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.rows.predictions import join_gold, read_predictions, read_rows
from eval_tasks.rows.table_files import load_json, to_texts
from eval_tasks.task import Points, Prediction, Predictions, Row, Sample, Scored, Total
from eval_tasks.totals import mean_total, totals_by

HUB = HubRows("AI4Math/MathVista", "testmini")


class VistaRows(TableRows):
    """The rows; the image is `decoded_image` on the Hub, where `image` is a path."""

    id_columns = ("pid", "index")

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row. Raises: ValueError, a column is missing."""
        place = f"MathVista row {number}"
        (question,) = require_cells(row, ("query" if "query" in row else "question",), place)
        answer = str(require_cells(row, ("answer",), place)[0]) if has_gold else ""
        choices = to_texts(row.get("choices"), place)
        task = row.get("task", (row.get("metadata") or {}).get("task"))
        target = {
            "answer": answer,
            "choices": choices,
            "answer_option": row.get("answer_option") or _letter(answer, choices),
            "question_type": row.get("question_type", "multi_choice" if choices else "free_form"),
            "answer_type": row.get("answer_type", "text"),
            "precision": row.get("precision"),
        }
        image = row.get("decoded_image", row.get("image"))
        is_path = isinstance(image, str) and "/" in image[:12]  # of a prediction file
        shown = {**row, "task": task, "image": [] if is_path else image}
        return self.make(shown, rules, number, question, target, answer, has_gold)

    def asked(self, row: Row, question: str, rules: str, num_images: int) -> str:
        """The prompt of a question by the rules of a harness."""
        return ask_open(question, "mathvista", rules) + (STEP_BY_STEP if asks_for_reasons("mathvista", rules) else "")

    def score(self, sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
        """1 for the gold answer, extracted by the judge or else by rules. Args: see `Task.score`."""
        target, said = sample.target, read(sample, replies, rules, verdict)
        if rules.startswith("vlmevalkit"):
            gold = target["answer_option"] if target["question_type"] == "multi_choice" else target["answer"]
            if said is None:
                return {"accuracy": None if verdict is None else 0.0}
            same = said == gold if target["question_type"] == "multi_choice" else float(said) == float(gold)
            return {"accuracy": float(same)}
        if verdict is None and not is_plain_answer(replies[0], target):
            return {"accuracy": None}
        return {"accuracy": float(said == target["answer"])}

    def totals(self, scored: Sequence[Scored], rules: str) -> dict[str, Total]:
        """Accuracy, and accuracy by kind of task."""
        return {"accuracy": mean_total(scored, "accuracy")} | totals_by(
            [one for one in scored if one.sample.target["task"]], "task"
        )


def _letter(answer: str, choices: Sequence[str]) -> str | None:
    return ascii_uppercase[choices.index(answer)] if answer in choices else None


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
    """The answer in the gold's format, from the judge's extraction or from the reply. Args: see `Task.score`."""
    if rules.startswith("vlmevalkit"):
        text = final_answer(replies[0], "mathvista", rules) if verdict is None else str(verdict)
        return read_answer(text, sample.target, rules)
    if verdict is None and not is_plain_answer(replies[0], sample.target):
        return None
    return normal_answer(str(verdict or replies[0]), sample.target, rules)


def to_judge(sample: Sample, replies: Sequence[str], rules: str) -> str:
    """The judge's prompt: extract the final answer of a reply, in the format the question asks for."""
    question = sample.dialogue.turns[0].human_text.removesuffix(STEP_BY_STEP).removesuffix(SHORT_WORDS)
    said = fence_reply(final_answer(replies[0], "mathvista", rules))
    return (
        "Copy the final answer out of a reply to a question, written as the question's hint asks for it: a letter of "
        "the choices, a number, or a list. Add nothing. Say None if the reply gives no answer.\n\n"
        f"Question:\n{question}\n\n{said}\n\nThe answer:"
    )


def predictions(path: Path, data: str | None) -> Predictions:
    """A table, or the official results `{"1": {"query": ..., "response": ..., "extraction": ...}}`, or a list of them.

    Missing gold answers are joined from `data`; results without an extraction are parsed by rules.

    Raises:
        ValueError: there are no gold answers.
    """
    value = load_json(path) if path.suffix == ".json" else None
    items = value
    if isinstance(value, dict) and all(isinstance(one, dict) for one in value.values()):
        items = [{"pid": name, **one} for name, one in value.items()]
    if not isinstance(items, list) or not items or not {"extraction", "response"} & set(items[0]):
        return read_predictions(path, data, verdicts="res")
    found: list[tuple[Row, str]] = [(one, str(one.get("response", ""))) for one in items]
    if not all("answer" in one for one in items):
        if data is None:
            raise ValueError(f"{path} holds no gold answers; pass --data with MathVista's own file")
        found = list(join_gold(found, read_rows(Path(data)), path))
    left_out = {"without gold": len(items) - len(found)} if len(found) < len(items) else {}
    rows = [Prediction(row, said, (row["extraction"] or "") if "extraction" in row else None) for row, said in found]
    return Predictions(rows, rules="official", left_out=left_out)


ROWS = VistaRows(HUB, "MathVista", level="task", rules=(*VLMEVALKIT, "lmms-eval@0.7", "official"), task="mathvista")
JUDGED = {"judge": "chat", "to_judge": to_judge, "read": read}
TASK = ROWS.task("mathvista", __doc__, **JUDGED, predictions=predictions)
