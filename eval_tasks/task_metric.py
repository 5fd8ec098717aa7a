"""Replies and rows through a benchmark's scorer, for the `evaluate` metric in metrics/."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from eval_tasks.task import Scored, Task
from mmcr_bench.judge.judge import word_f1
from mmcr_bench.judge.judgement import OVERLAP
from mmcr_dataset.endpoint.thoughts import split_thoughts


def totals_of(
    task: Task, config_name: str | None, predictions: Sequence[str], references: Sequence[Mapping[str, Any]]
) -> dict[str, float]:
    """The benchmark's totals, and the number of replies that couldn't be parsed.

    Args:
        task: the benchmark.
        config_name: scoring rules, the configuration of `evaluate.load`; `default` or None for the default.
        predictions: one reply per row.
        references: the rows, with the benchmark's columns.

    Raises:
        ValueError: the rules are unknown, or a row lacks a column.
    """
    if task.to_sample is None:
        raise ValueError(f"task {task.name} can't score rows of replies: it needs its judge and the history")
    rules = task.check_rules(None if config_name in (None, "default") else config_name)
    scored = []
    for number, (reply, row) in enumerate(zip(predictions, references, strict=True)):
        sample = task.to_sample(row, rules, number)
        scored.append(task.scored(Scored(sample, (split_thoughts(reply).answer,)), rules))
    if not task.is_read_by_rules:
        raise ValueError(f"task {task.name}: only a judge can score its replies; use python -m eval_tasks --judge ...")
    totals = {name: total.value for name, total in task.totals(scored, rules).items()}
    return {**totals, "num_unread": float(sum(one.is_unread for one in scored))}


def overlap_of(predictions: Sequence[Sequence[str]], references: Sequence[Sequence[str]]) -> dict[str, float]:
    """Word F1 of each reply with its reference, mean over the turns of a dialogue, then over the dialogues.

    Args:
        predictions: the replies of each dialogue, one per turn.
        references: the references of each dialogue.

    Raises:
        ValueError: a dialogue has another number of replies than of references.
    """
    means = []
    for number, (replies, expected) in enumerate(zip(predictions, references, strict=True)):
        if not expected or len(replies) != len(expected):
            raise ValueError(
                f"dialogue {number}: {len(replies)} replies for {len(expected)} references; pass one per turn"
            )
        means.append(sum(map(word_f1, replies, expected)) / len(expected))
    return {OVERLAP: 100 * sum(means) / len(means)}
