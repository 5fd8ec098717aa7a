"""The interface of a benchmark: `Sample` (a question), `Scored` (its reply with points), `Task` (the benchmark).

A file in tasks/ with a `TASK` is a task. Its functions are pure: rows to samples, a reply to points, points to totals.
Everything else (asking, resuming, judging, intervals, reports) is shared by all tasks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np

from mmcr_dataset.record.dialogue import Dialogue

Row = Mapping[str, Any]  # one row of a benchmark's table, columns named as VLMEvalKit names them
Points = Mapping[str, float | None]  # metric -> points, 0..1 or the judge's scale; None: the reply couldn't be parsed

DEFAULT_RULES = "vlmevalkit@2025-03"  # as in the paper


class Failure(NamedTuple):
    """Reason of a missing reply or judgement: a short error code for counting, and details."""

    reason: str
    detail: str


@dataclass(frozen=True, slots=True)
class Sample:
    """One question or dialogue of a benchmark.

    Attributes:
        dialogue: the questions, turn by turn; its id is the sample's id.
        target: input of the scoring (gold answers, categories), as a JSON value.
        group: cluster of the bootstrap: samples of one image or one topic.
        num_given_turns: number of first turns that are not asked; their references are in the history (VisDial).
        has_gold: False for a split without gold answers: it is answered, not scored, and written to be handed in.
    """

    dialogue: Dialogue
    target: Any
    group: str
    num_given_turns: int = 0
    has_gold: bool = True


@dataclass(frozen=True, slots=True)
class Scored:
    """A sample with its replies and their points.

    Attributes:
        sample: the sample.
        replies: one per asked turn.
        points: metric -> points; empty without a reply or judgement.
        failure: reason of a missing reply; counts as zero points.
        unjudged: reason of a missing judgement; counts as zero points.
        judged: the judge's reply and model, as a JSON value; empty without a judge.
        reading: the answer parsed from the reply or the verdict; None if there is none.
        truncated: turns whose reply ends at the token limit, from 1; they are scored like any other.
        thoughts: turn -> what the model thought aloud before its reply, which is kept out of scores and history.
        repeat: number of the answer, from 0, if each sample is answered several times.
    """

    sample: Sample
    replies: tuple[str, ...]
    points: Points = field(default_factory=dict)
    failure: Failure | None = None
    unjudged: Failure | None = None
    judged: Mapping[str, Any] = field(default_factory=dict)
    reading: str | None = None
    truncated: tuple[int, ...] = ()
    thoughts: Mapping[str, str] = field(default_factory=dict)
    repeat: int = 0

    @property
    def is_unread(self) -> bool:
        """True if there is a reply but a metric couldn't be parsed from it."""
        return any(value is None for value in self.points.values())

    @property
    def is_lost(self) -> bool:
        """True without a reply or without a judgement: counts as wrong, though nobody knows."""
        return self.failure is not None or self.unjudged is not None


class Unit(NamedTuple):
    """One scored unit: a question, an image with both its questions, a circular group.

    Attributes:
        group: its cluster.
        points: its points, 0 if it is lost.
        part: part of the total that it belongs to.
        is_lost: its points are 0 because a reply or a judgement is missing.
        size: its share of the total's denominator; other than 1 for ratios of sums, such as F1.
    """

    group: str
    points: float
    part: str = ""
    is_lost: bool = False
    size: float = 1.0


@dataclass(frozen=True)
class Total:
    """`sum over parts of weight x mean points of the part's units`.

    Attributes:
        units: the scored units, lost ones included.
        weights: part -> weight; by default a single part with weight 100.
        max_points: highest points of a unit.
        breakdown: field whose value selects the units (`domain`), empty for a total over all samples.
    """

    units: Sequence[Unit]
    weights: Mapping[str, float] = field(default_factory=lambda: {"": 100.0})
    max_points: float = 1.0
    breakdown: str = ""

    @property
    def value(self) -> float:
        """The total; 0.0 without units, see `is_known`."""
        value = 0.0
        for part, weight in self.weights.items():
            units = [unit for unit in self.units if unit.part == part]
            size = float(np.mean([unit.size for unit in units])) if units else 0.0
            value += weight * float(np.mean([unit.points for unit in units])) / size if size else 0.0
        return value

    @property
    def is_known(self) -> bool:
        """False if every unit is lost, so that the value says nothing about the model."""
        return not all(unit.is_lost for unit in self.units)

    @property
    def num_lost(self) -> int:
        """Number of lost units."""
        return sum(unit.is_lost for unit in self.units)

    @property
    def judged_only(self) -> Total:
        """The total over the units that are not lost."""
        return replace(self, units=[unit for unit in self.units if not unit.is_lost])

    @property
    def highest(self) -> float:
        """Upper end of the scale."""
        return sum(self.weights.values()) * max([self.max_points, *(unit.points for unit in self.units)])

    @property
    def lowest(self) -> float:
        """Lower end of the scale: 0, unless a benchmark takes points away."""
        return sum(self.weights.values()) * min([0.0, *(unit.points for unit in self.units)])


