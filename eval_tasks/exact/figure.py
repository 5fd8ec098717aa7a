"""Accuracy of MMCR-Exact by distance in turns, as a table and a figure, with what can be guessed as lines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from eval_tasks.exact.points import with_points
from eval_tasks.exact.totals import OWN, Question, questions_of
from eval_tasks.store.run_folder import from_record, read_records
from eval_tasks.task import Total, Unit
from eval_tasks.totals import interval_of
from mmcr_bench.intervals import Interval
from mmcr_dataset.publish.markdown_table import to_table
from mmcr_dataset.record.plain_text import figure_text

FARTHEST = 8  # distances from here on are one point
VIEWS = {  # guesser -> what it knows
    "last": "no history",
    "text": "no images",
    "newest": "only the newest image",
    "blind": "the question's words",
}


class Distance(NamedTuple):
    """The questions of one distance.

    Attributes:
        distance: turns back to what the question refers to; 0 if it refers to nothing.
        num_questions: how many there are.
        accuracy: with its interval, up to 100.
        guesses: view -> mean of what its best guess gets, up to 100; without views that were not computed.
    """

    distance: int
    num_questions: int
    accuracy: Interval
    guesses: Mapping[str, float]


def read_questions(run: Path) -> list[Question]:
    """The questions of a run's linked dialogues.

    Raises:
        ValueError: the folder holds no run of mmcr_exact.
    """
    scored = [with_points(from_record(one)) for one in read_records(run) if one["task"] == "mmcr_exact"]
    found = [question for one in scored if one.sample.target["kind"] == OWN for question in questions_of(one)]
    if not found:
        raise ValueError(f"{run}: no replies to mmcr_exact; run python -m eval_tasks --tasks mmcr_exact")
    return found


def draw_runs(runs: Mapping[str, Path], out: Path) -> str:
    """Write the figure of runs on the same questions; returns the table of its numbers.

    Args:
        runs: name of the run -> its folder.
        out: .png, .svg or .pdf file.

    Raises:
        ValueError: a folder holds no run of mmcr_exact, or the runs asked different questions.
    """
    questions = {name: read_questions(run) for name, run in runs.items()}
    asked = {name: [(one.group, one.asked["program"]) for one in found] for name, found in questions.items()}
    first, *others = asked
    for name in others:
        if asked[name] != asked[first]:
            raise ValueError(f"{first} and {name} asked different questions; name runs on the same set and --limit")
    distances = {name: by_distance(found) for name, found in questions.items()}
    draw_distances(distances, out)
    return distance_table(distances)


def by_distance(questions: Sequence[Question]) -> list[Distance]:
    """The questions by their distance in turns, `FARTHEST` and beyond together."""
    of: dict[int, list[Question]] = {}
    for one in questions:
        of.setdefault(min(FARTHEST, one.asked["facts"]["distance_turns"]), []).append(one)
    found = []
    for distance in sorted(of):
        accuracy = interval_of(Total([Unit(one.group, one.points) for one in of[distance]]))
        guesses = {}
        for view in VIEWS:
            known = [one.asked["guesses"][view] for one in of[distance] if view in one.asked["guesses"]]
            if known:
                guesses[view] = 100 * float(np.mean(known))
        found.append(Distance(distance, len(of[distance]), accuracy, guesses))
    return found


def distance_table(runs: Mapping[str, Sequence[Distance]]) -> str:
    """A Markdown table: a line for each distance, a column for each run and guesser.

    Args:
        runs: name of the run -> its distances; the runs asked the same questions.
    """
    first = next(iter(runs.values()))
    views = [view for view in VIEWS if any(view in one.guesses for one in first)]
    header = ["distance", "questions", *runs, *(f"guess: {VIEWS[view]}" for view in views)]
    rows = []
    for place, one in enumerate(first):
        accuracies = [_show(distances[place].accuracy) for distances in runs.values()]
        guesses = [f"{one.guesses[view]:.1f}" if view in one.guesses else "" for view in views]
        rows.append([_name(one.distance), str(one.num_questions), *accuracies, *guesses])
    return to_table(header, rows)


def _name(distance: int) -> str:
    return f"{distance} or more" if distance == FARTHEST else str(distance)


def _show(interval: Interval) -> str:
    bounds = f" [{interval.low:.1f}, {interval.high:.1f}]" if np.isfinite(interval.high) else ""
    return f"{interval.mean:.1f}{bounds}"


def draw_distances(runs: Mapping[str, Sequence[Distance]], out: Path) -> None:
    """Write the figure: accuracy of each run by distance with 95 % intervals, and the guessers as dashed lines.

    Args:
        runs: name of the run -> its distances; the runs asked the same questions.
        out: .png, .svg or .pdf file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(7, 4.5), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    for name, distances in runs.items():
        x, means = [one.distance for one in distances], [one.accuracy.mean for one in distances]
        ends = [(one.accuracy.low, one.accuracy.high) for one in distances]
        below = [max(0.0, mean - low) if np.isfinite(low) else 0.0 for mean, (low, _) in zip(means, ends, strict=True)]
        above = [
            max(0.0, high - mean) if np.isfinite(high) else 0.0 for mean, (_, high) in zip(means, ends, strict=True)
        ]
        axes.errorbar(x, means, yerr=[below, above], marker="o", capsize=3, label=figure_text(name))
    first = next(iter(runs.values()))
    for (view, knows), style in zip(VIEWS.items(), ("--", ":", "-.", (0, (1, 4))), strict=True):
        points = [(one.distance, one.guesses[view]) for one in first if view in one.guesses]
        if points:
            axes.plot(*zip(*points, strict=True), color="0.45", linestyle=style, label=f"best guess: {knows}")
    axes.set_xticks([one.distance for one in first], [f"{_name(one.distance)}\n{one.num_questions}" for one in first])
    axes.set(ylim=(0, 103), ylabel="questions answered right, %")
    axes.set_xlabel("turns back to what the question refers to (0: nothing), and number of questions")
    figure.legend(loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(out, dpi=150)
