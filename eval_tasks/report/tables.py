"""Results as tables: one run, several runs side by side, and the paired comparison of two runs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any

from eval_tasks.store.run_folder import from_record, read_records, read_results
from eval_tasks.task import Scored, Task
from eval_tasks.totals import difference_of
from mmcr_bench.intervals import LEVEL, holm
from mmcr_dataset.publish.markdown_table import to_table


def _counts(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())) or "0"


def _show(total: Mapping[str, Any], digits: int = 2) -> str:
    value = f"{total['value']:.{digits}f}"
    return value if total["low"] is None else f"{value} [{total['low']:.2f}, {total['high']:.2f}]"


def _judge_of(entry: Mapping[str, Any]) -> str:
    """The judge's name, marked if it failed its canaries."""
    name: str = entry["judge"]["name"]
    return f"{name} (JUDGE UNFIT)" if (entry.get("canaries") or {}).get("fit") is False else name


def show_canaries(results: Mapping[str, Any]) -> list[str]:
    """A line for each task with canaries: judge fit or unfit, or why they were not run."""
    lines = []
    for name, entry in results["tasks"].items():
        found = entry.get("canaries")
        if found is None:
            continue
        if found["fit"] is None:
            lines.append(f"{name}: canaries not run: {found['why_not_run']}")
            continue
        asked, read = (sum(result[key] for result in found["results"]) for key in ("num_asked", "num_read"))
        failed = ", ".join(found["failed"]) or "none"
        verdict = "judge fit" if found["fit"] else "JUDGE UNFIT, its scores must not be used"
        lines.append(f"{name}: {verdict}; canaries failed: {failed}; {read} of {asked} verdicts read")
        facts = found.get("changed_facts")
        if facts is not None:
            low, high = ("?" if facts[end] is None else f"{facts[end]:.2f}" for end in ("low", "high"))
            lines.append(
                f"{name}: the judge tells changed facts from right ones: AUC {facts['auc']:.2f} [{low}, {high}]"
            )
    return lines


def run_table(results: Mapping[str, Any], digits: int = 2) -> str:
    """One run: every metric of every task with its 95 % interval, and counts of failed, unread and unjudged samples.

    Args:
        results: content of results.json.
        digits: number of decimals of the values.
    """
    rows = []
    for name, entry in results["tasks"].items():
        shared = [
            entry["rules"],
            _judge_of(entry),
            str(entry["num_samples"]),
            _counts(entry["failures"]),
            str(entry["num_unread"]),
            _counts(entry["unjudged"]),
        ]
        rows += [[name, metric, _show(total, digits), *shared] for metric, total in entry["totals"].items()]
    header = ["task", "metric", "value [95 %]", "rules", "judge", "samples", "failed", "unread", "unjudged"]
    return "\n".join([to_table(header, rows), *(f"\n{line}" for line in show_canaries(results))])


Rows = tuple[list[str], list[list[str]]]  # header and lines of a table


def paper_scores(name: str) -> dict[str, float]:
    """`task/metric` -> score of a model in the paper.

    Raises:
        ValueError: the paper has no such model.
    """
    models: dict[str, dict[str, float]] = json.loads(
        resources.files("eval_tasks.report").joinpath("paper_scores.json").read_text(encoding="utf-8")
    )["models"]
    if name not in models:
        raise ValueError(f"--paper {name!r}: the paper has {', '.join(models)}")
    return models[name]


def runs_table(folders: Sequence[Path], paper: Sequence[str] = ()) -> str:
    """Several runs as a Markdown table; see `runs_rows`."""
    return to_table(*runs_rows(folders, paper))


def runs_rows(folders: Sequence[Path], paper: Sequence[str] = ()) -> Rows:
    """Several runs, one column each, followed by models of the paper.

    A metric has a line for each combination of rules and judge. The paper's numbers, which are by VLMEvalKit of March
    2025 and GPT-4o, are repeated on each of them.
    """
    cells: dict[tuple[str, str, str, str], dict[int, str]] = {}
    heads = []
    for column, folder in enumerate(folders):
        results = read_results(folder)
        heads.append(f"{folder.name} ({results['model']['name']})")
        for name, entry in results["tasks"].items():
            for metric, total in entry["totals"].items():
                line = cells.setdefault((name, metric, entry["rules"], _judge_of(entry)), {})
                line[column] = _show(total)
    printed = [paper_scores(name) for name in paper]
    rows = []
    for key, line in cells.items():
        of_paper = [scores.get(f"{key[0]}/{key[1]}") for scores in printed]
        shown = ["" if points is None else f"{points:g}" for points in of_paper]
        rows.append([*key, *(line.get(column, "") for column in range(len(folders))), *shown])
    return ["task", "metric", "rules", "judge", *heads, *(f"paper: {name}" for name in paper)], rows


