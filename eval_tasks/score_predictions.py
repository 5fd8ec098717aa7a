"""Score a prediction file of another harness with the functions that score our own runs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from eval_tasks.rows.label_versions import label_version, labels_read
from eval_tasks.rows.predictions import read_predictions
from eval_tasks.scoring import score_samples, to_entry, without_judge
from eval_tasks.store.run_folder import to_record
from eval_tasks.task import Predictions, Scored, Task
from mmcr_dataset.endpoint.thoughts import split_thoughts


def score_predictions(
    task: Task, path: Path, rules: str | None, data: str | None, judge: str = "offline", ledger_path: Path | None = None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The task's entry of results.json and the records, for a file of predictions.

    Args:
        task: the task.
        path: the file or folder.
        rules: scoring rules, None for the default of the file's format.
        data: the benchmark's own file, if the predictions have no gold.
        judge: a `--judge` value, for replies without a stored verdict that rules can't parse.
        ledger_path: SQLite file that stores paid judgements.

    Raises:
        ValueError: the file has an unknown format, or the task can't score predictions.
    """
    with labels_read() as read:
        entry, records = _score(task, path, rules, data, judge, ledger_path)
    return {**entry, "labels": label_version(read, records)}, records


def _score(
    task: Task, path: Path, rules: str | None, data: str | None, judge: str, ledger_path: Path | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Entry and records of a file of predictions."""
    if task.answered is not None and path.exists():
        return _score_dialogues(task, path, task.check_rules(rules), data)
    if task.to_sample is None and task.answered is None:
        raise ValueError(f"task {task.name} can't score prediction files: its replies need its judge and history")
    if not path.exists():
        raise ValueError(f"--predictions {path}: no such file or folder")
    assert task.to_sample is not None
    read: Callable[[Path, str | None], Predictions] = task.predictions or read_predictions
    predictions = read(path, data)
    chosen = task.check_rules(rules or predictions.rules)
    scored: list[Scored] = []
    seen: set[str] = set()
    for number, (row, reply, verdict) in enumerate(predictions.rows):
        sample = task.to_sample(row, chosen, number)
        if sample.dialogue.id in seen:
            raise ValueError(f"{path}, row {number}: the id {sample.dialogue.id!r} occurs twice")
        seen.add(sample.dialogue.id)
        split = split_thoughts(reply)
        one = Scored(sample, (split.answer,), thoughts={"1": split.thoughts} if split.thoughts else {})
        scored.append(task.scored(one, chosen, verdict) if sample.has_gold else one)
    stored = sum(one.verdict is not None for one in predictions.rows)
    judged_by: dict[str, Any] = {"name": f"stored in the file ({stored})" if stored else "none", "spec": "offline"}
    if judge != "offline" and ledger_path is not None:
        open_ones = [place for place, one in enumerate(predictions.rows) if one.verdict is None]
        judged, judged_by = score_samples(task, [scored[place] for place in open_ones], chosen, judge, ledger_path)
        for place, one in zip(open_ones, judged, strict=True):
            scored[place] = one
    else:
        scored = [without_judge(task, one) for one in scored]
    entry = to_entry(task, scored, chosen, judged_by) | {"left_out": dict(predictions.left_out)}
    return entry, [to_record(task.name, one) for one in scored]


def _score_dialogues(
    task: Task, path: Path, rules: str, data: str | None
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Entry and records for a file with the replies to all turns of dialogues."""
    assert task.answered is not None
    answered, left_out = task.answered(path, data, rules)
    scored, judged_by = score_samples(task, answered, rules, "offline", path)  # rules alone: no ledger is opened
    entry = to_entry(task, scored, rules, judged_by) | {"left_out": dict(left_out)}
    return entry, [to_record(task.name, one) for one in scored]
