"""Runs as one self-contained HTML page, with the data set, the bench and the training behind them where given."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from itertools import islice
from pathlib import Path

from eval_tasks.report.samples import NUM_SAMPLES, samples_sections
from eval_tasks.report.tables import COMPARISON_NOTE, comparison_rows, runs_rows
from eval_tasks.task import Task
from mmcr_dataset.page import (
    Section,
    escape,
    show_bars,
    show_dialogue,
    show_histogram,
    show_line,
    show_page,
    show_table,
    show_text,
)
from mmcr_dataset.publish.describe import PAPER_TABLE_1, Statistics, load_statistics
from mmcr_dataset.publish.remove import count_removed
from mmcr_dataset.record.load import load_dialogues
from mmcr_dataset.stage.stages import read_jsonl, write_text

NUM_DIALOGUES = 2  # of each kind that are shown whole
LOG_NAME = "log.jsonl"  # what training writes beside a checkpoint: one object a step


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
        runs: finished run folders, the base first.
        tasks: the tasks they share, to compare the first two.
        dataset: folder of the data set that was trained on.
        bench: folder of the bench; its images are shown beside the replies.
        training: folder of the training run.
        paper: models of the paper whose numbers stand beside the runs.
        data: task name -> where its data is, to show its images.
        num_samples: so many samples of each task are shown.

    Raises:
        ValueError: a folder is not what it is taken for.
    """
    sections: list[Section] = []
    if dataset is not None:
        sections.append(Section("From documents to rows", _show_funnel(dataset)))
        sections.append(Section("Size and lengths", _show_numbers(load_statistics(dataset))))
    if training is not None:
        sections.append(_training_section(training))
    sections.append(_score_section(runs, tasks, paper))
    if dataset is not None:
        sections.append(_dialogues_section(dataset))
    known = {name: str(bench) for name in ("mmcr_bench",) if bench is not None} | dict(data or {})
    sections += samples_sections(runs, tasks, known, num_samples)
    lead = "What was built, trained and measured, on one page. Numbers come from the folders named in each part."
    write_text(out, show_page("MMCR report", lead, sections))


def _dialogues_section(folder: Path) -> Section:
    shown = [
        show_dialogue(dialogue)
        for name in load_statistics(folder)
        for dialogue in islice(load_dialogues(str(folder), name, streaming=True), NUM_DIALOGUES)
    ]
    return Section("Dialogues", show_text(f"The first of each kind in {folder.name}.") + "".join(shown))


def _show_funnel(folder: Path) -> str:
    path = folder / "funnel.json"
    if not path.is_file():
        return show_text("The build recorded no funnel.")
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
    return show_bars(bars)


def _show_numbers(statistics: Mapping[str, Statistics]) -> str:
    parts: list[str] = []
    rows = [
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
    ]
    header = ("kind", "dialogues", "images", "pairs", "tokens, mean", "tokens, most", "MMCR-310k: mean / most")
    parts.append(show_table(header, rows))
    for name, numbers in statistics.items():
        parts.append(f"<h3>Tokens a dialogue, {escape(name)}</h3>")
        parts.append(show_histogram(numbers.tokens_edges, numbers.tokens_counts, "tokens"))
    return "".join(parts)


def _training_section(folder: Path) -> Section:
    path = folder / LOG_NAME
    if not path.is_file():
        raise ValueError(f"{path} is missing; expected the folder of a training run")
    steps = list(read_jsonl(path))
    points = [(float(step["step"]), float(step["loss"])) for step in steps]
    last = steps[-1] if steps else {"trained_tokens": 0, "seconds": 0.0}
    text = f"{len(steps)} steps on {last['trained_tokens']:,} tokens of the assistant in {last['seconds']:.0f} s."
    return Section("Training", show_text(text) + show_line(points, "step", "loss"))


def _score_section(runs: Sequence[Path], tasks: Mapping[str, Task], paper: Sequence[str]) -> Section:
    header, rows = runs_rows(runs, paper)
    offline = any("offline" in row for row in rows)
    body = show_table(header, rows)
    if len(runs) == 2:
        try:
            header, rows = comparison_rows(runs[0], runs[1], tasks)
            body += "<h3>Difference</h3>" + show_table(header, rows) + show_text(COMPARISON_NOTE)
        except ValueError as error:
            body += show_text(f"Not compared: {error}")
    if offline:
        body += show_text(
            "The judge named offline counts the words that a reply shares with its reference. It is a check of the "
            "machinery, no measure of quality, and is never mixed with the scores of a judge."
        )
    return Section("Scores", body)
