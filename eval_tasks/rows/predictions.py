"""Read prediction files of other harnesses, to be scored by the same functions as our own runs.

Tables with prediction and gold in each row (VLMEvalKit's result files, lmms-eval's logs) are read here; the official
formats of a benchmark are read by its task.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from eval_tasks.rows.table_files import read_table, table_files
from eval_tasks.task import Prediction, Predictions, Row

REPLY_COLUMNS = (
    *("prediction", "response", "model_prediction", "pred", "predict", "text", "reply", "output", "model_answer"),
)
ALIASES = {"gt_answer": "answer", "ground_truth": "answer", "gold": "answer", "label": "answer", "gt": "answer"}
ALIASES |= {"answers": "answer", "prompt": "question", "l2-category": "l2_category", "q_id": "question_id"}
# Columns that identify a question, best first; HallusionBench's own file needs six of them.
GOLD_KEYS = (
    *(("index",), ("category", "subcategory", "visual_input", "set_id", "figure_id", "question_id")),
    *(("question_id",), ("id",), ("pid",)),
)
# Texts that pandas, and so VLMEvalKit, reads as an empty cell: such options and replies are lost there.
EMPTY_FOR_PANDAS = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN"}
    | {"<NA>", "N/A", "NA", "NULL", "NaN", "None", "n/a", "nan", "null"}
)
_IMAGE = re.compile(r"(decoded_)?image(_\d+)?", re.IGNORECASE)


def read_predictions(path: Path, data: str | None, verdicts: str | None = None) -> Predictions:
    """Rows with their replies from a table; gold answers it lacks are joined from `data` by key.

    Args:
        path: the file, or a folder with one table.
        data: the benchmark's own file, for gold answers.
        verdicts: column of stored judge verdicts, None for none.

    Raises:
        ValueError: no rows, no column of replies, or no gold.
    """
    rows = read_rows(path)
    if not rows:
        raise ValueError(f"{path}: no rows")
    columns = {name for row in rows for name in row}
    reply = next((name for name in REPLY_COLUMNS if name in columns), None)
    if reply is None:
        raise ValueError(f"{path}: no column of replies ({', '.join(REPLY_COLUMNS)}); it has {sorted(columns)}")
    letters = dict.fromkeys(name for name in columns if len(name) == 1 and name in ascii_uppercase)  # an empty option
    blank = "nan" if _is_for_pandas(table_files(path)[0]) else ""  # VLMEvalKit's text of an empty cell
    found: list[tuple[Row, str]] = [({**letters, **row}, str(row.get(reply, blank))) for row in rows]
    num_missing = 0
    if "answer" not in columns:
        if data is None:
            raise ValueError(f"{path} holds no gold answers; pass --data with the benchmark's own file")
        gold = read_rows(Path(data))
        found = list(join_gold(found, gold, path))
        num_missing = len(gold) - len(found)
    left_out = {"without gold": len(rows) - len(found)} if len(found) < len(rows) else {}
    left_out |= {"gold without a prediction": num_missing} if num_missing > 0 else {}
    said = (Prediction(row, text, row.get(verdicts) if verdicts else None) for row, text in found)
    return Predictions(list(said), left_out=left_out)


def read_rows(place: Path) -> list[Row]:
    """The rows of a table with normalized column names, without images."""
    return [_renamed(row) for file in table_files(place) for row in _cells(file)]


def _cells(path: Path) -> Iterator[dict[str, Any]]:
    """The rows without images and without cells that pandas reads as empty."""
    as_pandas = _is_for_pandas(path)
    for row in read_table(path):
        cells = _of_log(row)
        yield {
            name: cell
            for name, cell in cells.items()
            if not _IMAGE.fullmatch(name) and not (as_pandas and isinstance(cell, str) and cell in EMPTY_FOR_PANDAS)
        }


def _is_for_pandas(path: Path) -> bool:
    return path.suffix.lower() in (".xlsx", ".tsv", ".csv")


def _of_log(row: dict[str, Any]) -> dict[str, Any]:
    """A line of lmms-eval's samples log as a row: the benchmark's columns, the gold and the raw reply."""
    doc, said = row.get("doc"), row.get("resps", row.get("filtered_resps"))
    if not isinstance(doc, dict) or said is None:
        return row
    while isinstance(said, list):
        said = said[0] if said else ""
    return {"index": row.get("doc_id"), "answer": row.get("target"), **doc, "prediction": said}


def _renamed(row: Mapping[str, Any]) -> dict[str, Any]:
    """The row with normalized column names, which take precedence over aliases; letters A, B, ... are unchanged."""
    named = {name if len(name) == 1 else name.strip().lower(): cell for name, cell in row.items()}
    return {ALIASES[name]: cell for name, cell in named.items() if name in ALIASES} | {
        name: cell for name, cell in named.items() if name not in ALIASES
    }


def join_gold(found: Sequence[tuple[Row, str]], gold: Sequence[Row], path: Path) -> Iterator[tuple[Row, str]]:
    """Join each reply's row with the gold row of the same key.

    Raises:
        ValueError: the files have no common unique key, or none of the replies' keys is in the gold.
    """
    rows = [row for row, _ in found]
    pairs = [(names, names) for names in GOLD_KEYS]
    pairs += [(a, b) for a in GOLD_KEYS for b in GOLD_KEYS if a != b and len(a) == len(b) == 1]
    why = f"no column identifies questions in both files; expected one of {', '.join(key[0] for key in GOLD_KEYS)}"
    for said_names, gold_names in pairs:
        said_keys, gold_keys = _keys(rows, said_names), _keys(gold, gold_names)
        if said_keys is None or gold_keys is None or len(set(gold_keys)) < len(gold_keys):
            continue
        by_key = dict(zip(gold_keys, gold, strict=True))
        if any(key in by_key for key in said_keys):
            for key, (row, reply) in zip(said_keys, found, strict=True):
                if key in by_key:
                    yield {**row, **by_key[key]}, reply
            return
        why = f"none of its {'/'.join(said_names)} values is in the gold, for example {'/'.join(said_keys[0])!r}"
    raise ValueError(f"{path}: {why}")


def _keys(rows: Sequence[Row], names: tuple[str, ...]) -> list[tuple[str, ...]] | None:
    """The rows' keys in these columns, 7.0 as 7; None if a row lacks one."""
    if not all(name in row for row in rows for name in names):
        return None
    return [tuple(re.sub(r"\.0$", "", str(row[name]).strip()) for name in names) for row in rows]
