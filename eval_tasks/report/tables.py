"""Results as tables: one run, several runs side by side, and the paired comparison of two runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval_tasks.reply_signs import reply_totals
from eval_tasks.report.drift import OUT_OF_CONTROL, is_out, show_drift
from eval_tasks.report.means import Mean, main_values, paper_mean, public_mean
from eval_tasks.report.paper import show_paper
from eval_tasks.rows.label_versions import label_marks, short_version
from eval_tasks.store.run_folder import from_record, read_records, read_results
from eval_tasks.task import Scored, Task, Total
from eval_tasks.totals import difference_of, task_totals, totals_by_shape
from mmcr_bench.intervals import LEVEL, Difference, holm
from mmcr_dataset.publish.markdown_table import to_table

NO_SCORE = "no score"


def _counts(reasons: Mapping[str, int]) -> str:
    return ", ".join(f"{reason} {count}" for reason, count in sorted(reasons.items())) or "0"


def _show(total: Mapping[str, Any], digits: int = 2) -> str:
    if total["value"] is None:
        return NO_SCORE
    value = f"{total['value']:.{digits}f}"
    return value if total["low"] is None else f"{value} [{total['low']:.2f}, {total['high']:.2f}]"


def _judged_only(total: Mapping[str, Any], digits: int = 2) -> str:
    """The value over the samples that have a reply and a judgement, where some have none."""
    other = total.get("judged_only")
    return f"{other['value']:.{digits}f} (of {other['num']})" if other else ""


def show_num_samples(entry: Mapping[str, Any]) -> str:
    """The number of samples, `12 x 4` where each has several answers; losses are counted by answer."""
    repeats = entry.get("answers_per_sample")
    return f"{entry['num_samples']} x {repeats}" if repeats else str(entry["num_samples"])


def show_losses(entry: Mapping[str, Any]) -> str:
    """Samples that count as wrong without an answer, and truncated ones: `failed 2 (timeout 2), unread 1 of 40`."""
    found = []
    for name, reasons in (("failed", entry["failures"]), ("unjudged", entry["unjudged"])):
        if reasons:
            found.append(f"{name} {sum(reasons.values())} ({_counts(reasons)})")
    for name, number in (("unread", entry["num_unread"]), ("truncated", entry.get("num_truncated", 0))):
        found += [f"{name} {number}"] if number else []
    return f"{', '.join(found)} of {show_num_samples(entry)}" if found else ""


def _lost_of_part(total: Mapping[str, Any], num: int | None = None) -> str:
    """The lost samples of a total over a part of them, `2 lost of 8`; those of the task are beside its main metric."""
    return f"{total['num_lost']} lost{f' of {num}' if num else ''}" if total["num_lost"] else ""


def all_totals(entry: Mapping[str, Any]) -> dict[str, Any]:
    """The totals of a task, followed by those by number of images and turns and by turn."""
    return {**entry["totals"], **entry.get("parts", {})}


def exit_code(results: Mapping[str, Any]) -> int:
    """1 if a task has no score because nothing was answered or judged, else 0."""
    return int(any(entry.get("no_score") for entry in results["tasks"].values()))


def judge_faults(entry: Mapping[str, Any]) -> list[str]:
    """Why the scores of a task's judge must not be used: it failed its canaries, or it has changed."""
    faults = ["JUDGE UNFIT"] if (entry.get("canaries") or {}).get("fit") is False else []
    return [*faults, OUT_OF_CONTROL] if is_out(entry) else faults


