"""Drift of the judge, as a run's results tell it: a line, and the control chart."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from eval_tasks.store.run_folder import read_results
from mmcr_bench.trust.drift import CHART_COLUMNS

OUT_OF_CONTROL = "JUDGE OUT OF CONTROL"


def show_drift(results: Mapping[str, Any]) -> list[str]:
    """A line for each task whose judge is watched by anchors, or why it is not."""
    return [f"{name}: {_show(entry['drift'])}" for name, entry in results["tasks"].items() if entry.get("drift")]


def is_out(entry: Mapping[str, Any]) -> bool:
    """True if the judge of a task has changed since the first check of its anchors."""
    return (entry.get("drift") or {}).get("in_control") is False


def _show(found: Mapping[str, Any]) -> str:
    if "why_not_run" in found:
        return f"drift of the judge not checked: {found['why_not_run']}"
    if found["in_control"] is None:
        said = "the first check, which later runs" if found["number"] == 1 else "too few verdicts, and later runs"
        return f"drift of the judge: {said} are compared with; {found['num_pairs']} anchors, chart in {found['folder']}"
    verdict = "the judge is in control"
    if not found["in_control"]:
        verdict = f"{OUT_OF_CONTROL}, its scores can't be compared with those of earlier runs"
    return (
        f"{verdict}: shift {found['shift']:+.2f} of 10 since the first check (limit {found['limit']:.2f}), "
        f"{found['num_pairs']} anchors, check {found['number']}, chart in {found['folder']}"
    )


class Chart(NamedTuple):
    """The control chart of a run's judge: its points are (shift, limit) by check, the first one is 0."""

    name: str
    said: str
    header: Sequence[str]
    rows: list[list[str]]
    points: list[tuple[float, float]]


def to_charts(folders: Sequence[Path]) -> list[Chart]:
    """The charts of the runs whose judge was watched."""
    charts = []
    for folder in folders:
        for name, entry in read_results(folder)["tasks"].items():
            found = entry.get("drift") or {}
            rows: list[list[str]] = found.get("chart") or []
            if rows:
                points = [(0.0, 0.0) if "-" in row[4:6] else (float(row[4]), float(row[5].lstrip("±"))) for row in rows]
                told = [[*row[:-1], row[-1].lstrip(".[]I*").strip()] for row in rows]  # drawn, not in characters
                header = (*CHART_COLUMNS[:-1], "verdict")
                charts.append(Chart(f"{folder.name}, {name}", _show(found), header, told, points))
    return charts
