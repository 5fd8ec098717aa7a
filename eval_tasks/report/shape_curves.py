"""The main score of a task by turn, number of images and length of the dialogue, as a figure with 95 % intervals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from eval_tasks.store.run_folder import read_results
from mmcr_dataset.record.plain_text import figure_text

_ENDS = ("low", "high")  # None with a single dialogue, where there is no interval
FIELDS = {"turn": "turn of the dialogue", "images": "images of the dialogue", "tokens": "tokens of the dialogue"}


def draw_curves(runs: Mapping[str, Path], task: str, metric: str, out: Path) -> None:
    """Write the figure.

    Args:
        runs: name of the run -> its folder.
        task: name of the task.
        metric: its main metric.
        out: .png, .svg or .pdf file.

    Raises:
        ValueError: a folder holds no finished run.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    entries = {name: read_results(run)["tasks"].get(task) for name, run in runs.items()}
    figure = Figure(figsize=(12, 4), layout="constrained")
    FigureCanvasAgg(figure)
    for place, (field, label) in enumerate(FIELDS.items(), start=1):
        axes = figure.add_subplot(1, len(FIELDS), place)
        found = {name: curve_of(entry, metric, field) for name, entry in entries.items() if entry is not None}
        values = sorted({value for curve in found.values() for value in curve}, key=_order)
        for name, curve in found.items():
            x = [values.index(value) for value in curve]
            means = [total["value"] for total in curve.values()]
            ends = [
                [total[end] if total[end] is not None else total["value"] for total in curve.values()] for end in _ENDS
            ]
            below = [mean - low for mean, low in zip(means, ends[0], strict=True)]
            above = [high - mean for mean, high in zip(means, ends[1], strict=True)]
            axes.errorbar(x, means, yerr=[below, above], marker="o", capsize=3, label=figure_text(name))
        if not values:
            axes.text(0.5, 0.5, "all of one kind", ha="center", transform=axes.transAxes)
        axes.set_xticks(range(len(values)), values, fontsize=8, rotation=0 if field != "tokens" else 20)
        axes.set(xlabel=label, ylabel=f"{metric}, up to 100", ylim=(0, 103))
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, fontsize=8)
    figure.savefig(out, dpi=150)


def curve_of(entry: Mapping[str, Any], metric: str, field: str) -> dict[str, Mapping[str, Any]]:
    """Value of the field -> its total in an entry of results.json; without those of which nothing is known."""
    totals = {**entry.get("totals", {}), **entry.get("parts", {})}
    begin = f"{metric}, {field} "
    found = {name.removeprefix(begin): total for name, total in totals.items() if name.startswith(begin)}
    known = {value: total for value, total in found.items() if total["value"] is not None}
    return {value: known[value] for value in sorted(known, key=_order)}


def _order(value: str) -> tuple[int, int]:
    """`below 2k` first, then by the first number."""
    number = re.search(r"\d+", value)
    return (0 if value.startswith("below") else 1, int(number[0]) if number else 0)
