"""HTML report of runs, self-contained, optionally with the data set, the bench and the training run."""

from __future__ import annotations

import base64
import json
import tempfile
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from eval_tasks.report.comparison import COMPARISON_NOTE, comparison_rows
from eval_tasks.report.drift import to_charts
from eval_tasks.report.explain import Explanation, causes_rows, changes_rows
from eval_tasks.report.samples import NUM_SAMPLES, samples_of_tasks
from eval_tasks.report.tables import runs_rows
from eval_tasks.task import Task
from mmcr_dataset.pages.render import render_page
from mmcr_dataset.publish.describe import PAPER_TABLE_1, load_statistics
from mmcr_dataset.publish.remove import count_removed
from mmcr_dataset.record.load import load_dialogues
from mmcr_dataset.stage.stages import read_jsonl, write_text

NUM_DIALOGUES = 2  # number of example dialogues of each kind
LOG_NAME = "log.jsonl"  # training log: one object per step


def write_report_page(
    out: Path,
    runs: Sequence[Path],
    tasks: Mapping[str, Task],
    dataset: Path | None = None,
    bench: Path | None = None,
    training: Path | None = None,
    paper: Sequence[str] = (),
    data: Mapping[str, str] | None = None,
    num_samples: int = NUM_SAMPLES,
) -> None:
    """Write the page.

    Args:
        out: the HTML file.
        runs: finished run folders, the baseline first.
        tasks: the tasks they share.
        dataset: folder of the training data.
        bench: folder of the bench, to show its images.
        training: folder of the training run.
        paper: models of the paper to include.
        data: task name -> place of its data, to show its images.
        num_samples: number of samples shown per task.

    Raises:
        ValueError: a folder isn't of the expected kind.
    """
    known = {name: str(bench) for name in ("mmcr_bench",) if bench is not None} | dict(data or {})
    page = render_page(
        Path(__file__).parent / "report.html",
        title="MMCR report",
        lead="What was built, trained and measured, on one page. Numbers come from the folders named in each part.",
        dataset=_to_dataset(dataset) if dataset is not None else None,
        training=_to_training(training) if training is not None else None,
        samples=samples_of_tasks(runs, tasks, known, num_samples),
        figures=_to_figures(runs, tasks),
        comparison_note=COMPARISON_NOTE,
        drift=to_charts(runs),
        **_to_scores(runs, tasks, paper),
    )
    write_text(out, page)


def write_explanation_page(
    out: Path,
    run_a: Path,
    run_b: Path,
    tasks: Mapping[str, Task],
    found: Sequence[Explanation],
    data: Mapping[str, str],
) -> None:
    """Write the page of an explanation: causes, and every changed sample with both replies.

    Args:
        out: the HTML file.
        run_a: folder of run A.
        run_b: folder of run B.
        tasks: the tasks they share.
        found: the explanations.
        data: task name -> place of its data, to show its images.
    """
    changed = {one.task: [change.sample_id for change in one.changes] for one in found}
    page = render_page(
        Path(__file__).parent / "report.html",
        title="Why the scores differ",
        lead=f"{run_a.name} and {run_b.name}: every sample whose points changed, with its cause.",
        dataset=None,
        training=None,
        scores=causes_rows(found),
        difference=changes_rows(found),
        comparison_note="",
        not_compared="",
        is_offline=False,
        figures=[],
        drift=[],
        samples=samples_of_tasks([run_a, run_b], tasks, data, only=changed),
    )
    write_text(out, page)


def _to_figures(runs: Sequence[Path], tasks: Mapping[str, Task]) -> list[tuple[str, str]]:
    """(task, figure as a data URL) of the tasks that draw one."""
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for name, task in tasks.items():
            if task.figure is not None:
                path = Path(folder) / f"{name}.png"
                task.figure({run.name: run for run in runs}, path)
                found.append((name, f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode('ascii')}"))
    return found


def _to_dataset(folder: Path) -> dict[str, Any]:
    """The data set's funnel, numbers, lengths and first dialogues."""
    statistics = load_statistics(folder)
    return {
        "name": folder.name,
        "funnel": _to_funnel(folder),
        "numbers": [
            (
                name,
                numbers.num_rows,
                numbers.num_images,
                numbers.num_pairs,
                numbers.tokens_mean,
                numbers.tokens_max,
                f"{PAPER_TABLE_1[name]['tokens_mean']:,} / {PAPER_TABLE_1[name]['tokens_max']:,}",
            )
            for name, numbers in statistics.items()
        ],
        "lengths": statistics,
        "dialogues": [
            dialogue
            for name in statistics
            for dialogue in islice(load_dialogues(str(folder), name, streaming=True), NUM_DIALOGUES)
        ],
    }


def _to_funnel(folder: Path) -> list[tuple[str, int, str]] | None:
    """Bars of the funnel's stages; None if the build has no funnel.json."""
    path = folder / "funnel.json"
    if not path.is_file():
        return None
    stages = json.loads(path.read_text("utf-8"))
    bars = [("documents", stages[0]["num_in"], f"{stages[0]['num_in']:,}")] if stages else []
    for stage in stages:
        removed = ", ".join(f"{count:,} {reason}" for reason, count in stage["removed"].items())
        note = f"{stage['num_kept']:,} kept" + (f"; removed: {removed}" if removed else "")
        bars.append((f"after {stage['stage']}", stage["num_kept"], note))
    taken = count_removed(folder)
    if taken:
        left = sum(numbers.num_rows for numbers in load_statistics(folder).values())
        reasons = ", ".join(f"{count:,} {reason}" for reason, count in taken.items())
        bars.append(("in the folder now", left, f"{left:,} left; taken out: {reasons}"))
    return bars


def _to_training(folder: Path) -> dict[str, Any]:
    path = folder / LOG_NAME
    if not path.is_file():
        raise ValueError(f"{path} is missing; expected the folder of a training run")
    steps = list(read_jsonl(path))
    last = steps[-1] if steps else {"step": 0, "trained_tokens": 0, "seconds": 0.0}
    said = f"{last['step']:,} steps on {last['trained_tokens']:,} tokens of the assistant in {last['seconds']:.0f} s."
    return {
        "points": [(float(step["step"]), float(step["loss"])) for step in steps],
        "said": said,
    }


def _to_scores(runs: Sequence[Path], tasks: Mapping[str, Task], paper: Sequence[str]) -> dict[str, Any]:
    """The table of the runs; for two runs also their differences, or why they can't be compared."""
    header, rows = runs_rows(runs, paper)
    shown: dict[str, Any] = {"scores": (header, rows), "is_offline": any("offline" in row for row in rows)}
    try:
        difference = comparison_rows(runs[0], runs[1], tasks) if len(runs) == 2 else None
    except ValueError as error:
        return {**shown, "difference": None, "not_compared": str(error)}
    return {**shown, "difference": difference, "not_compared": ""}
