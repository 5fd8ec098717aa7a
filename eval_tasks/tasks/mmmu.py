"""MMMU: college questions of 30 subjects, multiple-choice or open, interleaved images; validation split.

Source: Hub lmms-lab-encoder/MMMU (split validation), or VLMEvalKit's MMMU_DEV_VAL.tsv
Licence: Apache-2.0 · Rows: 900
Metric: accuracy · Paper: arXiv 2311.16502

The rules `official` are those of MMMU's own eval_utils.py, which reads `(B)` and ` B `; lmms-eval's copy reads `B.` and
`xB ` too. Where both guess at random, nothing is read here.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from string import ascii_uppercase

from eval_tasks.readers.adapters import ADAPTER_RULES, ask_choice, to_dialogue
from eval_tasks.readers.mmmu_answer import FORMS, OWN_FORMS, is_open_right, read_choice, read_open
from eval_tasks.readers.multiple_choice import LETTER_DIRECTLY, VLMEVALKIT, options_of, read_letter, to_prompt
from eval_tasks.readers.ovis2_prompts import OVIS2_RULES, STEP_BY_STEP, asks_for_reasons, final_answer
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import (
    cells_to_hand_in,
    images_of,
    load_rows,
    require_cells,
    with_gold,
)
from eval_tasks.rows.predictions import read_predictions
from eval_tasks.rows.table_files import load_json, to_texts
from eval_tasks.task import Points, Prediction, Predictions, Row, Sample, Scored, Task, Total
from eval_tasks.totals import grouped, mean_total, totals_by

HUB = HubRows("lmms-lab-encoder/MMMU", "validation")
ONE_WORD = "\n\nAnswer the question using a single word or phrase."


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """The rows of the validation split, or all rows of a test split without answers."""
    split = ""
    rows = (row for row in load_rows(data, HUB, "MMMU") if not str(row.get("split", "validation")).startswith("dev"))
    for number, row, has_gold in with_gold(rows, "MMMU"):
        split = split or str(row.get("split", "validation"))[:3]
        if str(row.get("split", "validation")).startswith(split):
            yield to_sample(row, rules, number, has_gold)


def to_sample(row: Row, rules: str, number: int, has_gold: bool = True) -> Sample:
    """The sample of a row; an open question may have several gold answers."""
    place = f"MMMU row {number}"
    answer = require_cells(row, ("answer",), place)[0] if has_gold else ""
    golds = to_texts(answer, place)
    lettered = options_of(row, place)
    is_open = str(row.get("question_type", "multiple-choice" if lettered else "open")) != "multiple-choice"
    options = {} if is_open else lettered
    sample_id = str(row.get("id", row.get("index", number)))
    target = {
        "answers": golds,
        "options": options,
        "vlmevalkit": _as_choice(str(answer), lettered),
        "is_open": is_open,
        "split": str(row.get("split", "validation")),
        "category": row.get("category", row.get("field", row.get("subject"))),
    }
    text = _prompt(str(row.get("question", "(question not in the file)")), options, is_open, rules)
    dialogue = to_dialogue(sample_id, images_of(row, place), text, golds[0], "mmmu", rules)
    target |= {} if has_gold else {"row": cells_to_hand_in(row)}
    return Sample(dialogue, target, group=sample_id, has_gold=has_gold)


def _as_choice(answer: str, options: dict[str, str]) -> tuple[str, dict[str, str]]:
    """Gold and options as VLMEvalKit scores them; an open question gets its gold as option A."""
    if "A" in options:
        return answer, options
    made = options | {"A": answer, "B": "Other Answers"}
    return answer if len(answer) == 1 and answer in ascii_uppercase else "A", dict(sorted(made.items()))


def _prompt(question: str, options: dict[str, str], is_open: bool, rules: str) -> str:
    if rules in ADAPTER_RULES:
        return ask_choice(question, options, None, "mmmu", rules)
    if is_open and rules in ("lmms-eval@0.7", "official"):
        return question + ONE_WORD
    if is_open and rules in OVIS2_RULES:
        return question
    closing = STEP_BY_STEP if asks_for_reasons("mmmu", rules) else LETTER_DIRECTLY
    return to_prompt(question, options, None, rules, "{question}\n{options}\n" + LETTER_DIRECTLY, closing)


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
    """1 for the right letter or the right text. Args: see `Task.score`."""
    target, reply = sample.target, replies[0]
    if target["is_open"] and not rules.startswith("vlmevalkit"):
        return {"accuracy": float(is_open_right(read_open(reply), target["answers"]))}
    said = read(sample, replies, rules, verdict)
    golds = target["vlmevalkit"][:1] if rules.startswith("vlmevalkit") else target["answers"]
    return {"accuracy": None if said is None else float(said in golds)}


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
    """The letter in a reply, or the candidates of an open one. Args: see `Task.score`."""
    target, reply = sample.target, replies[0]
    if rules.startswith("vlmevalkit"):
        return read_letter(
            reply if target["is_open"] else final_answer(reply, "mmmu", rules), target["vlmevalkit"][1], rules
        )
    if target["is_open"]:
        return ", ".join(map(str, read_open(reply)))
    forms = OWN_FORMS if rules == "official" else FORMS
    return read_choice(reply, target["options"], forms) if target["options"] else reply


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """Accuracy of the validation split, of its subjects, and of other splits."""
    splits = grouped(scored, lambda one: one.sample.target["split"])
    main = splits.pop("validation", None) or next(iter(splits.values()))
    found = {"accuracy": mean_total(main, "accuracy")}
    found |= {f"split {name}": mean_total(members, "accuracy") for name, members in splits.items()}
    return found | totals_by([one for one in main if one.sample.target["category"]], "category")


def predictions(path: Path, data: str | None) -> Predictions:
    """A table; a folder of official `SUBJECT/output.json`; or official answers `{"validation_Art_1": "C"}`.

    Gold of the last comes from `data`, else from `answer_dict_val.json` next to the file or one folder up. A folder
    with such answers (`total_val_output.json`) is read from them: they include the official parser's random guesses,
    which ours never makes.
    """
    if path.is_dir():
        total = path / "total_val_output.json"
        if total.is_file():
            return _answers(total, data)
        outputs = sorted(path.glob("*/output.json"))
        if outputs:
            return Predictions([one for file in outputs for one in _raw(file, file.parent.name)], rules="official")
    if path.suffix == ".json":
        value = load_json(path)
        if isinstance(value, dict) and not any(isinstance(one, dict) for one in value.values()):
            return _answers(path, data)
        if isinstance(value, list) and value and "all_choices" in value[0]:
            return Predictions(list(_raw(path, path.parent.name)), rules="official")
    return read_predictions(path, data)


def _raw(path: Path, subject: str) -> Iterator[Prediction]:
    for item in load_json(path):
        row = {**item, "category": subject, "options": list((item.get("index2ans") or {}).values())}
        yield Prediction(row, str(item["response"]))


def _answers(path: Path, data: str | None) -> Predictions:
    places = [Path(data)] if data else [folder / "answer_dict_val.json" for folder in (path.parent, path.parent.parent)]
    gold_file = next((place for place in places if place.is_file()), None)
    if gold_file is None:
        raise ValueError(f"{path} holds no gold answers; pass --data answer_dict_val.json")
    golds = load_json(gold_file)
    found = []
    for name, said in load_json(path).items():
        if name not in golds:
            raise ValueError(f"{path}: {name!r} has no gold in {gold_file}")
        gold = golds[name]
        row = {"id": name, "answer": gold["ground_truth"], "question_type": gold["question_type"]}
        found.append(Prediction({**row, "category": "_".join(name.split("_")[1:-1])}, str(said)))
    return Predictions(found, rules="official")


TASK = Task(
    "mmmu",
    (__doc__ or "").strip(),
    samples,
    score,
    totals,
    read=read,
    rules=(*VLMEVALKIT, "lmms-eval@0.7", "official"),
    adapter_rules=ADAPTER_RULES,
    to_sample=to_sample,
    predictions=predictions,
)
