"""Points of the replies to a dialogue of MMCR-Exact, turn by turn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from eval_tasks.readers.exact_answer import read_exact_answer
from eval_tasks.task import Points, Sample, Scored
from mmcr_bench.exact.exact_set import from_json, solve_from


def read_answers(sample: Sample, replies: Sequence[str]) -> list[int | None]:
    """The answer that each reply states, None where it can't be read."""
    target, asked = sample.target, sample.target["turns"][sample.num_given_turns :]
    return [
        read_exact_answer(reply, one["type"], target["domain"], target["side"])
        for reply, one in zip(replies, asked, strict=False)
    ]


def points_of(sample: Sample, replies: Sequence[str]) -> Points:
    """The points of the replies.

    Args:
        sample: the sample; its target is the item's line of `exact.jsonl`.
        replies: to the first asked turns, or to all.

    Returns:
        `turn N`: 1 or 0, None where no answer could be read; `follows N`, only where the answer that follows from the
        model's own earlier replies is not the true one: whether the reply is that one.
    """
    item = from_json({name: value for name, value in sample.target.items() if name != "kind"}, sample.dialogue)
    given, answers = sample.num_given_turns, read_answers(sample, replies)
    known: list[int | None] = [asked.answer for asked in item.turns[:given]]
    known += answers
    following = solve_from(item, known + [None] * (len(item.turns) - len(known)))
    points: dict[str, float | None] = {}
    for turn, answer in enumerate(answers, start=given):
        true, follows = item.turns[turn].answer, following[turn]
        points[f"turn {turn + 1}"] = None if answer is None else float(answer == true)
        if follows is not None and follows != true:
            points[f"follows {turn + 1}"] = float(answer == follows)
    return points


def with_points(one: Scored) -> Scored:
    """The sample; if it failed at a turn, with the points of the turns before."""
    if one.failure is None or not one.replies:
        return one
    return replace(one, points=points_of(one.sample, one.replies))
