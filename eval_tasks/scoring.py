"""Records of asked samples to points and totals, with the judge where a task has one. Asks no model under test.

A record is a line of samples.jsonl (`run_folder.to_record`); scoring fills its `points` and `unjudged`.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from eval_tasks.judged_answer import ChatJudge
from eval_tasks.run_folder import finite, from_record
from eval_tasks.task import Failure, Scored, Task
from eval_tasks.totals import interval_of
from mmcr_bench.canaries import CANARIES, NoCanaries, check_judge
from mmcr_bench.judge import open_judge, show_cost
from mmcr_dataset.schema import Dialogue

SEED = 0  # of all resampling
NUM_CANARY_DIALOGUES = 10  # of the bench, from which replies of known worth are made


def score_samples(
    task: Task, answered: Sequence[Scored], rules: str, judge: str, ledger_path: Path
) -> tuple[list[Scored], dict[str, Any]]:
    """Points for every sample that has replies, and the description of who judged."""
    if task.judge == "bench":
        return _judged_by_bench(task, answered, rules, judge, ledger_path)
    if task.judge == "chat" and judge != "offline":
        return _judged_by_chat(task, answered, rules, judge, ledger_path)
    scored = [
        one if one.failure else replace(one, points=task.score(one.sample, one.replies, rules, None))
        for one in answered
    ]
    return scored, {"name": "none", "spec": judge}


def _judged_by_bench(
    task: Task, answered: Sequence[Scored], rules: str, judge: str, ledger_path: Path
) -> tuple[list[Scored], dict[str, Any]]:
    judging = open_judge(judge, ledger_path)
    asked = [one for one in answered if one.failure is None]
    dialogues, replies = [one.sample.dialogue for one in asked], [one.replies for one in asked]
    _tell(show_cost(judging, dialogues, replies))
    judgements = iter(judging.score(dialogues, replies))
    scored: list[Scored] = []
    for one in answered:
        if one.failure is not None:
            scored.append(one)
            continue
        judgement = next(judgements)
        if judgement.scores is None:
            unjudged = Failure(judgement.reason or "no_verdict", str(judgement.detail.get("reply", ""))[:500])
            scored.append(replace(one, unjudged=unjudged))
        else:
            scored.append(replace(one, points=task.score(one.sample, one.replies, rules, judgement)))
    return scored, {**judging.describe(), "name": judging.name, "spec": judge}


def check_fitness(dialogues: Sequence[Dialogue], judge: str, ledger_path: Path) -> dict[str, Any]:
    """Whether the bench's judge passes its canaries, made from the first dialogues; paid once, by the ledger.

    Returns:
        `fit` is None where no canary was judged: `why_not_run` says why.
    """
    judging, first = open_judge(judge, ledger_path), dialogues[:NUM_CANARY_DIALOGUES]
    _tell(show_cost(judging, first, [dialogue.references for dialogue in first], len(CANARIES)))
    try:
        fitness = check_judge(judging, first)
    except NoCanaries as error:
        return {"fit": None, "failed": [], "why_not_run": str(error)}
    failed = [result.name for result in fitness.results if not result.passed]
    return {"fit": fitness.is_fit, "failed": failed, "results": [asdict(result) for result in fitness.results]}


def _tell(cost: str) -> None:
    """What is about to be paid, on the channel that holds no results."""
    if cost:
        print(cost, file=sys.stderr, flush=True)


def _judged_by_chat(
    task: Task, answered: Sequence[Scored], rules: str, judge: str, ledger_path: Path
) -> tuple[list[Scored], dict[str, Any]]:
    """Points where the chat model is asked only what can't be read without it."""
    judging = ChatJudge(judge, ledger_path)
    scored = list(answered)
    prompts: dict[int, str] = {}
    for number, one in enumerate(answered):
        if one.failure is not None:
            continue
        scored[number] = replace(one, points=task.score(one.sample, one.replies, rules, None))
        prompt = task.to_judge(one.sample, one.replies, rules) if scored[number].is_unread else None
        if prompt is not None:
            prompts[number] = prompt

    def is_read(number: int, verdict: str) -> bool:
        points = task.score(answered[number].sample, answered[number].replies, rules, verdict)
        return all(value is not None for value in points.values())

    for number, verdict in judging.ask(prompts, is_read).items():
        one = answered[number]
        if isinstance(verdict, Failure):
            scored[number] = replace(one, unjudged=verdict)
        else:
            scored[number] = replace(one, points=task.score(one.sample, one.replies, rules, verdict))
    return scored, {**judging.describe(prompts), "name": judging.name, "spec": judge}


def score_records(
    task: Task, records: Sequence[dict[str, Any]], rules: str, judge: str, ledger_path: Path
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """The records with their points, and the task's entry of results.json."""
    cleared = [replace(from_record(record), points={}, unjudged=None) for record in records]
    scored, judged_by = score_samples(task, cleared, rules, judge, ledger_path)
    filled = [
        {**record, "points": dict(one.points), "unjudged": one.unjudged and one.unjudged._asdict()}
        for record, one in zip(records, scored, strict=True)
    ]
    entry = to_entry(task, scored, rules, judged_by)
    if task.judge == "bench":
        entry["canaries"] = check_fitness([one.sample.dialogue for one in scored], judge, ledger_path)
    return filled, entry


def to_entry(task: Task, scored: Sequence[Scored], rules: str, judged_by: dict[str, Any]) -> dict[str, Any]:
    """A task's entry of results.json: totals with intervals, and what was not answered, read or judged."""
    totals: dict[str, Any] = {}
    for metric, total in task.totals(scored, rules).items():
        interval = interval_of(total, seed=SEED)
        totals[metric] = {"value": total.value, "low": finite(interval.low), "high": finite(interval.high)}
    return {
        "version": task.version,
        "source": task.source,
        "rules": rules,
        "judge": judged_by,
        "num_samples": len(scored),
        "num_groups": len({one.sample.group for one in scored}),
        "num_unread": sum(one.is_unread for one in scored),
        "failures": dict(Counter(one.failure.reason for one in scored if one.failure)),
        "unjudged": dict(Counter(one.unjudged.reason for one in scored if one.unjudged)),
        "totals": totals,
    }
