"""The scores of finished evaluations: every run's total of every benchmark, lost samples included as 0 points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from eval_tasks.registry import GROUPS, find_tasks, load_task
from eval_tasks.report.tables import judge_faults
from eval_tasks.store.run_folder import from_record, read_records, read_results
from experiments.estimates import Runs

if TYPE_CHECKING:
    from eval_tasks.task import Scored, Task, Total

BASE = "base"  # the model before training, among the arms
_NUM_RESAMPLES = 2000
_OTHER_SCALE = ("mme",)  # a sum of up to 2,800 points; excluded from the mean of the public benchmarks


@dataclass(frozen=True)
class Measure:
    """A score that arms are compared by.

    Attributes:
        label: label in tables and figures.
        tasks: benchmarks whose main metrics are averaged.
        is_headline: False for a benchmark that is only in the table.
        metric: `task/metric` of a single benchmark, empty for a mean.
    """

    label: str
    tasks: Sequence[str]
    is_headline: bool = True
    metric: str = ""

    def keys(self, main: Mapping[str, str]) -> list[str]:
        """The `task/metric` that are averaged. Args: main: task -> its main metric."""
        return [self.metric] if self.metric else [f"{task}/{main[task]}" for task in self.tasks]


@dataclass(frozen=True)
class Scores:
    """The scores of all runs.

    Attributes:
        measures: the measures.
        runs: label of a measure -> arm (or `base`) -> its runs.
        notes: lost samples, and unfit judges.
        lost: label of a measure -> arm (or `base`) -> of each run the lost samples (failed or unjudged), as task/id.
        faults: task -> why the scores of its judge are no evidence.
        is_paired: runs of one seed start from the same weights in every arm, so differences are taken seed by seed.
    """

    measures: Sequence[Measure]
    runs: Mapping[str, Mapping[str, Runs]]
    notes: Sequence[str]
    lost: Mapping[str, Mapping[str, Sequence[frozenset[str]]]] = field(default_factory=dict)
    is_paired: bool = False
    faults: Mapping[str, str] = field(default_factory=dict)

    def num_lost(self, measure: Measure, arm: str) -> int:
        """Number of lost samples of an arm's runs."""
        return sum(map(len, self.lost.get(measure.label, {}).get(arm, ())))

    def num_lost_apart(self, measure: Measure, arm: str, other: str) -> int:
        """Number of samples that some runs of two arms lost and others did not: without them there is no verdict."""
        of_arms = self.lost.get(measure.label, {})
        every = [*of_arms.get(arm, ()), *of_arms.get(other, ())]
        return len(frozenset().union(*every) - frozenset.intersection(*every)) if every else 0

    def fault_of(self, measure: Measure) -> str | None:
        """Why a measure's scores are no evidence, None if they are."""
        return next((self.faults[task] for task in measure.tasks if task in self.faults), None)


def load_scores(
    folders: Mapping[str, Sequence[Path]],
    tasks_from: Sequence[str] = (),
    metrics: Sequence[str] = (),
    is_paired: bool = False,
) -> Scores:
    """Read the scores of finished evaluations.

    Args:
        folders: arm (or `base`) -> folder of the evaluation of each seed.
        tasks_from: files and folders with additional tasks.
        metrics: `task/metric` of further measures.
        is_paired: see `Scores`.

    Raises:
        ValueError: a folder is not a finished run or has no score, runs differ in tasks, prompts or rules, or there is
            no such metric.
    """
    every = [folder for of_arm in folders.values() for folder in of_arm]
    results = {folder: read_results(folder) for folder in every}
    names = list(results[every[0]]["tasks"])
    for folder in every[1:]:
        _check_same(results, every[0], folder)
    tasks = {name: load_task(find_tasks(tasks_from)[name]) for name in names}
    read = {folder: _task_totals(folder, results[folder], tasks) for folder in every}
    lost_of = {folder: lost for folder, (_, lost) in read.items()}
    notes = _show_losses(results, lost_of)
    found = [
        (name, folder, fault)
        for folder in every
        for name, entry in results[folder]["tasks"].items()
        for fault in judge_faults(entry)
    ]
    notes += [f"{name}: {fault} in {folder}; these scores must not be used" for name, folder, fault in found]
    main = {name: next(iter(found)) for name, found in read[every[0]][0].items()}
    measures = [*to_measures(main, results[every[0]]), *_to_further(metrics, main)]
    keys = [key for measure in measures for key in measure.keys(main)]
    totals = {folder: _of_keys(keys, read[folder][0], folder) for folder in every}
    drawn = {key: _resample(key, number, totals) for number, key in enumerate(dict.fromkeys(keys))}
    runs = {
        measure.label: {arm: _to_runs(measure.keys(main), of_arm, totals, drawn) for arm, of_arm in folders.items()}
        for measure in measures
    }
    lost = {
        measure.label: {
            arm: [frozenset().union(*(lost_of[folder][task] for task in measure.tasks)) for folder in of_arm]
            for arm, of_arm in folders.items()
        }
        for measure in measures
    }
    return Scores(measures, runs, notes, lost, is_paired, {name: fault for name, _, fault in found})


