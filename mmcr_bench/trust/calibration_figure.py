"""Calibration plot of one scorer against another: mean score of the second at each score of the first."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from mmcr_bench.judge.rubric import SCORE_MAX, SCORE_MIN
from mmcr_bench.trust.score_pairs import Comparison
from mmcr_dataset.record.plain_text import figure_text

_COLUMNS = 3


def draw_calibration(comparisons: Mapping[str, Comparison], first: str, second: str, out: Path) -> None:
    """Write the plot: one panel per dimension, markers scaled by the number of dialogues, the fitted line.

    Args:
        comparisons: by dimension.
        first: name of the scorer on the x axis.
        second: name of the scorer on the y axis.
        out: .png, .svg or .pdf file.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = -(-len(comparisons) // _COLUMNS)
    figure = Figure(figsize=(3.2 * _COLUMNS, 3.2 * rows), layout="constrained")
    FigureCanvasAgg(figure)
    ends = (SCORE_MIN, SCORE_MAX)
    for place, (name, found) in enumerate(comparisons.items(), start=1):
        axes = figure.add_subplot(rows, _COLUMNS, place)
        axes.plot(ends, ends, color="0.7", linestyle="--", linewidth=1)
        counts = [count for _, count in found.calibration.values()]
        sizes = [200 * count / max(counts) for count in counts]
        axes.scatter(list(found.calibration), [mean for mean, _ in found.calibration.values()], s=sizes, alpha=0.7)
        if found.slope is not None and found.intercept is not None:
            axes.plot(ends, [found.intercept.mean + found.slope.mean * end for end in ends], linewidth=1)
        rank = "" if found.spearman is None else f", rank correlation {found.spearman.mean:.2f}"
        axes.set_title(f"{name}\n{found.num_dialogues} dialogues{rank}", fontsize=9)
        axes.set(
            xlim=(0.5, SCORE_MAX + 0.5),
            ylim=(0.5, SCORE_MAX + 0.5),
            xlabel=figure_text(first),
            ylabel=figure_text(second),
        )
    figure.savefig(out, dpi=150)
