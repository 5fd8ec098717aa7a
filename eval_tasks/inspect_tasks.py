"""Our benchmarks as tasks of inspect_ai: `inspect eval eval_tasks/inspect_tasks.py -T name=mmstar -T data=MMStar.tsv`.

Prompts, history and scores are the same; models, rate limits, retries and the log viewer are inspect's. Install with
`pip install -e '.[inspect]'`. The functions under inspect's decorators take no arguments, since it would log them.
"""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from inspect_ai import Task as InspectTask
from inspect_ai import task as inspect_task
from inspect_ai.dataset import MemoryDataset
from inspect_ai.dataset import Sample as InspectSample
from inspect_ai.model import ChatMessage, ChatMessageAssistant, ChatMessageUser, Content, ContentImage, ContentText
from inspect_ai.scorer import Metric, SampleScore, Score, Scorer, Target, metric, scorer
from inspect_ai.solver import Generate, Solver, TaskState, solver

from eval_tasks.registry import choose_tasks, find_tasks, load_task
from eval_tasks.scoring import score_samples
from eval_tasks.task import Failure, Sample, Scored, Task
from mmcr_dataset.record.images import to_data_url
from mmcr_dataset.record.messages import Message, to_messages


@inspect_task  # type: ignore[untyped-decorator]  # inspect_ai need not be installed
def benchmark(
    name: str, data: str | None = None, rules: str | None = None, judge: str = "offline", limit: int | None = None
) -> InspectTask:
    """One of our benchmarks as an inspect_ai task.

    Args:
        name: a name of `python -m eval_tasks --list`.
        data: folder, file or Hub id of its data, None for the default.
        rules: scoring rules, None for the benchmark's default.
        judge: `offline` or `api:URL#NAME`; its paid replies are stored in eval_runs/inspect_judge.sqlite3.
        limit: number of first samples, None for all.
    """
    found = find_tasks()
    ours = load_task(found[choose_tasks(name, list(found))[0]])
    chosen = ours.check_rules(rules)
    samples = {one.dialogue.id: one for one in itertools.islice(ours.samples(data, chosen), limit)}
    asked = [
        InspectSample(input=[*_given(one)], target=one.dialogue.turns[-1].assistant, id=name)
        for name, one in samples.items()
    ]
    return InspectTask(
        dataset=MemoryDataset(asked, name=name),
        solver=ask_turns(samples),
        scorer=points(ours, samples, chosen, judge),
        name=name,
        version=ours.version,
    )


def _to_inspect(message: Message) -> ChatMessage:
    if message["role"] == "assistant":
        return ChatMessageAssistant(content=message["content"][0]["text"])
    blocks: list[Content] = [
        ContentImage(image=to_data_url(block["image"].data)) if "image" in block else ContentText(text=block["text"])
        for block in message["content"]
    ]
    return ChatMessageUser(content=blocks)


def _given(sample: Sample) -> list[ChatMessage]:
    """The given turns with their answers, and the first question to the model."""
    given = sample.dialogue.references[: sample.num_given_turns]
    return [_to_inspect(message) for message in to_messages(sample.dialogue, given)]


def ask_turns(samples: Mapping[str, Sample]) -> Solver:
    """Solver: ask turn by turn, with the model's own replies in the history."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:
        sample = samples[str(state.sample_id)]
        replies: list[str] = []
        for index in range(sample.num_given_turns, len(sample.dialogue.turns)):
            if index > sample.num_given_turns:
                given = sample.dialogue.references[:index]
                state.messages.append(_to_inspect(to_messages(sample.dialogue, given)[-1]))
            state = await generate(state)
            replies.append(state.output.completion)
        state.metadata["replies"] = replies
        return state

    @solver(name="ask_turns")  # type: ignore[untyped-decorator]  # as above
    def of_samples() -> Solver:
        return solve

    return of_samples()


def totals(task: Task, samples: Mapping[str, Sample], rules: str) -> Metric:
    """Metric: the benchmark's totals."""

    def show(scores: list[SampleScore]) -> dict[str, float]:
        scored = [_scored(samples[str(one.sample_id)], one.score.metadata or {}) for one in scores]
        return {name: total.value for name, total in task.totals(scored, rules).items()}

    @metric(name="totals")  # type: ignore[untyped-decorator]  # as above
    def of_task() -> Metric:
        return show

    return of_task()


def _scored(sample: Sample, kept: Mapping[str, Any]) -> Scored:
    unjudged = kept.get("unjudged")
    return Scored(
        sample, tuple(kept.get("replies", ())), kept.get("points", {}), unjudged=unjudged and Failure(*unjudged)
    )


def points(task: Task, samples: Mapping[str, Sample], rules: str, judge: str) -> Scorer:
    """Scorer: the benchmark's points of the replies; samples are judged one at a time.

    Args:
        task: the benchmark.
        samples: its samples by id.
        rules: scoring rules.
        judge: a `--judge` value.
    """
    ledger_path, one_at_a_time = Path("eval_runs") / "inspect_judge.sqlite3", asyncio.Lock()

    @scorer(metrics=[totals(task, samples, rules)], name=task.name)  # type: ignore[untyped-decorator]  # as above
    def of_task() -> Scorer:
        async def score(state: TaskState, target: Target) -> Score:
            replies = tuple(state.metadata["replies"])
            asked = [Scored(samples[str(state.sample_id)], replies)]
            async with one_at_a_time:
                scored, _ = await asyncio.to_thread(score_samples, task, asked, rules, judge, ledger_path)
            found = scored[0]
            kept = {"replies": replies, "points": dict(found.points), "unjudged": found.unjudged}
            first = next(iter(found.points.values()), None)
            return Score(value=first or 0.0, answer=replies[-1], metadata=kept)

        return score

    return of_task()
