"""MME: 2374 yes/no questions, two about each of 1187 images, in 14 sub-tasks of perception and cognition.

Source: Hub lmms-lab-encoder/MME (split test), VLMEvalKit's MME.tsv, or the official text files
Licence: academic research only · Rows: 2374
Metric: accuracy + accuracy of whole images, summed over sub-tasks (2000 + 800) · Paper: arXiv 2306.13394
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from eval_tasks.readers.adapters import ask_open
from eval_tasks.readers.multiple_choice import VLMEVALKIT
from eval_tasks.readers.ovis2_prompts import OVIS2_RULES
from eval_tasks.readers.yes_no import ONE_WORD, read_yes_no
from eval_tasks.readers.yes_no_rows import YesNoRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import load_rows, require_cells
from eval_tasks.rows.predictions import read_predictions
from eval_tasks.rows.table_files import read_table
from eval_tasks.task import Prediction, Predictions, Row, Sample, Scored, Total, Unit
from eval_tasks.totals import grouped, unit_of, whole_units

HUB = HubRows("lmms-lab-encoder/MME", "test")
COGNITION = ("code_reasoning", "commonsense_reasoning", "numerical_calculation", "text_translation")
ASKED = " Please answer yes or no."
RULES = (*VLMEVALKIT, "lmms-eval@0.7", "official")


class MmeRows(YesNoRows):
    """The questions; both questions of an image are one group."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row. Raises: see `YesNoRows.to_sample`."""
        category = require_cells(row, ("category",), f"MME row {number}")[0]
        image = row.get("image_path") or require_cells(row, ("question_id",), f"MME row {number}")[0]
        named = {"index": f"{image}#{number}", **row, "group": f"{category}/{image}", "category": str(category)}
        return super().to_sample(named, rules, number, has_gold)

    def asked(self, row: Row, question: str, rules: str, num_images: int) -> str:
        """The prompt of a question by the rules of a harness."""
        if rules.startswith("lmms-eval"):
            return question.replace(ASKED, ONE_WORD)
        return question + ONE_WORD if rules in OVIS2_RULES else ask_open(question, "mme", rules)


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """The sum, perception, cognition, and each sub-task."""
    units, weights = _units(scored), {}
    for category in dict.fromkeys(one.sample.target["category"] for one in scored):
        weights[category] = {f"{category} questions": 100.0, f"{category} images": 100.0}
    found: dict[str, Total] = {"score": _part(units, weights, list(weights))}
    found["perception"] = _part(units, weights, [name for name in weights if name not in COGNITION])
    found["cognition"] = _part(units, weights, [name for name in weights if name in COGNITION])
    return found | {name: replace(_part(units, weights, [name]), breakdown="category") for name in weights}


def _units(scored: Sequence[Scored]) -> list[Unit]:
    units = [unit_of(one, "accuracy", f"{one.sample.target['category']} questions") for one in scored]
    for category, members in grouped(scored, lambda one: one.sample.target["category"]).items():
        units += whole_units(members, "accuracy", f"{category} images")
    return units


def _part(units: Sequence[Unit], weights: dict[str, dict[str, float]], categories: Sequence[str]) -> Total:
    chosen = {part: weight for category in categories for part, weight in weights[category].items()}
    return Total([unit for unit in units if unit.part in chosen], chosen)


def predictions(path: Path, data: str | None) -> Predictions:
    """Predictions of a table, of the official folder of text files, or of LLaVA with its gold in `data`."""
    if path.is_dir() and any(path.glob("*.txt")):
        return Predictions([Prediction(row, reply) for row, reply in read_folder(path)], rules="official")
    first = next(read_table(path)) if path.suffix == ".jsonl" else {}
    if "prompt" in first and "answer" not in first:
        return _with_gold(path, data)
    return read_predictions(path, data, verdicts="extracted")


def _with_gold(path: Path, data: str | None) -> Predictions:
    """Answers with `SUBTASK/.../IMAGE` and the question, which are the key of the gold."""
    if data is None:
        raise ValueError(f"{path} holds no gold answers; pass --data with MME's text files or table")
    place = Path(data)
    rows = (
        [row for row, _ in read_folder(place)]
        if place.is_dir()
        else list(load_rows(data, HUB, "MME", lambda row: False))
    )
    gold = {_key(str(row["category"]), str(row["image_path"]), str(row["question"])): row for row in rows}
    found = []
    for item in read_table(path):
        category, _, image = str(item["question_id"]).partition("/")
        key = _key(category, image, str(item["prompt"]))
        if key not in gold:
            raise ValueError(f"{path}: {item['question_id']!r}, {item['prompt']!r} is not in {data}")
        found.append(Prediction(gold[key], str(item["text"])))
    return Predictions(found, rules="official")


def _key(category: str, image: str, question: str) -> tuple[str, str, str]:
    words = question.split("\n")[0].replace(ASKED.strip(), "")
    return category, Path(image).stem, " ".join(words.split())


def read_folder(folder: Path) -> Iterator[tuple[Row, str]]:
    """Rows and replies of the official format: a text file per sub-task, tab-separated `image, question, gold, reply`.

    Raises:
        ValueError: a line doesn't have four fields.
    """
    for path in sorted(folder.glob("*.txt")):
        for number, line in enumerate(path.read_text(encoding="utf-8-sig").split("\n"), start=1):
            if not line.strip():
                continue
            cells = line.split("\t")
            if len(cells) != 4:
                raise ValueError(f"{path} line {number}: {len(cells)} fields, expected image, question, gold, reply")
            yield (
                {"question": cells[1], "answer": cells[2].strip(), "category": path.stem, "image_path": cells[0]},
                cells[3],
            )


ROWS = MmeRows(HUB, "MME", group="group", reader=read_yes_no, rules=RULES, task="mme")
TASK = replace(ROWS.task("mme", __doc__, predictions=predictions), totals=totals)
