"""HallusionBench: yes/no questions about images that mislead, the 951 that have an image.

Source: VLMEvalKit's HallusionBench.tsv, or Hub lmms-lab-encoder/HallusionBench (split image)
Licence: BSD-3-Clause · Rows: 951 (346 figures, 455 questions)
Metric: mean of accuracy by question (aAcc), whole figures (fAcc) and whole questions (qAcc) · Paper: arXiv 2310.14566
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

from eval_tasks.readers.adapters import ask_open
from eval_tasks.readers.multiple_choice import VLMEVALKIT
from eval_tasks.readers.ovis2_prompts import OVIS2_RULES, YES_OR_NO
from eval_tasks.readers.yes_no import ONE_WORD, read_yes_no
from eval_tasks.readers.yes_no_rows import YesNoRows
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import load_rows, require_cells
from eval_tasks.rows.predictions import read_predictions
from eval_tasks.rows.row_images import has_no_image
from eval_tasks.task import Predictions, Row, Sample, Scored, Total, Unit
from eval_tasks.totals import by_target, unit_of, whole_units

HUB = HubRows("lmms-lab-encoder/HallusionBench", "image", columns=(("answer", "gt_answer"),))
INDEX = ("category", "subcategory", "visual_input", "set_id", "figure_id", "question_id")
PARTS = ("aAcc", "fAcc", "qAcc")


class HallusionRows(YesNoRows):
    """The questions that have an image."""

    def to_sample(self, row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
        """The sample of a row; the gold is Yes or No, or 1 or 0 as in the official file.

        Raises:
            ValueError: a column is missing, or index or gold are malformed.
        """
        place, name = f"HallusionBench row {number}", row.get("index")
        if name is None:
            name = "_".join(map(str, require_cells(row, INDEX, place)))
        cells = str(name).split("_")
        if len(cells) != len(INDEX):
            raise ValueError(f"{place}: index {name!r}, expected CATEGORY_SUB_INPUT_SET_FIGURE_QUESTION")
        category, sub, _, set_id, figure, question_id = cells
        named = {**row, "index": name, "category": category, "group": f"{category}_{sub}/{set_id}"}
        sample = super().to_sample(named, rules, number, has_gold)
        of = {"sub": f"{category}_{sub}", "figure": f"{set_id}/{figure}", "question": f"{set_id}/{question_id}"}
        return replace(sample, target={**sample.target, **of})

    def asked(self, row: Row, question: str, rules: str, num_images: int) -> str:
        """The prompt of a question by the rules of a harness."""
        closing = (YES_OR_NO if rules.endswith(":34B") else "") + (ONE_WORD if rules in OVIS2_RULES else "")
        return ask_open(question, "hallusion_bench", rules) + closing


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """The mean of the three accuracies, and each of them, in total and by category."""
    units = _units(scored)
    found = {"average": Total(units, dict.fromkeys(PARTS, 100 / 3))}
    found |= {part: Total([unit for unit in units if unit.part == part], {part: 100.0}) for part in PARTS}
    for field in ("category", "sub"):
        for name in dict.fromkeys(one.sample.target[field] for one in scored):
            of = _units([one for one in scored if one.sample.target[field] == name])
            found |= {
                f"{name} {part}": Total([unit for unit in of if unit.part == part], {part: 100.0}, breakdown=field)
                for part in PARTS
            }
    return found


def _units(scored: Sequence[Scored]) -> list[Unit]:
    units = [unit_of(one, "accuracy", "aAcc") for one in scored]
    for part, field in (("fAcc", "figure"), ("qAcc", "question")):
        units += whole_units(scored, "accuracy", part, by_target("sub", field))
    return units


def predictions(path: Path, data: str | None) -> Predictions:
    """Predictions of a table, or of the official JSON with its gold in `data`; without text-only questions."""
    found = read_predictions(path, data, verdicts="extracted")
    rows = [one for one in found.rows if not has_no_image(one.row)]
    num_without = len(found.rows) - len(rows)
    return Predictions(rows, left_out={**found.left_out, **({"without an image": num_without} if num_without else {})})


def load(data: str | None) -> Iterator[Row]:
    """The rows that have an image."""
    return (row for row in load_rows(data, HUB, "HallusionBench") if not has_no_image(row))


ROWS = HallusionRows(HUB, "", group="group", reader=read_yes_no, rules=VLMEVALKIT, load=load, task="hallusion_bench")
TASK = replace(ROWS.task("hallusion_bench", __doc__, predictions=predictions), totals=totals)
