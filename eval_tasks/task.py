"""The contract of a benchmark: what is asked (`Sample`), what came of it (`Scored`), and how it is told (`Task`).

A file in tasks/ that holds `TASK` is a task. Its functions are pure: rows to samples, a reply to points, points to
totals. Everything else (asking, resuming, judging, intervals, reports) is done once, for all tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from mmcr_dataset.record.dialogue import Dialogue

Row = Mapping[str, Any]  # one row of a benchmark's table, columns named as VLMEvalKit names them
Points = Mapping[str, float | None]  # metric -> points, 0..1 or the judge's scale; None: the reply couldn't be read

DEFAULT_RULES = "vlmevalkit@2025-03"  # what the paper scored with


class Failure(NamedTuple):
    """Why something has no answer: a short name for counting, and the rest."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One thing to ask.

    Attributes:
        dialogue: what is asked, turn by turn; its id is the sample's id.
        target: what scoring needs, as a JSON value.
        group: samples that belong together (one image, one topic) and are drawn together for intervals.
        num_given_turns: so many first turns are not asked; their references stand in the history (VisDial).
    """

    dialogue: Dialogue
    target: Any
    group: str
    num_given_turns: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """A sample with its replies and what they are worth.

    Attributes:
        sample: what was asked.
        replies: one a turn that was asked.
        points: metric -> points; empty where there is no reply or no judgement.
        failure: why the model gave no reply; counts as zero points.
        unjudged: why the judge gave no judgement; left out of the totals and counted.
        judged: what the judge said and who that was, as a JSON value; empty where none was asked.
        reading: what was read of the reply or the verdict, in words; None where nothing can be.
    """

    sample: Sample
    replies: tuple[str, ...]
    points: Points = field(default_factory=dict)
    failure: Failure | None = None
    unjudged: Failure | None = None
    judged: Mapping[str, Any] = field(default_factory=dict)
    reading: str | None = None

    @property
    def is_unread(self) -> bool:
        """True if a reply is there and a metric couldn't be read from it."""
        return any(value is None for value in self.points.values())


class Unit(NamedTuple):
    """One thing that has points: a question, an image with both its questions, a circular group."""

    group: str
    points: float
    part: str = ""


@dataclass(frozen=True)
class Total:
    """`sum over parts of weight x mean points of the part's units`.

    Attributes:
        units: what has points.
        weights: part -> weight; the only part weighs 100 where none are named.
    """

    units: Sequence[Unit]
    weights: Mapping[str, float] = field(default_factory=lambda: {"": 100.0})

    @property
    def value(self) -> float:
        """The number itself; 0.0 without units."""
        value = 0.0
        for part, weight in self.weights.items():
            points = [unit.points for unit in self.units if unit.part == part]
            value += weight * float(np.mean(points)) if points else 0.0
        return value


class Prediction(NamedTuple):
    """Somebody's reply to a row, with the judge's verdict where one is stored with it."""

    row: Row
    reply: str
    verdict: Any = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """A file of predictions.

    Attributes:
        rows: those to score.
        rules: the rules its format is meant for, None if it doesn't say.
        left_out: why rows of the file are not scored -> how many.
    """

    rows: Sequence[Prediction]
    rules: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)


def _nothing_to_judge(sample: Sample, replies: Sequence[str], rules: str) -> str | None:
    return None


def _nothing_to_show(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark.

    Attributes:
        name: the file's name, the name on the command line, the key in results.
        source: data set, licence, rows, metric, paper; one line each.
        samples: (data, rules) -> what to ask; data is a folder, a file or a Hub id, None takes the task's own.
        score: (sample, replies, rules, verdict) -> points; verdict is what the judge said, None if it wasn't asked, and
            number -> what it said where `to_judge` gives several prompts; then any of them may be missing.
        totals: (scored, rules) -> metric -> total; the first metric is the one the paper prints.
        judge: who judges: nobody, the judge of mmcr_bench, or a chat model that answers `to_judge`.
        to_judge: (sample, replies, rules) -> what the chat model is asked, None where reading needs no judge; several
            prompts where it judges turn by turn.
        read: (sample, replies, rules, verdict) -> what `score` reads there, for people who look at a sample.
        max_judge_tokens: length limit of one of the chat model's verdicts.
        rules: names of the scoring rules this task knows.
        version: raised when the same reply would get other points.
        to_sample: (row, rules, number) -> the sample of a row; None: the task can't score files of predictions.
        predictions: (path, data) -> other people's predictions; None: a table with gold and reply in each row.
    """

    name: str
    source: str
    samples: Callable[[str | None, str], Iterable[Sample]]
    score: Callable[[Sample, Sequence[str], str, Any], Points]
    totals: Callable[[Sequence[Scored], str], dict[str, Total]]
    judge: Literal["bench", "chat"] | None = None
    to_judge: Callable[[Sample, Sequence[str], str], str | list[str] | None] = _nothing_to_judge
    read: Callable[[Sample, Sequence[str], str, Any], str | None] = _nothing_to_show
    max_judge_tokens: int = 128
    rules: tuple[str, ...] = (DEFAULT_RULES,)
    version: int = 1
    to_sample: Callable[[Row, str, int], Sample] | None = None
    predictions: Callable[[Path, str | None], Predictions] | None = None

    def scored(self, one: Scored, rules: str, verdict: Any = None) -> Scored:  # noqa: ANN401  (as `score` takes it)
        """The sample with its points and its reading."""
        points = self.score(one.sample, one.replies, rules, verdict)
        return replace(one, points=points, reading=self.read(one.sample, one.replies, rules, verdict))

    def check_rules(self, rules: str | None) -> str:
        """The rules to use: those named, or the default.

        Raises:
            ValueError: the task doesn't know them.
        """
        chosen = rules or (DEFAULT_RULES if DEFAULT_RULES in self.rules else self.rules[0])
        if chosen not in self.rules:
            raise ValueError(f"task {self.name} has no rules {chosen!r}; it knows {', '.join(self.rules)}")
        return chosen
