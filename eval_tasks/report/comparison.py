"""The paired comparison of two runs as a table, with its verdicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval_tasks.reply_signs import reply_totals
from eval_tasks.report.drift import OUT_OF_CONTROL, show_drift
from eval_tasks.report.means import Mean, main_values, public_mean
from eval_tasks.report.tables import NO_SCORE, Rows, judge_faults, show_canaries, show_losses
from eval_tasks.rows.label_versions import label_marks, short_version
from eval_tasks.store.run_folder import from_record, read_records, read_results
from eval_tasks.task import Scored, Task, Total
from eval_tasks.totals import difference_of, task_totals, totals_by_shape
from mmcr_bench.intervals import LEVEL, Difference, holm
from mmcr_dataset.publish.markdown_table import to_table

_OF_THE_REPLIES = ("num_asked", "judge_prompts_sha256")  # these depend on the replies, so they may differ between runs

COMPARISON_NOTE = (
    "Verdicts are corrected for the number of metrics of the task (Holm, 5 %): those over all samples among "
    "themselves, parts by category among all. Detectable: the smallest difference that a comparison of this scatter "
    "finds in 80 % of its repetitions, one metric alone. No verdict: fewer than 5 clusters, a judge that is unfit or "
    "has changed, or two runs that lost other samples (run again with the same folder: only they are asked)."
)


def compare_runs(folder_a: Path, folder_b: Path, tasks: Mapping[str, Task]) -> str:
    """The comparison of two runs as a Markdown table with its note; raises as `comparison_rows`."""
    lines = [to_table(*comparison_rows(folder_a, folder_b, tasks)), COMPARISON_NOTE]
    for folder in (folder_a, folder_b):
        results = read_results(folder)
        said = [line for line in show_canaries(results) if "UNFIT" in line]
        said += [line for line in show_drift(results) if OUT_OF_CONTROL in line]
        said += [f"{name}: {mark}" for name, entry in results["tasks"].items() if (mark := label_marks([entry])[0])]
        lines += [f"{folder.name}: {line}" for line in said]
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
    rows: list[list[str]] = []
    gaps: dict[str, Difference | None] = {}
    for name in shared:
        entries = [dict(results["tasks"][name]) for results in runs]
        for entry in entries:
            entry["judge"] = {key: value for key, value in entry["judge"].items() if key not in _OF_THE_REPLIES}
        for what in ("rules", "prompts_sha256", "judge", "version"):
            if entries[0][what] != entries[1][what]:
                raise ValueError(
                    f"task {name}: the runs differ in {what} ({entries[0][what]} and {entries[1][what]}), so their "
                    "numbers can't be compared; run or score one of them again"
                )
        losses = [show_losses(entry) or "-" for entry in entries]
        _check_same_gold(name, folder_a, folder_b, entries)
        faults = {fault for entry in entries for fault in judge_faults(entry)}
        of_task, gap = _compared(name, tasks[name], entries[0]["rules"], folder_a, folder_b, sorted(faults))
        rows += [[*row, *losses] for row in of_task]
        gaps[name] = gap
    if (mean := public_mean({name: (gap.mean, gap.low, gap.high) for name, gap in gaps.items() if gap})) is not None:
        rows.append(_mean_difference_row(mean, [public_mean(main_values(results)) for results in runs]))
    header = ["task", "metric", folder_a.name, folder_b.name, "difference [95 %]", "verdict", "detectable"]
    return [*header, f"lost in {folder_a.name}", f"lost in {folder_b.name}"], rows


def _mean_difference_row(mean: Mean, sides: Sequence[Mean | None]) -> list[str]:
    """A line of the mean difference over the public benchmarks; significant if its interval excludes 0."""
    values = [f"{side.value:.2f}" if side and side.tasks == mean.tasks else "-" for side in sides]
    if mean.low is None or mean.high is None:
        return ["public", mean.name, *values, f"{mean.value:+.2f}", "no verdict: an interval is missing", "-", "-", "-"]
    verdict = "significant" if mean.low > 0 or mean.high < 0 else "not significant"
    shown = f"{mean.value:+.2f} [{mean.low:+.2f}, {mean.high:+.2f}]"
    return ["public", mean.name, *values, shown, verdict, "-", "-", "-"]


def _compared(
    name: str, task: Task, rules: str, folder_a: Path, folder_b: Path, faults: Sequence[str]
) -> tuple[list[list[str]], Difference | None]:
    """The lines of a task, and the difference of its main metric if it has a verdict.

    Args:
        name: name of the task.
        task: the task.
        rules: scoring rules.
        folder_a: run A.
        folder_b: run B.
        faults: why the judge's scores are no evidence.
    """
    a, b = (scored_by_id(folder, name) for folder in (folder_a, folder_b))
    if not all(one.sample.has_gold for one in a.values()):
        return [[name, "-", "-", "-", "-", "no verdict: the data has no gold answers", "-"]], None
    lost_apart = sum(a[one].is_lost != b[one].is_lost for one in a)
    totals_a, totals_b = (
        task_totals(task, side, rules) | totals_by_shape(task, side, rules) | reply_totals(side)
        for side in ([*a.values()], [b[one] for one in a])
    )
    metrics = [metric for metric in totals_a if metric in totals_b and _same_groups(totals_a[metric], totals_b[metric])]
    # enough that the smallest possible p-value is below 5 % after the correction
    num_resamples = max(2000, 100 * len(metrics))
    gaps = {
        metric: difference_of(totals_b[metric], totals_a[metric], num_resamples=num_resamples) for metric in metrics
    }
    whole = [metric for metric in metrics if not totals_a[metric].breakdown]
    corrected = holm({metric: gaps[metric].p_value for metric in metrics})
    corrected |= holm({metric: gaps[metric].p_value for metric in whole})
    rows = []
    for metric, gap in gaps.items():
        pair = (totals_a[metric], totals_b[metric])
        values = [f"{total.value:.2f}" if total.is_known else NO_SCORE for total in pair]
        shown = f"{gap.mean:+.2f} [{gap.low:+.2f}, {gap.high:+.2f}]" if NO_SCORE not in values else "-"
        verdict = "significant" if corrected[metric] < 1 - LEVEL else "not significant"
        if NO_SCORE in values:
            verdict = f"no verdict: {NO_SCORE}"
        elif lost_apart:
            verdict = f"no verdict: {lost_apart} samples lost in one run only"
        elif faults and pair[0].breakdown != "replies":
            verdict = f"no verdict: {' and '.join(faults)}"
        elif not gap.has_verdict:
            verdict = f"no verdict: {gap.num_clusters} clusters"
        rows.append([name, metric, *values, shown, verdict, f"{gap.detectable:.2f}"])
    is_decided = bool(rows) and not rows[0][5].startswith("no verdict")
    return rows, gaps[metrics[0]] if is_decided else None


def _same_groups(a: Total, b: Total) -> bool:
    """False for signs of replies where the runs lost other samples."""
    return {unit.group for unit in a.units} == {unit.group for unit in b.units}


def _check_same_gold(name: str, folder_a: Path, folder_b: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """The runs must have the same samples, gold answers and images: another label version is another benchmark.

    Raises:
        ValueError: they differ; the first such sample is named.
    """
    a, b = (scored_by_id(folder, name) for folder in (folder_a, folder_b))
    versions = " and ".join(short_version(entry["labels"]) for entry in entries if entry.get("labels"))
    read = f" (labels: {versions})" if versions else ""
    if a.keys() != b.keys():
        only = sorted(a.keys() ^ b.keys())
        raise ValueError(f"task {name}: {len(only)} samples are in one run only, such as {only[0]!r}")
    for one in a:
        images = [[image.sha256 for image in side[one].sample.dialogue.images] for side in (a, b)]
        what = "gold answers" if a[one].sample.target != b[one].sample.target else ""
        what = what or ("images" if all(images) and images[0] != images[1] else "")
        if what:
            raise ValueError(
                f"task {name}: the runs differ in the {what} of sample {one!r}{read}, so their numbers can't be "
                "compared; see `explain`, and run one of them again on the other's data"
            )


def scored_by_id(folder: Path, task: str) -> dict[str, Scored]:
    """The answers by the id of their sample, `ID#N` for further ones to the same."""
    scored = [from_record(record) for record in read_records(folder) if record["task"] == task]
    return {one.sample.dialogue.id + (f"#{one.repeat}" if one.repeat else ""): one for one in scored}
