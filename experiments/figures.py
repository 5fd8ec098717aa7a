"""The figures of an experiment: scores along an axis, or differences from the model before training."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from experiments.arm import Arm, Experiment
from experiments.estimates import Estimate, difference, estimate
from experiments.scores import BASE, Measure, Scores

_BASE_COLOUR = "0.35"
_TINY = "Tiny model with random weights: its numbers mean nothing."


def write_figure(experiment: Experiment, scores: Scores, is_tiny: bool, path: Path) -> None:
    """Plot the experiment into a PNG, atomically.

    Args:
        experiment: the experiment.
        scores: scores of the finished runs.
        is_tiny: whether the model had random weights.
        path: output file.
    """
    draw = _draw_along_axis if experiment.x_label else _draw_differences
    part = path.with_name(path.stem + ".part.png")
    figure = draw(experiment, scores)
    figure.suptitle(experiment.title)
    figure.supxlabel("\n".join([_show_note(scores), *([_TINY] if is_tiny else [])]), fontsize=8, color="0.3")
    figure.savefig(part, dpi=150)
    part.replace(path)


def _arms_with_runs(experiment: Experiment, runs: Mapping[str, Any]) -> list[Arm]:
    return [arm for arm in experiment.arms if arm.name in runs]


def _reach(found: Estimate) -> tuple[float, float]:
    """Lengths of the error bar below and above the mean; 0 for an infinite interval."""
    if not math.isfinite(found.low):
        return 0.0, 0.0
    return found.mean - found.low, found.high - found.mean


def _draw_along_axis(experiment: Experiment, scores: Scores) -> Any:  # noqa: ANN401
    from matplotlib.figure import Figure

    panels = [measure for measure in scores.measures if measure.is_headline]
    columns = min(len(panels), 3)
    rows = -(-len(panels) // columns)
    figure = Figure(figsize=(max(4.8 * columns, 6.0), 3.9 * rows + 0.5), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False).flatten()
    for panel, measure, letter in zip(axes, panels, "abcdefghijklmnopqrstuvwxyz", strict=False):
        _draw_panel(panel, experiment, scores, measure)
        if len(panels) > 1:
            panel.set_title(f"({letter}) {measure.label}", fontsize=10)
    for panel in axes[len(panels) :]:
        panel.set_visible(False)
    return figure


def _draw_panel(panel: Any, experiment: Experiment, scores: Scores, measure: Measure) -> None:  # noqa: ANN401
    runs = scores.runs[measure.label]
    arms = _arms_with_runs(experiment, runs)
    base = estimate(runs[BASE])
    panel.axhline(base.mean, color=_BASE_COLOUR, linestyle="--", linewidth=1)
    if math.isfinite(base.low):
        panel.axhspan(base.low, base.high, color=_BASE_COLOUR, alpha=0.12, linewidth=0)
    places = [arm.x for arm in arms if arm.x is not None]
    found = [estimate(runs[arm.name]) for arm in arms]
    for x, arm in zip(places, arms, strict=True):
        if runs[arm.name].num_seeds > 1:
            values = runs[arm.name].values_S
            panel.plot([x] * len(values), values, "o", color="tab:blue", alpha=0.35, markersize=4, zorder=2)
    below, above = zip(*(_reach(one) for one in found), strict=True)
    line_x, line_y = list(places), [one.mean for one in found]
    if experiment.base_x is not None and experiment.base_x not in places:
        panel.plot([experiment.base_x], [base.mean], "s", color=_BASE_COLOUR, markersize=6, zorder=3)
        line_x, line_y = [experiment.base_x, *line_x], [base.mean, *line_y]
    panel.plot(line_x, line_y, color="tab:blue", linewidth=1, alpha=0.6)
    panel.errorbar(places, [one.mean for one in found], yerr=(below, above), fmt="o", color="tab:blue", capsize=4)
    steps = [right - left for left, right in itertools.pairwise(line_x)]
    crowded = bool(steps) and min(steps) < 0.08 * sum(steps)
    panel.set_xticks(line_x, [f"{x:,.0f}" for x in line_x], rotation=45 if crowded else 0)
    panel.set(xlabel=experiment.x_label, ylabel="points" if len(scores.measures) > 1 else measure.label)
    panel.margins(x=0.08)
    panel.grid(axis="y", alpha=0.3)


def _draw_differences(experiment: Experiment, scores: Scores) -> Any:  # noqa: ANN401
    from matplotlib.figure import Figure

    measures = [measure for measure in scores.measures if list(measure.tasks) != ["mme"]]  # its scale is too large
    arms = _arms_with_runs(experiment, scores.runs[measures[0].label])
    height = 1.9 + len(measures) * (0.25 + 0.22 * len(arms))
    figure = Figure(figsize=(9.0, height), layout="constrained")
    axes = figure.subplots()
    axes.axvline(0, color=_BASE_COLOUR, linestyle="--", linewidth=1)
    for number, arm in enumerate(arms):
        shift = (number - (len(arms) - 1) / 2) * 0.7 / max(2, len(arms))
        places = [row + shift for row in range(len(measures))]
        pairs = [(scores.runs[one.label][arm.name], scores.runs[one.label][BASE]) for one in measures]
        for place, (runs, base) in zip(places, pairs, strict=True):
            if runs.num_seeds > 1:
                gains = runs.values_S - base.values_S.mean()
                axes.plot(gains, [place] * len(gains), "o", color=f"C{number}", alpha=0.35, markersize=4)
        found = [difference(runs, base, scores.is_paired) for runs, base in pairs]
        below, above = zip(*(_reach(one) for one in found), strict=True)
        axes.errorbar(
            [one.mean for one in found], places, xerr=(below, above), fmt="o", capsize=3, color=f"C{number}",
            label=arm.label,
        )  # fmt: skip
    axes.set_yticks(range(len(measures)), [_wrap(measure.label) for measure in measures])
    axes.set_ylim(len(measures) - 0.4, -0.6)
    axes.set(xlabel="points more than the model before training")
    axes.grid(axis="x", alpha=0.3)
    figure.legend(loc="outside right upper", fontsize=9)
    return figure


def _wrap(label: str) -> str:
    import textwrap

    return textwrap.fill(label, 30)


def _show_note(scores: Scores) -> str:
    seeds: Sequence[int] = [
        runs.num_seeds for of_arms in scores.runs.values() for arm, runs in of_arms.items() if arm != BASE
    ]
    over = "questions and seeds (pale dots: single seeds)" if max(seeds, default=1) > 1 else "questions"
    return f"Bars: 95 % over {over}. Grey: the model before training."
