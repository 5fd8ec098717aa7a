"""MMCR-Exact: dialogues of several turns about generated images whose answers are computed; no judge.

Source: a folder built by `python -m mmcr_bench exact build`, default mmcr-exact, or its Hub id
Licence: CC0-1.0 (photographs of sheets: of the folder's card) · Rows: as many as were built
Metric: accuracy of every question of the linked dialogues, the model's own replies in the history

Beside it: by operator, distance, what a question needs, and hops; above the best guess that lacks something it needs;
both halves right of pairs that differ in the history, or in an image, alone; what a wrong reply is (carried on from an
own earlier error, fresh, unread); the last question in three tellings and with the true history.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from eval_tasks.exact.mmdu_form import read_replies
from eval_tasks.exact.points import points_of, read_answers, with_points
from eval_tasks.exact.totals import ALONE, HISTORY, IMAGE, OWN, RESOLVED, TRUE, exact_totals, questions_of
from eval_tasks.rows.hub_place import hub_folder, hub_id
from eval_tasks.task import Points, Sample, Scored, Task, Total
from mmcr_bench.exact.exact_set import ExactItem, read_exact, to_json, word
from mmcr_dataset.record.dialogue import DialogueImage

DEFAULT_FOLDER = "mmcr-exact"
RULES = ("exact@1",)
_KINDS = {"resolved": RESOLVED, "alone": ALONE, "history": HISTORY, "image": IMAGE}  # of roles with one sample


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """The samples of every dialogue and of what was made from it, one after the other.

    Raises:
        ValueError: there is no such folder, or it is no set of the controlled world.
    """
    folder = _find_folder(data or DEFAULT_FOLDER)
    for items in _read_groups(folder):
        for item in items:
            yield from _to_samples(item)


def _find_folder(place: str) -> Path:
    """The folder itself, or the files of `ORG/NAME` on the Hub in its cache.

    Raises:
        ValueError: there is neither.
    """
    folder, found = Path(place), hub_id(place)
    if folder.is_dir():
        return folder
    if found is None:
        raise ValueError(
            f"{folder}: no such folder; build the public set with `python -m mmcr_bench exact build --public "
            f"--output_dir {folder}`, a private one with --seed N instead of --public, or name another with --data"
        )
    return hub_folder(*found, "FOLDER of a built set")


def _read_groups(folder: Path) -> list[list[ExactItem]]:
    """The items by their linked dialogue; an image that several of them show is kept once."""
    images: dict[str, DialogueImage] = {}
    groups: dict[str, list[ExactItem]] = {}
    for item in read_exact(folder):
        shared = tuple(images.setdefault(image.sha256, image) for image in item.dialogue.images)
        groups.setdefault(item.group, []).append(replace(item, dialogue=replace(item.dialogue, images=shared)))
    return [sorted(groups[name], key=lambda item: item.role != "linked") for name in sorted(groups)]


def _to_samples(item: ExactItem) -> Iterator[Sample]:
    num_before = len(item.turns) - 1
    if item.role == "linked":
        yield _to_sample(item, OWN, 0)
        yield _to_sample(item, TRUE, num_before)
    else:
        kind = _KINDS[item.role]
        yield _to_sample(item, kind, num_before if kind in (HISTORY, IMAGE) else 0)


def _to_sample(item: ExactItem, kind: str, num_given_turns: int) -> Sample:
    """A sample of an item: all turns asked, or the last one after the true answers."""
    name = item.dialogue.id if kind != TRUE else f"{item.dialogue.id}-{TRUE}"
    return Sample(replace(item.dialogue, id=name), {"kind": kind, **to_json(item)}, item.group, num_given_turns)


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
    """Points of each asked turn, see `points_of`. Args: see `Task.score`."""
    return points_of(sample, replies)


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """Accuracy first. A dialogue that failed at a turn keeps the points of the turns before it."""
    return exact_totals([with_points(one) for one in scored])


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str:
    """The answers as they were read, in words. Args: see `Task.score`."""
    target, asked = sample.target, sample.target["turns"][sample.num_given_turns :]
    answers = zip(read_answers(sample, replies), asked, strict=False)
    domain, side = target["domain"], target["side"]
    return ", ".join("?" if value is None else word(domain, side, one["type"], value) for value, one in answers)


def by_turn(one: Scored) -> list[float | None]:
    """100 for each right turn, 0 for a wrong one. Args: see `Task.by_turn`."""
    return [100.0 * question.points if question.is_answered else None for question in questions_of(with_points(one))]


def answered(path: Path, data: str | None, rules: str) -> tuple[Sequence[Scored], Mapping[str, int]]:
    """Dialogues of a set with the replies of another harness. Args: see `Task.answered`."""
    return read_replies(path, list(samples(data, rules)))


def figure(runs: Mapping[str, Path], out: Path) -> None:
    """Accuracy by distance, with what can be guessed. Args: see `Task.figure`."""
    from eval_tasks.exact.figure import draw_runs

    draw_runs(runs, out)


TASK = Task(
    "mmcr_exact",
    (__doc__ or "").strip(),
    samples,
    score,
    totals,
    read=read,
    by_turn=by_turn,
    rules=RULES,
    answered=answered,
    figure=figure,
)
