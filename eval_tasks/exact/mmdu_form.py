"""MMCR-Exact for other harnesses: a table in the multi-turn form of VLMEvalKit's MMDU, and what comes back.

Such a harness asks turn by turn with the model's own replies in the history, so the table has the linked, the resolved
and the alone tellings; questions after the true answers, and so pairs, can't be asked with it.
"""

from __future__ import annotations

import base64
import csv
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from eval_tasks.exact.totals import ALONE, OWN, RESOLVED
from eval_tasks.rows.table_files import read_table, table_files, to_list
from eval_tasks.task import Failure, Sample, Scored
from mmcr_dataset.record.dialogue import Turn

MARK = "<ImageHere>"  # where the next image stands
KINDS = (OWN, RESOLVED, ALONE)
COLUMNS = ("index", "question", "answer", "image")
FAILED = "Failed to obtain answer via API."  # what VLMEvalKit stores instead of a reply
_REPLY = re.compile(r"prediction_(\d+)")


def write_table(samples: Iterable[Sample], out: Path) -> int:
    """Write the tab-separated table; returns its number of rows.

    Args:
        samples: samples of the task; those with a given history are left out.
        out: the .tsv file.
    """
    num_rows = 0
    with out.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, delimiter="\t")
        writer.writerow(COLUMNS)
        for sample in samples:
            if sample.target["kind"] in KINDS:
                writer.writerow(_to_row(sample))
                num_rows += 1
    return num_rows


def _to_row(sample: Sample) -> list[str]:
    dialogue = sample.dialogue
    images = [base64.b64encode(image.data).decode("ascii") for image in dialogue.images]
    questions = [_to_question(turn) for turn in dialogue.turns]
    return [dialogue.id, *(json.dumps(cell) for cell in (questions, dialogue.references, images))]


def _to_question(turn: Turn) -> str:
    return "".join(block if isinstance(block, str) else MARK for block in turn.human)


def read_replies(path: Path, samples: Sequence[Sample]) -> tuple[list[Scored], dict[str, int]]:
    """The samples with the replies of a prediction file, and how many rows and samples are left out.

    Args:
        path: a table with `index` and `prediction_0`, `prediction_1`, ... or a list in `prediction`.
        samples: samples of the task.

    Raises:
        ValueError: the file has no such columns, a dialogue twice, or none of the samples.
    """
    known = {sample.dialogue.id: sample for sample in samples if sample.target["kind"] in KINDS}
    found: dict[str, Scored] = {}
    left_out: Counter[str] = Counter()
    for file in table_files(path):
        for number, row in enumerate(read_table(file), start=1):
            name = str(row.get("index"))
            if name in found:
                raise ValueError(f"{file} row {number}: the index {name!r} occurs twice")
            if name not in known:
                left_out["rows not in the data"] += 1
                continue
            found[name] = _to_scored(known[name], _cells(row, len(known[name].dialogue.turns), f"{file} row {number}"))
    if not found:
        raise ValueError(f"{path}: no index is the id of a dialogue, such as {next(iter(known), 'none')!r}; see --data")
    left_out["dialogues not in the file"] = len(known) - len(found)
    return list(found.values()), {reason: count for reason, count in left_out.items() if count}


def _cells(row: Mapping[str, Any], num_turns: int, place: str) -> list[str]:
    """The reply of each turn, empty where there is none."""
    numbered = {int(match[1]): str(cell) for name, cell in row.items() if (match := _REPLY.fullmatch(name))}
    if not numbered and "prediction" not in row:
        raise ValueError(f"{place}: no column prediction_0 or prediction; it has {', '.join(sorted(row))}")
    if not numbered:
        numbered = {turn: str(cell) for turn, cell in enumerate(to_list(row["prediction"], place))}
    replies = [numbered.get(turn, "") for turn in range(num_turns)]
    return ["" if reply.strip() == FAILED else reply for reply in replies]


def _to_scored(sample: Sample, replies: Sequence[str]) -> Scored:
    """A dialogue whose replies are all missing has failed; one missing reply is wrong like one that can't be read."""
    if any(replies):
        return Scored(sample, tuple(replies))
    return Scored(sample, (), failure=Failure("no_reply", "the file has no reply to any turn"))
