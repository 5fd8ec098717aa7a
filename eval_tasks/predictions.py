"""Other people's predictions as samples with replies: scored by the same functions as our own runs.

A table whose rows hold the question's gold beside the prediction (VLMEvalKit's result files and their like) is read
here; official formats of a benchmark are read by its task.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from eval_tasks.run_folder import to_record
from eval_tasks.scoring import to_entry
from eval_tasks.table_files import read_table, table_files
from eval_tasks.task import Prediction, Predictions, Row, Scored, Task

REPLY_COLUMNS = ("prediction", "response", "model_prediction", "pred", "text", "reply", "output", "model_answer")
ALIASES = {"gt_answer": "answer", "ground_truth": "answer", "gold": "answer", "label": "answer", "gt": "answer"}
ALIASES |= {"prompt": "question", "l2-category": "l2_category"}
GOLD_KEYS = ("index", "question_id", "id", "pid")  # columns that name a question, best first
# Texts that pandas, and with it VLMEvalKit, reads as an empty cell: options and replies of these words are lost there.
EMPTY_FOR_PANDAS = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"}
    | {"<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)


def read_predictions(path: Path, data: str | None) -> Predictions:
    """Rows with their replies from a table; what has no gold gets it from `data`, row by row by their key.

    Raises:
        ValueError: no column of replies, or no gold.
    """
    rows = [_renamed(row) for file in table_files(path) for row in _cells(file)]
    if not rows:
        raise ValueError(f"{path}: no rows")
    columns = {name for row in rows for name in row}
    reply = next((name for name in REPLY_COLUMNS if name in columns), None)
    if reply is None:
        raise ValueError(f"{path}: no column of replies ({', '.join(REPLY_COLUMNS)}); it has {sorted(columns)}")
    found: list[tuple[Row, str]] = [(row, str(row.get(reply, ""))) for row in rows]
    if "answer" not in columns:
        if data is None:
            raise ValueError(f"{path} holds no gold answers; pass --data with the benchmark's own file")
        found = list(
            join_gold(found, [_renamed(row) for file in table_files(Path(data)) for row in _cells(file)], path)
        )
    left_out = {"without gold": len(rows) - len(found)} if len(found) < len(rows) else {}
    return Predictions([Prediction(row, said, row.get("score")) for row, said in found], left_out=left_out)


def _cells(path: Path) -> Iterator[dict[str, Any]]:
    as_pandas = path.suffix.lower() in (".xlsx", ".tsv", ".csv")
    for row in read_table(path):
        yield {name: cell for name, cell in row.items() if not (as_pandas and cell in EMPTY_FOR_PANDAS)}


def _renamed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with columns in our names; letters A, B, ... stay as they are."""
    named: dict[str, Any] = {}
    for name, cell in row.items():
        plain = name if len(name) == 1 else name.strip().lower()
        named[ALIASES.get(plain, plain)] = cell
    return named


def join_gold(found: Iterable[tuple[Row, str]], gold: Iterable[Row], path: Path) -> Iterator[tuple[Row, str]]:
    """Each reply's row filled from the gold row of the same key.

    Raises:
        ValueError: the files share no key, or a reply's question isn't in the gold.
    """
    said, known = list(found), list(gold)
    for name in GOLD_KEYS:
        if all(name in row for row, _ in said) and all(name in row for row in known):
            break
    else:
        raise ValueError(f"{path}: no column names a question in both files; expected one of {GOLD_KEYS}")
    by_key = {str(row[name]): row for row in known}
    for row, reply in said:
        if str(row[name]) in by_key:
            yield {**row, **by_key[str(row[name])]}, reply
    missing = [str(row[name]) for row, _ in said if str(row[name]) not in by_key]
    if len(missing) == len(said):
        raise ValueError(f"{path}: none of its {name} values is in the gold, for example {missing[0]!r}")


def score_predictions(
    task: Task, path: Path, rules: str | None, data: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The task's entry of results.json and the records, for a file of predictions.

    Raises:
        ValueError: the file isn't of a known form, or the task can't score predictions.
    """
    if task.to_sample is None:
        raise ValueError(f"task {task.name} can't score files of predictions: its replies need its judge and history")
    if not path.exists():
        raise ValueError(f"--predictions {path}: no such file or folder")
    read: Callable[[Path, str | None], Predictions] = task.predictions or read_predictions
    predictions = read(path, data)
    chosen = task.check_rules(rules or predictions.rules)
    scored: list[Scored] = []
    seen: set[str] = set()
    for number, (row, reply, verdict) in enumerate(predictions.rows):
        sample = task.to_sample(row, chosen, number)
        if sample.dialogue.id in seen:
            raise ValueError(f"{path}, row {number}: the id {sample.dialogue.id!r} is there twice")
        seen.add(sample.dialogue.id)
        scored.append(Scored(sample, (reply,), task.score(sample, [reply], chosen, verdict)))
    judged = sum(one.verdict is not None for one in predictions.rows)
    judge = {"name": f"stored in the file ({judged})" if judged else "none", "spec": "offline"}
    entry = to_entry(task, scored, chosen, judge) | {"left_out": dict(predictions.left_out)}
    return entry, [to_record(task.name, one) for one in scored]