def _to_further(metrics: Sequence[str], main: Mapping[str, str]) -> list[Measure]:
    """The measures that are asked for beside the main ones."""
    known = {f"{task}/{metric}" for task, metric in main.items()}
    further = [one for one in dict.fromkeys(metrics) if one not in known]
    return [Measure(one.replace("/", ": "), [one.partition("/")[0]], metric=one) for one in further]


def _of_keys(keys: Sequence[str], totals: Mapping[str, Mapping[str, Total]], folder: Path) -> dict[str, Total]:
    """The totals by `task/metric`.

    Raises:
        ValueError: a run has no such metric.
    """
    known = {f"{task}/{metric}": total for task, found in totals.items() for metric, total in found.items()}
    missing = [key for key in keys if key not in known]
    if missing:
        raise ValueError(f"{folder}: no metric {missing[0]}; it has {', '.join(known)}")
    return {key: known[key] for key in keys}


def to_measures(metrics: Mapping[str, str], results: Mapping[str, Any]) -> list[Measure]:
    """The measures: the mean of the public benchmarks (two or more), MMCR-Bench, others, then single public ones.

    Args:
        metrics: task -> its main metric.
        results: results of one run, for the names of the judges.
    """

    def alone(task: str, is_headline: bool) -> Measure:
        judge = results["tasks"][task]["judge"]["name"]
        judged = "" if judge == "none" else f" (judge: {judge})"
        return Measure(f"{task}: {metrics[task]}{judged}", [task], is_headline, f"{task}/{metrics[task]}")

    public = [task for task in metrics if task in GROUPS["public"]]
    averaged = [task for task in public if task not in _OTHER_SCALE]
    means = [Measure(f"mean of {len(averaged)} public benchmarks", averaged)] if len(averaged) > 1 else []
    own = [alone(task, True) for task in metrics if task not in public]
    return [*means, *own, *(alone(task, not means) for task in public)]


def _check_same(results: Mapping[Path, Any], first: Path, other: Path) -> None:
    a, b = results[first]["tasks"], results[other]["tasks"]
    if set(a) != set(b):
        raise ValueError(
            f"{first} has the tasks {', '.join(a)}, {other} has {', '.join(b)}; evaluate one of them again"
        )
    for name in a:
        for what in ("rules", "prompts_sha256"):
            if a[name][what] != b[name][what]:
                raise ValueError(
                    f"task {name}: {first} and {other} differ in {what} ({a[name][what]} and {b[name][what]}): its "
                    "data changed between them; remove both folders and run again"
                )


def _show_losses(results: Mapping[Path, Any], lost: Mapping[Path, Mapping[str, frozenset[str]]]) -> list[str]:
    """A note on each run and task with failed or unjudged samples."""
    return [
        f"{name}: {len(lost[folder][name])} of {results[folder]['tasks'][name]['num_samples']} samples failed or are "
        f"unjudged in {folder}; they count as 0"
        for folder in results
        for name in lost[folder]
        if lost[folder][name]
    ]


def _task_totals(
    folder: Path, results: Mapping[str, Any], tasks: Mapping[str, Task]
) -> tuple[dict[str, Mapping[str, Total]], dict[str, frozenset[str]]]:
    """Task -> its totals over all samples, the main one first; task -> its lost samples, as task/id."""
    from eval_tasks.totals import task_totals

    scored: dict[str, list[Scored]] = {name: [] for name in tasks}
    for record in read_records(folder):
        if record["task"] in tasks:
            scored[record["task"]].append(from_record(record))
    found: dict[str, Mapping[str, Total]] = {}
    for name, task in tasks.items():
        found[name] = task_totals(task, scored[name], results["tasks"][name]["rules"])
        main = next(iter(found[name].values()), None)
        if main is None or not main.is_known:
            raise ValueError(f"{folder}: no sample of {name} has a score; see its samples.jsonl")
    lost = {
        name: frozenset(f"{name}/{one.sample.dialogue.id}" for one in of_task if one.is_lost)
        for name, of_task in scored.items()
    }
    return found, lost


def _resample(key: str, number: int, totals: Mapping[Path, Mapping[str, Total]]) -> dict[Path, Any]:
    """Each run's resampled values of a metric, all from the same draws of its groups."""
    from eval_tasks.totals import resampled

    values = resampled([of_run[key] for of_run in totals.values()], seed=number, num_resamples=_NUM_RESAMPLES)
    return dict(zip(totals, values, strict=True))


def _to_runs(
    keys: Sequence[str],
    folders: Sequence[Path],
    totals: Mapping[Path, Mapping[str, Total]],
    drawn: Mapping[str, Mapping[Path, NDArray[np.float64]]],
) -> Runs:
    num_groups = [len({unit.group for unit in totals[folders[0]][key].units}) for key in keys]
    return Runs(
        values_S=np.array(
            [np.mean([totals[folder][key].value for key in keys]) for folder in folders], dtype=np.float64
        ),
        resampled_SR=np.stack([np.mean([drawn[key][folder] for key in keys], axis=0) for folder in folders]),
        num_groups=1 if min(num_groups) < 2 else sum(num_groups) - len(num_groups) + 1,
        scale=_scale_of([totals[folder][key] for folder in folders for key in keys]),
    )


def _scale_of(totals: Sequence[Total]) -> tuple[float, float]:
    """The lowest and the highest value that a mean of totals can have."""
    return min(total.lowest for total in totals), max(total.highest for total in totals)
