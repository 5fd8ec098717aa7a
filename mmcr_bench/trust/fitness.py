"""Whether a judge is fit, as its canaries say: results, power, detection of changed facts, shown as lines of text."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass

from mmcr_bench.judge.detection import Mean

UNREAD_MAX = 0.2  # share of canaries without a readable verdict, above which a judge is unfit
LOW_POWER = 0.8


@dataclass(frozen=True, slots=True)
class CanaryResult:
    """Result of one canary.

    Attributes:
        name: its name.
        dimension: what was measured.
        mean: the mean; None if no verdict was readable.
        expected: the limit, in words.
        passed: the interval doesn't exclude the limit.
        num_read: readable verdicts.
        num_asked: replies judged.
        power: chance to find a judge that does not see the fault at all (or obeys the order), None if nothing was read.
    """

    name: str
    dimension: str
    mean: float | None
    expected: str
    passed: bool
    num_read: int
    num_asked: int
    power: float | None = None


@dataclass(frozen=True, slots=True)
class Detection:
    """How well changed facts are told from unchanged references, by the mean of the six scores.

    Attributes:
        auc: over all pairs of dialogues.
        paired: within a dialogue.
        by_kind: within a dialogue, by the kind of fact.
        num_changed: replies with a changed fact that were scored.
    """

    auc: Mean
    paired: Mean
    by_kind: Mapping[str, Mean]
    num_changed: int

    def to_json(self) -> dict[str, object]:
        """AUC with its interval (None where it is unbounded), and the share within a dialogue by kind."""
        interval = self.auc.interval(0.0, 1.0)
        is_known = math.isfinite(self.auc.error)
        return {
            "auc": self.auc.value,
            "low": interval.low if is_known else None,
            "high": interval.high if is_known else None,
            "within_a_dialogue": self.paired.value,
            "by_kind": {kind: mean.value for kind, mean in self.by_kind.items()},
            "num_changed": self.num_changed,
        }


@dataclass(frozen=True, slots=True)
class Fitness:
    """Results of a judge on all canaries.

    Attributes:
        judge: its name.
        results: one a canary.
        detection: of changed facts; None if no reference states a fact.
        unread: verdicts that could not be read, by reason, in words.
        dialogues: what the canaries were made of.
        spread: mean standard deviation of the overall score over repeats or judges; None without them.
        world: detection of changed facts whose truth is computed (controlled world); None if none were judged.
    """

    judge: str
    results: tuple[CanaryResult, ...]
    detection: Detection | None = None
    unread: str = "none"
    dialogues: str = ""
    spread: float | None = None
    world: Detection | None = None

    @property
    def is_fit(self) -> bool:
        """All canaries passed, and nearly all verdicts were readable."""
        asked, read = (sum(getattr(result, name) for result in self.results) for name in ("num_asked", "num_read"))
        return all(result.passed for result in self.results) and read >= (1 - UNREAD_MAX) * asked

    def show(self) -> str:
        """The results as lines of text."""
        lines = [f"judge {self.judge}: {'fit' if self.is_fit else 'UNFIT, its scores must not be used'}"]
        if self.detection is not None:
            lines.append(f"changed facts: {_show_detection(self.detection)}")
        if self.world is not None:
            lines.append(f"changed facts of the controlled world: {_show_detection(self.world)}")
        for result in self.results:
            mean = "unread" if result.mean is None else f"{result.mean:.2f}"
            power = "" if result.power is None else f", power {result.power:.2f}"
            lines.append(
                f"{'ok  ' if result.passed else 'FAIL'} {result.name:<20} {result.dimension} {mean}, expected "
                f"{result.expected}{power}"
                + (f" ({result.num_read} of {result.num_asked} read)" if result.num_asked else "")
            )
        weak = [one.name for one in self.results if one.passed and one.power is not None and one.power < LOW_POWER]
        if weak:
            lines.append(f"too few dialogues to find a blind judge by: {', '.join(weak)}; raise --limit")
        if self.spread is not None:
            lines.append(f"spread of the overall score between repeats or judges: {self.spread:.2f} of 10")
        return "\n".join([*lines, f"made of dialogues {self.dialogues}; unread verdicts: {self.unread}"])


def _show_detection(found: Detection) -> str:
    def cell(mean: Mean) -> str:
        interval = mean.interval(0.0, 1.0)
        ends = "" if math.isinf(mean.error) else f" [{interval.low:.2f}, {interval.high:.2f}]"
        return f"{mean.value:.2f}{ends}"

    kinds = ", ".join(f"{kind} {cell(mean)}" for kind, mean in sorted(found.by_kind.items()))
    return (
        f"AUC {cell(found.auc)}; within a dialogue {cell(found.paired)} ({found.num_changed} replies; "
        f"0.5 is a judge that sees none); {kinds}"
    )


def show_unread(unread: Mapping[str, int]) -> str:
    """`no_verdict 3, timeout 1`, or `none`."""
    return ", ".join(f"{reason} {count}" for reason, count in sorted(unread.items())) or "none"
