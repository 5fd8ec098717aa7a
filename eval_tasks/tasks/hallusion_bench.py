"""HallusionBench: yes/no questions about images that mislead, the 951 that have an image.

Source: VLMEvalKit's HallusionBench.tsv, or Hub lmms-lab-encoder/HallusionBench (split image)
Licence: BSD-3-Clause · Rows: 951 (346 figures, 455 questions)
Metric: mean of accuracy by question (aAcc), whole figures (fAcc) and whole questions (qAcc) · Paper: arXiv 2310.14566
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from eval_tasks.readers.adapters import ADAPTER_RULES, ask_open, to_dialogue
from eval_tasks.readers.multiple_choice import VLMEVALKIT
from eval_tasks.readers.ovis2_prompts import OVIS2_RULES, YES_OR_NO
from eval_tasks.readers.yes_no import ONE_WORD, yes_no_of, yes_no_to_judge
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import images_of, load_rows, require_cells
from eval_tasks.rows.predictions import read_predictions
from eval_tasks.task import Points, Predictions, Row, Sample, Scored, Task, Total, Unit
from eval_tasks.totals import unit_of, whole_unit

HUB = HubRows("lmms-lab-encoder/HallusionBench", "image")
PARTS = ("aAcc", "fAcc", "qAcc")


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """The questions that have an image."""
    for number, row in enumerate(load_rows(data, HUB, "HallusionBench")):
        if str(row.get("visual_input", "1")) != "0":
            yield to_sample(row, rules, number)


def to_sample(row: Row, rules: str, number: int) -> Sample:
    """The sample of a row; the gold is Yes or No, or 1 or 0 as in the official file.

    Raises:
        ValueError: a column is missing, or index or gold are malformed.
    """
    place = f"HallusionBench row {number}"
    name = row.get("index")
    if name is None:
        parts = require_cells(
            row, ("category", "subcategory", "visual_input", "set_id", "figure_id", "question_id"), place
        )
        name = "_".join(map(str, parts))
    cells = str(name).split("_")
    if len(cells) != 6:
        raise ValueError(f"{place}: index {name!r}, expected CATEGORY_SUB_INPUT_SET_FIGURE_QUESTION")
    question, answer = require_cells(row, ("question", "answer" if "answer" in row else "gt_answer"), place)
    gold = {"1": "yes", "0": "no"}.get(str(answer), str(answer).lower())
    if gold not in ("yes", "no"):
        raise ValueError(f"{place}: the answer is {answer!r}, expected Yes or No")
    category, sub, _, set_id, figure, question_id = cells
    target = {"answer": gold, "category": category, "sub": f"{category}_{sub}"}
    target |= {"figure": f"{set_id}/{figure}", "question": f"{set_id}/{question_id}"}
    text = (
        ask_open(str(question), "hallusion_bench", rules)
        + (YES_OR_NO if rules.endswith(":34B") else "")
        + (ONE_WORD if rules in OVIS2_RULES else "")
    )
    dialogue = to_dialogue(str(name), images_of(row, place), text, gold, "hallusion_bench", rules)
    return Sample(dialogue, target, group=f"{category}_{sub}/{set_id}")


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
    """1 for the right answer. Args: see `Task.score`."""
    said = yes_no_of(sample, replies, rules, verdict)
    return {"accuracy": None if said is None else float(said == sample.target["answer"])}


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
        whole: dict[tuple[str, str], list[Scored]] = {}
        for one in scored:
            whole.setdefault((one.sample.target["sub"], one.sample.target[field]), []).append(one)
        units += [whole_unit(members, "accuracy", part) for members in whole.values()]
    return units


def predictions(path: Path, data: str | None) -> Predictions:
    """Predictions of a table, or of the official JSON with its gold in `data`; without text-only questions."""
    found = read_predictions(path, data, verdicts="extracted")
    rows = [one for one in found.rows if str(one.row.get("visual_input", "1")) != "0"]
    num_without = len(found.rows) - len(rows)
    return Predictions(rows, left_out={**found.left_out, **({"without an image": num_without} if num_without else {})})


TASK = Task(
    "hallusion_bench",
    (__doc__ or "").strip(),
    samples,
    score,
    totals,
    judge="chat",
    to_judge=yes_no_to_judge,
    read=yes_no_of,
    rules=VLMEVALKIT,
    adapter_rules=ADAPTER_RULES,
    to_sample=to_sample,
    predictions=predictions,
)
