"""Why two scores differ: every sample whose points changed, its cause, and what each cause moves the score by."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eval_tasks.report.comparison import scored_by_id
from eval_tasks.report.tables import Rows
from eval_tasks.store.run_folder import read_results
from eval_tasks.task import Scored, Task
from eval_tasks.totals import task_totals
from mmcr_dataset.publish.markdown_table import to_table

CAUSES = {
    "label version": "the gold answer differs",
    "prompt": "the words of the questions differ, or what a reply begins with",
    "pixels": "the images differ, or the limits they are shown with",
    "failure": "one of the runs has no reply",
    "truncation": "a reply ends at the token limit",
    "model": "other replies of another model or revision",
    "decoding": "other replies of the same model: settings, precision, batch or version",
    "judge": "the same replies, another verdict",
    "parser": "the same replies, read otherwise: rules or version of the task",
}
# Fields of a task's entry by which the rules' adapter puts it to a local checkpoint.
_WORDING = {
    "prompt": ("image_mark", "own_lines", "reply_begin"),
    "pixels": ("images", "max_tiles", "first_image_scale"),
}
_GOLD = ("answer", "answers", "vlmevalkit", "figure", "question_type", "answer_type", "choices")


@dataclass(frozen=True)
class Change:
    """A sample whose points differ between two runs.

    Attributes:
        sample_id: its id.
        cause: one of CAUSES.
        before: points in run A, of the first metric.
        after: points in run B.
        detail: what differs, in a few words.
    """

    sample_id: str
    cause: str
    before: float
    after: float
    detail: str


@dataclass(frozen=True)
class Explanation:
    """The changes of one task.

    Attributes:
        task: name of the task.
        metric: its main metric.
        value_a: total of run A over the common samples.
        value_b: total of run B over them.
        changes: the samples that changed.
        moves: cause -> what its samples alone move the total by.
        num_apart: number of samples that are in one run only.
    """

    task: str
    metric: str
    value_a: float
    value_b: float
    changes: Sequence[Change]
    moves: Mapping[str, float]
    num_apart: int


def explain(folder_a: Path, folder_b: Path, tasks: Mapping[str, Task]) -> list[Explanation]:
    """The explanation of each task that both runs have.

    Raises:
        ValueError: they share no task, or a task has no common sample.
    """
    results = [read_results(folder) for folder in (folder_a, folder_b)]
    shared = [name for name in results[0]["tasks"] if name in results[1]["tasks"]]
    if not shared:
        raise ValueError(f"{folder_a} and {folder_b} share no task: {[list(one['tasks']) for one in results]}")
    same_model = _identity(results[0]) == _identity(results[1])
    return [_explain_task(name, tasks[name], folder_a, folder_b, results, same_model) for name in shared]


def _identity(results: Mapping[str, Any]) -> tuple[str, str]:
    return results["model"]["name"], results["model"]["revision"]


def _explain_task(
    name: str, task: Task, folder_a: Path, folder_b: Path, results: Sequence[Mapping[str, Any]], same_model: bool
) -> Explanation:
    a, b = (scored_by_id(folder, name) for folder in (folder_a, folder_b))
    common = [one for one in a if one in b]
    if not common:
        raise ValueError(f"task {name}: no sample of {folder_a} is in {folder_b}; their ids have nothing in common")
    entries = [one["tasks"][name] for one in results]
    rules = [entry["rules"] for entry in entries]
    if not all(a[one].sample.has_gold for one in common):
        raise ValueError(f"task {name}: its data has no gold answers, so there is no score to explain")
    changes = []
    for one in common:
        before, after = _points(a[one]), _points(b[one])
        if before != after:
            cause, detail = to_cause(a[one], b[one], same_model, entries)
            changes.append(Change(one, cause, before, after, detail))
    totals = task_totals(task, [a[one] for one in common], rules[0])
    metric = next(iter(totals), "")
    value_b = task_totals(task, [b[one] for one in common], rules[1])[metric].value
    moves = {}
    for cause in dict.fromkeys(change.cause for change in changes):
        moved = {change.sample_id for change in changes if change.cause == cause}
        mixed = task_totals(task, [b[one] if one in moved else a[one] for one in common], rules[1])
        moves[cause] = mixed[metric].value - totals[metric].value
    num_apart = len(a.keys() ^ b.keys())
    return Explanation(name, metric, totals[metric].value, value_b, changes, moves, num_apart)


def _points(one: Scored) -> float:
    """The points of a sample in its first metric; 0 without any."""
    return 0.0 if one.is_lost else float(next(iter(one.points.values()), None) or 0.0)


def to_cause(a: Scored, b: Scored, same_model: bool, entries: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """The first cause, in the order of the work, that differs between two answers to a sample, and what differs.

    Args:
        a: answer of run A.
        b: answer of run B.
        same_model: whether model and revision are the same.
        entries: the task's entries of both runs' results.json.
    """
    golds = [_gold(one) for one in (a, b)]
    if golds[0] != golds[1]:
        return "label version", f"gold {_short(golds[0])} -> {_short(golds[1])}"
    asked = [[turn.human_text for turn in one.sample.dialogue.turns] for one in (a, b)]
    images = [[image.sha256 for image in one.sample.dialogue.images] for one in (a, b)]
    if asked[0] != asked[1]:
        return "prompt", f"{_difference(' '.join(asked[0]), ' '.join(asked[1]))}"
    if all(images) and images[0] != images[1]:
        return "pixels", f"{sum(x != y for x, y in zip(*images, strict=False))} of {len(images[0])} images differ"
    if a.failure != b.failure:
        return "failure", " -> ".join(one.failure.reason if one.failure else "answered" for one in (a, b))
    if a.replies != b.replies and same_model:
        for cause, names in _WORDING.items():
            for name in names:
                if (values := [entry.get(name) for entry in entries])[0] != values[1]:
                    return cause, f"{name} {_short(values[0])} -> {_short(values[1])}"
    if a.replies != b.replies:
        if a.truncated != b.truncated:
            return "truncation", f"truncated turns {list(a.truncated)} -> {list(b.truncated)}"
        return "decoding" if same_model else "model", _difference(" ".join(a.replies), " ".join(b.replies))
    if a.unjudged != b.unjudged or a.judged != b.judged:
        judged = [one.unjudged.reason if one.unjudged else one.reading for one in (a, b)]
        return "judge", f"verdict {_short(judged[0])} -> {_short(judged[1])}"
    return "parser", f"read {_short(a.reading)} -> {_short(b.reading)}"


def _gold(one: Scored) -> object:
    target = one.sample.target
    if not isinstance(target, Mapping):
        return target
    return {name: target[name] for name in _GOLD if name in target}


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _difference(a: str, b: str) -> str:
    """The first place where two texts differ."""
    place = next((n for n, (x, y) in enumerate(zip(a, b, strict=False)) if x != y), min(len(a), len(b)))
    start = max(0, place - 10)
    return f"{a[start : place + 30]!r} -> {b[start : place + 30]!r}"


def causes_rows(found: Sequence[Explanation]) -> Rows:
    """One line per task and cause: how many samples, gained and lost, and what they alone move the score by."""
    rows = []
    for one in found:
        of = Counter(change.cause for change in one.changes)
        for cause in CAUSES:
            gained = sum(change.after > change.before for change in one.changes if change.cause == cause)
            if of[cause]:
                moved = f"{one.moves[cause]:+.2f}"
                rows.append(
                    [one.task, cause, CAUSES[cause], str(of[cause]), str(gained), str(of[cause] - gained), moved]
                )
        shown = f"{one.metric}: {one.value_a:.2f} -> {one.value_b:.2f}"
        total = len(one.changes)
        up = sum(change.after > change.before for change in one.changes)
        rows.append([one.task, "all", shown, str(total), str(up), str(total - up), f"{one.value_b - one.value_a:+.2f}"])
    return ["task", "cause", "which is", "samples", "gained", "lost", "moves the score by"], rows


def changes_rows(found: Sequence[Explanation]) -> Rows:
    """One line per sample that changed."""
    rows = [
        [one.task, change.sample_id, change.cause, f"{change.before:g}", f"{change.after:g}", change.detail]
        for one in found
        for change in one.changes
    ]
    return ["task", "sample", "cause", "A", "B", "what differs"], rows


def show_explanation(found: Sequence[Explanation]) -> str:
    """Both tables, with a note on samples that only one run has."""
    parts = [to_table(*causes_rows(found))]
    parts += [f"{one.task}: {one.num_apart} samples are in one run only and left out" for one in found if one.num_apart]
    if any(one.changes for one in found):
        parts.append(to_table(*changes_rows(found)))
    return "\n\n".join(parts)