class Prediction(NamedTuple):
    """The reply to a row in a prediction file, with the judge's verdict if one is stored."""

    row: Row
    reply: str
    verdict: Any = None


@dataclass(frozen=True, slots=True)
class Predictions:
    """Content of a prediction file.

    Attributes:
        rows: predictions to score.
        rules: scoring rules implied by its format, None if unknown.
        left_out: reason -> number of rows that are not scored.
    """

    rows: Sequence[Prediction]
    rules: str | None = None
    left_out: Mapping[str, int] = field(default_factory=dict)


def _no_prompt(sample: Sample, replies: Sequence[str], rules: str) -> str | None:
    return None


def _no_reading(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
    return None


@dataclass(frozen=True, slots=True)
class Task:
    """A benchmark.

    Attributes:
        name: name of the file, on the command line, and in results.
        source: data set, licence, rows, metric, paper; one line each.
        samples: (data, rules) -> samples; data is a folder, a file or a Hub id, None for the task's default.
        score: (sample, replies, rules, verdict) -> points. `replies` has one per asked turn; `verdict` is the judge's
            reply, None without a judge, and index -> reply if `to_judge` returns several prompts (some may be missing).
        totals: (scored, rules) -> metric -> total; the first metric is the paper's.
        judge: None, the judge of mmcr_bench ("bench"), or a chat model that answers `to_judge` ("chat").
        to_judge: (sample, replies, rules) -> prompt of the chat model, None if rules suffice; a list of prompts if it
            judges turn by turn.
        read: (sample, replies, rules, verdict) -> the answer that `score` parses, for display.
        is_read_by_rules: False if only a judge can score a reply, so that a run without one has no score.
        by_turn: the points of each asked turn, up to 100, None for an unjudged one; None if turns have no points.
        max_judge_tokens: maximum number of tokens of a chat model's verdict.
        verdict_keys: keys of the scores in a verdict on a scale, () for a rating without a key: what looks like a
            verdict or an order in a reply is masked before the judge reads it. None for a judge of right and wrong.
        rules: names of the task's scoring rules.
        adapter_rules: further rules, as a harness asks one family of models.
        version: incremented when the same reply would get other points.
        to_sample: (row, rules, number) -> the sample of a row; None if the task can't score prediction files.
        predictions: (path, data) -> predictions of a file; None for a table with gold and reply in each row.
        answered: (path, data, rules) -> samples with the replies to all their turns in a prediction file, and reason ->
            number of rows left out; None for tasks whose prediction files have one reply a row.
        figure: (name of a run -> its folder, .png file to write): a figure of the report page, None for none.
    """

    name: str
    source: str
    samples: Callable[[str | None, str], Iterable[Sample]]
    score: Callable[[Sample, Sequence[str], str, Any], Points]
    totals: Callable[[Sequence[Scored], str], dict[str, Total]]
    judge: Literal["bench", "chat"] | None = None
    to_judge: Callable[[Sample, Sequence[str], str], str | list[str] | None] = _no_prompt
    read: Callable[[Sample, Sequence[str], str, Any], str | None] = _no_reading
    is_read_by_rules: bool = True
    by_turn: Callable[[Scored], Sequence[float | None]] | None = None
    max_judge_tokens: int = 128
    verdict_keys: tuple[str, ...] | None = None
    rules: tuple[str, ...] = (DEFAULT_RULES,)
    adapter_rules: tuple[str, ...] = ()
    version: int = 1
    to_sample: Callable[[Row, str, int], Sample] | None = None
    predictions: Callable[[Path, str | None], Predictions] | None = None
    answered: Callable[[Path, str | None, str], tuple[Sequence[Scored], Mapping[str, int]]] | None = None
    figure: Callable[[Mapping[str, Path], Path], None] | None = None

    def scored(self, one: Scored, rules: str, verdict: Any = None) -> Scored:  # noqa: ANN401  (as `score` takes it)
        """The sample with its points and its parsed answer."""
        points = self.score(one.sample, one.replies, rules, verdict)
        return replace(one, points=points, reading=self.read(one.sample, one.replies, rules, verdict))

    def check_rules(self, rules: str | None) -> str:
        """The given rules, or the default.

        Raises:
            ValueError: the task has no such rules.
        """
        chosen = rules or (DEFAULT_RULES if DEFAULT_RULES in self.rules else self.rules[0])
        known = (*self.rules, *self.adapter_rules)
        if chosen not in known:
            raise ValueError(f"task {self.name} has no rules {chosen!r}; expected one of {', '.join(known)}")
        return chosen
