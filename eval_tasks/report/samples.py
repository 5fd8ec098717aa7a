"""Samples of the report page: images, questions, references, replies and scores."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

from eval_tasks.store.run_folder import from_record, read_records, read_results
from eval_tasks.task import Scored, Task
from mmcr_dataset.record.dialogue import Dialogue, Turn
from mmcr_dataset.record.images import ImageError, decode_rgb

NUM_SAMPLES = 20  # per task


def samples_of_tasks(
    runs: Sequence[Path],
    tasks: Mapping[str, Task],
    data: Mapping[str, str],
    num_samples: int = NUM_SAMPLES,
    only: Mapping[str, Sequence[str]] | None = None,
) -> list[dict[str, Any]]:
    """The first samples of each task with the replies of every run.

    Args:
        runs: finished run folders.
        tasks: the tasks they share.
        data: task name -> place of its data, for the images, which a run doesn't store.
        num_samples: number of samples per task.
        only: task name -> ids of the samples to show, all of them; None for the first.
    """
    scored = {run: _scored_by_task(run, tasks) for run in runs}
    sections = []
    for name, task in tasks.items():
        of_first = scored[runs[0]][name]
        if only is not None:
            of_first = {key: one for key, one in of_first.items() if key in set(only.get(name, ()))}
        first = list(islice(of_first.values(), num_samples if only is None else None))
        rules = read_results(runs[0])["tasks"][name]["rules"]
        dialogues = _with_images(first, task, rules, data[name]) if name in data else {}
        shown = [
            _to_shown(dialogues.get(key, _without_images(one.sample.dialogue)), key, name, scored)
            for key, one in zip(of_first, first, strict=False)
        ]
        note = f"{len(shown)} of {len(of_first)} samples."
        note += "" if name in data else f" Images: pass --data {name}=PLACE, a run keeps none."
        sections.append({"name": name, "note": note, "shown": shown})
    return sections


def _scored_by_task(run: Path, tasks: Mapping[str, Task]) -> dict[str, dict[str, Scored]]:
    found: dict[str, dict[str, Scored]] = {name: {} for name in tasks}
    for record in read_records(run):
        if record["task"] in found and not record.get("repeat"):
            found[record["task"]][record["id"]] = from_record(record)
    return found


def _with_images(scored: Sequence[Scored], task: Task, rules: str, data: str) -> dict[str, Dialogue]:
    """The dialogues of the data with their images; without those with an image that can't be decoded."""
    wanted = {one.sample.dialogue.id for one in scored}
    found: dict[str, Dialogue] = {}
    for sample in task.samples(data, rules):
        if sample.dialogue.id in wanted:
            wanted.discard(sample.dialogue.id)
            if all(_is_image(image.data) for image in sample.dialogue.images):
                found[sample.dialogue.id] = sample.dialogue
        if not wanted:
            break
    return found


def _is_image(data: bytes) -> bool:
    try:
        decode_rgb(data)
    except ImageError:
        return False
    return True


def _without_images(dialogue: Dialogue) -> Dialogue:
    turns = tuple(
        Turn(("".join(block for block in turn.human if isinstance(block, str)),), turn.assistant)
        for turn in dialogue.turns
    )
    return replace(dialogue, turns=turns, images=())


def _to_shown(
    dialogue: Dialogue, sample_id: str, task: str, scored: Mapping[Path, Mapping[str, Mapping[str, Scored]]]
) -> tuple[str, Dialogue, list[list[tuple[str, str]]]]:
    """The sample's id, its dialogue, and for each turn (name, text) of the runs and their judges."""
    turns: list[list[tuple[str, str]]] = [[] for _ in dialogue.turns]
    for run, of_task in scored.items():
        one = of_task[task].get(sample_id)
        if one is None:
            continue
        replies, last = dict(enumerate(one.replies, start=one.sample.num_given_turns)), len(turns) - 1
        said_by_judge = _replies_of_judge(one)
        for number, turn in enumerate(turns):
            name = f"{run.name}: {_show_points(one)}" if number == last else run.name
            if number in replies or number == last:
                turn.append((name, replies.get(number, "")))
            turn += [(f"{run.name}, judge {judge}", text) for place, judge, text in said_by_judge if place == number]
    return sample_id, dialogue, turns


def _replies_of_judge(one: Scored) -> list[tuple[int, str, str]]:
    """(turn, judge, reply) of all judges' replies about a sample."""
    num_given, judged = one.sample.num_given_turns, one.judged
    details = [(num_given + place, detail) for place, detail in enumerate(judged.get("turns", ()))]
    details += [(len(one.sample.dialogue.turns) - 1, detail) for detail in [judged, *judged.get("members", ())]]
    return [
        (place, str(detail.get("judge") or detail.get("model") or ""), str(detail["reply"]))
        for place, detail in details
        if detail.get("reply")
    ]


def _show_points(one: Scored) -> str:
    """The points of a sample with the parsed answer, or the reason of a failure."""
    if one.failure is not None:
        return f"failed: {one.failure.reason} ({one.failure.detail})"
    points = ", ".join(f"{name} {'unread' if value is None else f'{value:g}'}" for name, value in one.points.items())
    if one.unjudged is not None:
        return "; ".join(filter(None, [f"unjudged: {one.unjudged.reason} ({one.unjudged.detail[:200]})", points]))
    if one.is_unread:
        return f"{points}: the rules find no answer in the reply, and no judge was asked"
    return f"{points}; read: {one.reading or 'nothing'}" if one.reading is not None else points
