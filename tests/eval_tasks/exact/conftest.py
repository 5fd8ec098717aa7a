"""A small set of the controlled world, and models that answer its samples by a function."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from eval_tasks.registry import find_tasks, load_task
from eval_tasks.task import Sample, Scored, Task
from mmcr_bench.exact.build import build_exact
from mmcr_bench.exact.settings import ExactSettings

Answer = Callable[[Sample, int, Sequence[str]], str]  # sample, turn from 0, answers before it -> reply
RULES = "exact@1"


@pytest.fixture(scope="session")
def exact_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("exact") / "mmcr-exact"
    build_exact(folder, ExactSettings(num_dialogues=24, style="plain", seed=5))
    return folder


@pytest.fixture(scope="session")
def task() -> Task:
    return load_task(find_tasks()["mmcr_exact"])


@pytest.fixture(scope="session")
def exact_samples(task: Task, exact_folder: Path) -> list[Sample]:
    return list(task.samples(str(exact_folder), RULES))


def answered(sample: Sample, answer: Answer) -> Scored:
    """The sample with the replies of a model that is a function."""
    history = list(sample.dialogue.references[: sample.num_given_turns])
    for turn in range(sample.num_given_turns, len(sample.dialogue.turns)):
        history.append(answer(sample, turn, history))
    return Scored(sample, tuple(history[sample.num_given_turns :]))


def values(task: Task, samples: Sequence[Sample], answer: Answer) -> dict[str, float]:
    """The totals of a model that is a function."""
    scored = [task.scored(answered(sample, answer), RULES) for sample in samples]
    return {name: total.value for name, total in task.totals(scored, RULES).items()}


def reference(sample: Sample, turn: int, history: Sequence[str]) -> str:
    """A model that is always right."""
    return sample.dialogue.turns[turn].assistant


def images_until(sample: Sample, turn: int) -> tuple[str, ...]:
    """Hashes of the images that have been shown."""
    shown = [number for one in sample.dialogue.turns[: turn + 1] for number in one.introduces]
    return tuple(sample.dialogue.images[number - 1].sha256 for number in shown)