def _judge_of(entry: Mapping[str, Any]) -> str:
    """The judge's name, and what is wrong with it."""
    return "".join([str(entry["judge"]["name"]), *(f" ({fault})" for fault in judge_faults(entry))])


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
    rows, notes = [], []
    for name, entry in results["tasks"].items():
        shown = [entry["rules"], _judge_of(entry)]
        counts = [
            show_num_samples(entry),
            _counts(entry["failures"]),
            str(entry["num_unread"]),
            _counts(entry["unjudged"]),
            str(entry.get("num_truncated", 0)),
        ]
        for metric, total in all_totals(entry).items():
            of_part = [str(total["num"]), _lost_of_part(total), "", "", ""] if "num" in total else counts
            rows.append([name, metric, _show(total, digits), *shown, *of_part, _judged_only(total, digits)])
        if entry.get("no_score"):
            notes.append(f"{name}: no score: {entry['no_score']}")
        if other := (entry.get("labels") or {}).get("other"):
            notes.append(f"{name}: another version of the labels: {other}; its numbers stand apart from published ones")
        if entry.get("num_thinking"):
            notes.append(
                f"{name}: {entry['num_thinking']} of {show_num_samples(entry)} think aloud; their thoughts are "
                "in no score and no history (--thinking)"
            )
        spread = entry["judge"].get("spread")
        if spread is not None:
            notes.append(f"{name}: spread of the overall score between repeats or judges: SD {spread:.2f} of 10")
        if num_masked := entry["judge"].get("num_masked"):
            notes.append(f"{name}: verdicts or orders in the replies to {num_masked} samples, masked for the judge")
        if entry.get("hand_in"):
            said = f"{name}: its data has no gold answers, so there is no score; {show_losses(entry)}"
            notes.append(f"{said}; to hand in: {entry['hand_in']} in the run folder")
    header = ["task", "metric", "value [95 %]", "rules", "judge", "samples", "failed", "unread", "unjudged"]
    header += ["truncated", "judged only"]
    return "\n".join(
        [to_table(header, rows), *(f"\n{line}" for line in [*notes, *show_canaries(results), *show_drift(results)])]
    )


Rows = tuple[list[str], list[list[str]]]  # header and lines of a table


def runs_table(folders: Sequence[Path], paper: Sequence[str] = ()) -> str:
    """Several runs as a Markdown table; see `runs_rows`."""
    return to_table(*runs_rows(folders, paper))


def runs_rows(folders: Sequence[Path], paper: Sequence[str] = ()) -> Rows:
    """Several runs, one column each, followed by models of the paper.

    A metric has a line for each combination of rules, judge and version of the labels. A number of the paper that isn't
    of the same split, rules, prompts and judge is marked with the reason.
    """
    cells: dict[tuple[str, ...], dict[int, str]] = {}
    entries: dict[tuple[str, ...], Mapping[str, Any]] = {}
    heads, means = [], {}
    found = [read_results(folder) for folder in folders]
    names = {name for results in found for name in results["tasks"]}
    marks = {name: label_marks(results["tasks"].get(name) for results in found) for name in names}
    for column, (folder, results) in enumerate(zip(folders, found, strict=True)):
        heads.append(f"{folder.name} ({results['model']['name']})")
        means[column] = public_mean(main_values(results))
        for name, entry in results["tasks"].items():
            for metric, total in all_totals(entry).items():
                losses = _lost_of_part(total, total["num"]) if "num" in total else show_losses(entry)
                key: tuple[str, ...] = (name, metric, entry["rules"], _judge_of(entry), marks[name][column])
                cells.setdefault(key, {})[column] = "; ".join(filter(None, [_show(total), losses]))
                entries.setdefault(key, entry)
    rows = []
    for key, line in cells.items():
        of_paper = [show_paper(name, key[0], key[1], entries[key]) for name in paper]
        task = f"{key[0]} ({key[4]})" if key[4] else key[0]
        rows.append([task, *key[1:4], *(line.get(column, "") for column in range(len(folders))), *of_paper])
    for tasks in dict.fromkeys(mean.tasks for mean in means.values() if mean):
        rows.append(_mean_row([mean if mean and mean.tasks == tasks else None for mean in means.values()], paper))
    return ["task", "metric", "rules", "judge", *heads, *(f"paper: {name}" for name in paper)], rows


def _mean_row(means: Sequence[Mean | None], paper: Sequence[str]) -> list[str]:
    """A line of the mean over the public benchmarks."""
    first = next(mean for mean in means if mean)
    shown = [_show(mean._asdict()) if mean else "" for mean in means]
    printed = [paper_mean(name, first.tasks) for name in paper]
    of_paper = ["" if value is None else f"{value:.1f}* (of the printed numbers above)" for value in printed]
    return ["public", first.name, "", "", *shown, *of_paper]


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