_OF_THE_REPLIES = ("num_asked", "judge_prompts_sha256")  # these depend on the replies, so they may differ between runs

COMPARISON_NOTE = (
    "Verdicts are corrected for the number of metrics of the task (Holm, 5 %). Detectable: the smallest difference "
    "that a comparison of this scatter finds in 80 % of its repetitions, one metric alone."
)


def compare_runs(folder_a: Path, folder_b: Path, tasks: Mapping[str, Task]) -> str:
    """The comparison of two runs as a Markdown table with its note; raises as `comparison_rows`."""
    lines = [to_table(*comparison_rows(folder_a, folder_b, tasks)), COMPARISON_NOTE]
    for folder in (folder_a, folder_b):
        lines += [f"{folder.name}: {line}" for line in show_canaries(read_results(folder)) if "UNFIT" in line]
    return "\n\n".join(lines)


def comparison_rows(folder_a: Path, folder_b: Path, tasks: Mapping[str, Task]) -> Rows:
    """Run B minus run A for each common metric, paired by sample; Holm-corrected within each task.

    Raises:
        ValueError: the runs share no task, or differ in prompts, rules or judge.
    """
    runs = [read_results(folder) for folder in (folder_a, folder_b)]
    shared = [name for name in runs[0]["tasks"] if name in runs[1]["tasks"]]
    if not shared:
        raise ValueError(f"{folder_a} and {folder_b} share no task: {list(runs[0]['tasks'])}, {list(runs[1]['tasks'])}")
    rows = []
    for name in shared:
        entries = [dict(results["tasks"][name]) for results in runs]
        for entry in entries:
            entry["judge"] = {key: value for key, value in entry["judge"].items() if key not in _OF_THE_REPLIES}
        for what in ("rules", "prompts_sha256", "judge"):
            if entries[0][what] != entries[1][what]:
                raise ValueError(
                    f"task {name}: the runs differ in {what} ({entries[0][what]} and {entries[1][what]}), so their "
                    "numbers can't be compared; run or score one of them again"
                )
        rows += _compared(name, tasks[name], entries[0]["rules"], folder_a, folder_b)
    return ["task", "metric", folder_a.name, folder_b.name, "difference [95 %]", "verdict", "detectable"], rows


def _compared(name: str, task: Task, rules: str, folder_a: Path, folder_b: Path) -> list[list[str]]:
    a, b = (_scored_by_id(folder, name) for folder in (folder_a, folder_b))
    judged = [one for one in a if one in b and a[one].unjudged is None and b[one].unjudged is None]
    totals_a = task.totals([a[one] for one in judged], rules)
    totals_b = task.totals([b[one] for one in judged], rules)
    metrics = [metric for metric in totals_a if metric in totals_b]
    # enough that the smallest possible p-value is below 5 % after the correction
    num_resamples = max(2000, 100 * len(metrics))
    gaps = {
        metric: difference_of(totals_b[metric], totals_a[metric], num_resamples=num_resamples) for metric in metrics
    }
    corrected = holm({metric: gap.p_value for metric, gap in gaps.items()})
    rows = []
    for metric, gap in gaps.items():
        verdict = "significant" if corrected[metric] < 1 - LEVEL else "not significant"
        shown = f"{gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]"
        values = [f"{totals[metric].value:.2f}" for totals in (totals_a, totals_b)]
        rows.append([name, metric, *values, shown, verdict, f"{gap.detectable:.2f}"])
    return rows


def _scored_by_id(folder: Path, task: str) -> dict[str, Scored]:
    records = (record for record in read_records(folder) if record["task"] == task)
    return {record["id"]: from_record(record) for record in records}
