"""Does a judge apply the penalties of its rubric? Score differences against measured penalties.

The difference is confounded: replies that are too long may be worse in other ways. It still reveals a judge that
applies no penalty, or much more than the rubric says.

Shapes: N dialogues.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcr_bench.intervals import Interval, bootstrap_statistic
from mmcr_bench.judge.penalties import measure_penalties
from mmcr_bench.trust.runs import Run
from mmcr_dataset.publish.markdown_table import to_table


@dataclass(frozen=True, slots=True)
class PenaltyEffect:
    """One penalty of the rubric in a judged run.

    Attributes:
        name: name of the penalty.
        dimension: the score it is taken off.
        num_due: number of dialogues for which it is due.
        num_dialogues: number of dialogues with a score.
        with_due: mean score (1..10) where it is due, None if nowhere.
        without: mean score where it is not due, None if due everywhere.
        difference: the former minus the latter with its interval, None if one of them is missing.
        expected: mean penalty by the rubric over the dialogues where it is due.
    """

    name: str
    dimension: str
    num_due: int
    num_dialogues: int
    with_due: float | None
    without: float | None
    difference: Interval | None
    expected: float | None


def measure_effects(run: Run, num_resamples: int = 2000) -> list[PenaltyEffect]:
    """Length against precision, repetition against redundancy.

    Raises:
        ValueError: the run has no rubric scores.
    """
    judged = [(d, r) for d, r in zip(run.dialogues, run.replies, strict=True) if d.id in run.scores]
    if not judged:
        raise ValueError(f"run {run.name}: its dialogues have no rubric scores; judge it with an api: judge first")
    measured = [measure_penalties(dialogue.references, replies) for dialogue, replies in judged]
    times = {
        ("length", "precision"): np.array([float(found.length_due) for found in measured]),
        ("repetition", "redundancy"): np.array([float(found.num_repeats) for found in measured]),
    }
    effects = []
    for (name, dimension), due in times.items():
        scores = np.array([run.scores[dialogue.id][dimension] for dialogue, _ in judged])
        effects.append(_measure(name, dimension, due, scores, num_resamples))
    return effects


def _measure(
    name: str, dimension: str, due: NDArray[np.float64], scores: NDArray[np.float64], num_resamples: int
) -> PenaltyEffect:
    def difference(items: NDArray[np.int64]) -> float | None:
        is_due = due[items] > 0
        if is_due.all() or not is_due.any():
            return None
        return float(scores[items][is_due].mean() - scores[items][~is_due].mean())

    is_due = due > 0
    return PenaltyEffect(
        name,
        dimension,
        int(is_due.sum()),
        len(scores),
        float(scores[is_due].mean()) if is_due.any() else None,
        float(scores[~is_due].mean()) if not is_due.all() else None,
        bootstrap_statistic(difference, len(scores), num_resamples=num_resamples),
        -float(due[is_due].mean()) if is_due.any() else None,
    )


def show_effects(effects: Sequence[PenaltyEffect]) -> str:
    """A Markdown table, one line per penalty."""
    header = ["penalty", "off", "due for", "mean where due", "elsewhere", "difference", "by the rubric"]
    rows = []
    for effect in effects:
        found = effect.difference
        shown = "-" if found is None else f"{found.mean:+.2f} [{found.low:+.2f}, {found.high:+.2f}]"
        means = ["-" if mean is None else f"{mean:.2f}" for mean in (effect.with_due, effect.without)]
        expected = "-" if effect.expected is None else f"{effect.expected:+.2f}"
        count = f"{effect.num_due} of {effect.num_dialogues}"
        rows.append([effect.name, effect.dimension, count, *means, shown, expected])
    return to_table(header, rows, right=(2, 3, 4, 6))
