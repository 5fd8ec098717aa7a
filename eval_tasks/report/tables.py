"""Results as tables: one run, and several runs side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from eval_tasks.report.drift import OUT_OF_CONTROL, is_out, show_drift
from eval_tasks.report.means import Mean, main_values, paper_mean, public_mean
from eval_tasks.report.paper import show_paper
from eval_tasks.rows.label_versions import label_marks
from eval_tasks.store.run_folder import read_results
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
