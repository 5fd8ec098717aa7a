"""PRISMM-Bench: inconsistencies in scientific papers, found, mended and matched; excerpts as text and images.

Source: Hub daluggas/PRISMM-Bench (split test)
Licence: see the Hub card · Rows: up to three questions for each row
Metric: accuracy over all questions, and by task · Paper: arXiv 2510.16505

Columns (parts, task_identification, task_remedy, task_pair_match), prompts and scorer: lmms-eval prismm_bench/utils.py
(0.7.2), in its focused setting; whole pages and documents, which render the PDF, aren't asked. Its system prompt is the
first line here.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from string import ascii_uppercase
from typing import Any

from eval_tasks.readers.table_rows import right_or_wrong
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import dialogue_of_parts, load_rows, require_cells
from eval_tasks.rows.table_files import image_bytes
from eval_tasks.task import Points, Row, Sample, Scored, Task, Total
from eval_tasks.totals import mean_total, totals_by
from mmcr_dataset.record.dialogue import DialogueImage

HUB = HubRows("daluggas/PRISMM-Bench", "test")
SYSTEM = "Answer with only the letter of the correct answer (A, B, C, or D), do not output anything else."
CLOSING = "\nOutput only a single letter corresponding to the correct answer. Do not output any explanation or text of "
CLOSING += "the question again."
INTRO = "You are provided with a part of a scientific paper:\n"
MATCH = "\nThe combination with one of the other parts within the same paper results in an inconsistency. Pick the "
MATCH += "letter of the correct answer option."
_NO_LETTER = "'\" )"


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """Every question of every row."""
    for number, row in enumerate(load_rows(data, HUB, "PRISMM-Bench", needs_image=lambda row: False)):
        yield from to_samples(row, number)


def to_samples(row: Row, number: int) -> Iterator[Sample]:
    """The questions of a row: identification, remedy, and the match of a pair where there is one.

    Raises:
        ValueError: a column is missing.
    """
    place = f"PRISMM-Bench row {number}"
    parts, *_ = require_cells(row, ("parts", "task_identification", "task_remedy"), place)
    parts = _columns(parts)
    shown = [one for one in parts.get("content_image") or [] if one is not None]
    images = [DialogueImage(image_bytes(one, place)) for one in shown]
    context = "\n\n".join(text for text in parts.get("content_text") or [] if text)
    numbers: list[str | int] = list(range(1, len(images) + 1))
    for task, with_letter in (("identification", False), ("remedy", True)):
        asked = row[f"task_{task}"]
        question, choices, answer = require_cells(asked, ("question", "choices", "answer"), f"{place} task_{task}")
        letters = _letters(asked, len(choices))
        listed = sorted(zip(letters, choices, strict=True), key=lambda pair: pair[0])
        lines = [f"{letter}) {choice}" if with_letter else str(choice) for letter, choice in listed]
        text = "\n".join([*([context] if context else []), str(question), *lines]) + CLOSING
        yield _sample(f"{number}-{task}", images, [f"{SYSTEM}\n", *numbers, text], answer, task)
    pair = row.get("task_pair_match") or {}
    if pair.get("is_available"):
        yield _pair(pair, number, place)


def _pair(pair: Mapping[str, Any], number: int, place: str) -> Sample:
    """The question which of several parts contradicts another one."""
    candidates, answer = require_cells(pair, ("candidates", "answer"), f"{place} task_pair_match")
    said: list[str | int] = [f"{SYSTEM}\n{INTRO}"]
    cells = []
    if pair.get("query_type") == "text":
        said.append(str(pair.get("query_text") or ""))
    elif pair.get("query_image") is not None:
        cells.append(pair["query_image"])
        said.append(1)
    said.append(f"{MATCH}\n")
    for letter, candidate in zip(_letters(pair, len(candidates)), candidates, strict=True):
        cells.append(candidate)
        said += [f"{letter}) ", len(cells), "\n"]
    images = [DialogueImage(image_bytes(one, f"{place} task_pair_match")) for one in cells]
    return _sample(f"{number}-pair_match", images, [*said, CLOSING], answer, "pair_match")


def _sample(
    sample_id: str, images: Sequence[DialogueImage], said: Sequence[str | int], answer: object, task: str
) -> Sample:
    gold = str(answer).strip().strip(_NO_LETTER).upper()
    dialogue = dialogue_of_parts(sample_id, images, said, gold)
    return Sample(dialogue, {"answer": gold, "task": task}, group=sample_id.partition("-")[0])


def _columns(parts: Any) -> dict[str, list[Any]]:  # noqa: ANN401  (a cell)
    """Parts as columns, whether they are a list of parts or columns already."""
    if isinstance(parts, Mapping):
        return dict(parts)
    return {name: [one.get(name) for one in parts] for name in ("content_image", "content_text")}


def _letters(asked: Mapping[str, Any], num: int) -> list[str]:
    letters = list(asked.get("letters") or [])
    return letters if len(letters) == num else list(ascii_uppercase[:num])


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
    """1 if the reply is the letter or starts with it. Args: see `Task.score`."""
    return right_or_wrong(sample, read(sample, replies, rules, verdict))


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
    """The first character. Args: see `Task.score`."""
    return replies[0].strip().upper()[:1] or None


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """Accuracy over all questions, and by task."""
    return {"accuracy": mean_total(scored, "accuracy"), **totals_by(scored, "task")}


TASK = Task("prismm_bench", (__doc__ or "").strip(), samples, score, totals, read=read, rules=("lmms-eval@0.7",))
