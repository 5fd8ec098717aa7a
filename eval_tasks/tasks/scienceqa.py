"""ScienceQA: multiple-choice school questions, the part with images.

Source: VLMEvalKit's ScienceQA_{TEST,VAL}.tsv, or Hub lmms-lab-encoder/ScienceQA (config ScienceQA-IMG, split test)
Licence: CC BY-NC-SA 4.0 · Rows: 2017 (test), 2097 (val)
Metric: accuracy · Paper: arXiv 2209.09513
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from eval_tasks.readers.lmms_letters import read_lone_letter
from eval_tasks.readers.multiple_choice import LETTER_DIRECTLY, VLMEVALKIT, ChoiceRows, choice_task
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.predictions import read_predictions
from eval_tasks.rows.table_files import load_json
from eval_tasks.task import Prediction, Predictions, Scored, Total
from eval_tasks.totals import mean_total

ROWS = ChoiceRows(
    HubRows("lmms-lab-encoder/ScienceQA", "test", config="ScienceQA-IMG"),
    levels=("subject", "category"),
    stem="ScienceQA",
    lmms_form="Context: {hint}\n{question}\n{options}" + LETTER_DIRECTLY,
    lmms_read=read_lone_letter,
)


def predictions(path: Path, data: str | None) -> Predictions:
    """A table, or LLaVA's output: `{"correct": [...], "incorrect": [...]}` of all 4241 questions.

    The subject is `with image` or `text only`, so that the totals include both numbers that LLaVA reports.
    """
    value = load_json(path) if path.suffix == ".json" else None
    if not isinstance(value, dict) or "correct" not in value or "incorrect" not in value:
        return read_predictions(path, data)
    found = []
    for item in [*value["correct"], *value["incorrect"]]:
        row = {
            "question": item["question"].replace("<image>\n", ""),
            "answer": item["ground_truth"],
            "index": item["question_id"],
            "subject": "with image" if item["is_multimodal"] else "text only",
            "options": re.findall(r"^[A-Z]\. (.*)$", item["question"], re.MULTILINE),
        }
        found.append(Prediction(row, str(item["pred"])))
    return Predictions(found, rules="llava")


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """Accuracy of the questions with an image, and by subject; `all` if there are text-only questions."""
    with_image = [one for one in scored if one.sample.target["subject"] != "text only"]
    if len(with_image) == len(scored):
        return ROWS.totals(scored, rules)
    return {"accuracy": mean_total(with_image, "accuracy"), "all": mean_total(scored, "accuracy")}


TASK = replace(
    choice_task("scienceqa", __doc__, ROWS, (*VLMEVALKIT, "lmms-eval@0.7", "llava"), predictions), totals=totals
)
