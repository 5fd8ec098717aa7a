"""Read a model's replies and scores from `samples.jsonl` of a finished evaluation run, to judge them again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from mmcr_bench.judge.rubric import NAMES, REPORTED_FACTOR, SCORE_MAX, SCORE_MIN
from mmcr_dataset.record.dialogue import Dialogue, InvalidDialogue, from_json, image_entries
from mmcr_dataset.stage.stages import read_jsonl

TASK = "mmcr_bench"


@dataclass(frozen=True, slots=True)
class Run:
    """Dialogues of the bench with a model's replies.

    Attributes:
        name: name of the run's folder.
        dialogues: without image bytes, unless the bench was given too.
        replies: one list per dialogue, one reply per turn.
        scores: 1..10 by dialogue id and dimension, of the dialogues with rubric scores.
        num_failed: dialogues excluded because the model did not answer every turn.
    """

    name: str
    dialogues: tuple[Dialogue, ...]
    replies: tuple[tuple[str, ...], ...]
    scores: Mapping[str, Mapping[str, float]]
    num_failed: int


def read_run(folder: Path, bench: str | None = None) -> Run:
    """Read a run folder of `python -m eval_tasks` with the task mmcr_bench.

    Args:
        folder: folder of the run.
        bench: folder or Hub id of the evaluated bench, to restore the images of the dialogues; None for no images.

    Raises:
        ValueError: there is no run, it lacks the task, a line is malformed, or the bench lacks an image.
    """
    path = folder / "samples.jsonl"
    data = _read_images(bench) if bench is not None else None
    if not path.is_file():
        raise ValueError(f"{folder}: no finished run (samples.jsonl is missing); make one with `python -m eval_tasks`")
    dialogues: list[Dialogue] = []
    replies: list[tuple[str, ...]] = []
    scores: dict[str, dict[str, float]] = {}
    num_failed = 0
    for number, value in enumerate(read_jsonl(path, "score the run again"), start=1):
        try:
            if value["task"] != TASK:
                continue
            hashes = [image["sha256"] for image in image_entries(value["dialogue"])]
            if data is not None and not data.keys() >= set(hashes):
                raise ValueError(f"{bench} lacks an image of {path} line {number}: was the run made with this bench?")
            dialogue = from_json(value["dialogue"], data if data is not None else dict.fromkeys(hashes, b""))
            if len(value["replies"]) != len(dialogue.turns):
                num_failed += 1
                continue
            points = {name: value["points"][name] / REPORTED_FACTOR for name in NAMES if name in value["points"]}
        except (KeyError, TypeError, InvalidDialogue) as error:
            raise ValueError(f"{path} line {number}: not a sample of a run ({error!r}); run it again") from error
        dialogues.append(dialogue)
        replies.append(tuple(value["replies"]))
        if points:
            scores[dialogue.id] = points
    if not dialogues:
        raise ValueError(f"{folder}: no answered dialogue of {TASK}; run `python -m eval_tasks --tasks {TASK}`")
    return Run(folder.name, tuple(dialogues), tuple(replies), scores, num_failed)


def _read_images(bench: str) -> dict[str, bytes]:
    from mmcr_dataset.record.load import load_dialogues

    images = (image for dialogue in load_dialogues(bench, split=None) for image in dialogue.images)
    return {image.sha256: image.data for image in images}


def read_expert_scores(path: Path) -> dict[str, dict[str, float]]:
    """Experts' scores of the same replies, mean over experts, by dialogue id and dimension.

    One JSON object per line: `{"id": "...", "expert": "ann", "scores": {"precision": 7, ...}}`.

    Raises:
        ValueError: a line is malformed, a name is unknown, or a score is out of 1..10.
    """
    given: dict[str, dict[str, list[float]]] = {}
    for number, value in enumerate(read_jsonl(path, "fix or remove the line"), start=1):
        if not isinstance(value.get("scores"), dict) or not isinstance(value.get("id"), str):
            raise ValueError(f"{path} line {number}: expected an object with `id` and `scores`")
        for name, score in value["scores"].items():
            if name not in NAMES:
                raise ValueError(f"{path} line {number}: score {name!r}, expected some of {list(NAMES)}")
            if type(score) not in (int, float) or not SCORE_MIN <= score <= SCORE_MAX:
                raise ValueError(f"{path} line {number}: {name} is {score!r}, expected {SCORE_MIN} to {SCORE_MAX}")
            given.setdefault(value["id"], {}).setdefault(name, []).append(float(score))
    return {id_: {name: fmean(scores) for name, scores in by_name.items()} for id_, by_name in given.items()}
