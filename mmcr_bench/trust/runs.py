"""Read a model's replies and scores from `samples.jsonl` of a finished evaluation run, to judge them again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

from mmcr_bench.judge.mmdu_rubric import MMDU_NAMES
from mmcr_bench.judge.rubric import NAMES, REPORTED_FACTOR, SCORE_MAX, SCORE_MIN
from mmcr_dataset.record.dialogue import Dialogue, InvalidDialogue, from_json, image_entries
from mmcr_dataset.stage.stages import read_jsonl

TASK = "mmcr_bench"
_BARE: dict[str, object] = {
    "domain": None,
    "topic": None,
    "source": {},
    "generation": {},
}  # of runs that other programs wrote
DIMENSIONS_OF: Mapping[str, tuple[str, ...]] = {TASK: NAMES, "mmdu": MMDU_NAMES}  # as the tasks name their points


@dataclass(frozen=True, slots=True)
class Run:
    """Dialogues of the bench with a model's replies.

    Attributes:
        name: name of the run's folder.
        dialogues: without image bytes, unless the bench was given too.
        replies: one list per dialogue, one reply per turn.
        scores: 1..10 by dialogue id and dimension, of the dialogues with rubric scores.
        num_failed: dialogues excluded because the model did not answer every turn.
        details: what the run keeps of each scored dialogue's judgement, by id.
    """

    name: str
    dialogues: tuple[Dialogue, ...]
    replies: tuple[tuple[str, ...], ...]
    scores: Mapping[str, Mapping[str, float]]
    num_failed: int
    details: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


def read_run(folder: Path, bench: str | None = None, task: str = TASK) -> Run:
    """Read a run folder of `python -m eval_tasks` with a judged task.

    Args:
        folder: folder of the run.
        bench: folder or Hub id of the evaluated bench, to restore the images of the dialogues; None for no images.
        task: mmcr_bench or mmdu.

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
    details: dict[str, Mapping[str, object]] = {}
    num_failed = 0
    for number, value in enumerate(read_jsonl(path, "score the run again"), start=1):
        try:
            if value["task"] != task:
                continue
            hashes = [image["sha256"] for image in image_entries(value["dialogue"])]
            if data is not None and not data.keys() >= set(hashes):
                raise ValueError(f"{bench} lacks an image of {path} line {number}: was the run made with this bench?")
            dialogue = from_json(_BARE | value["dialogue"], data if data is not None else dict.fromkeys(hashes, b""))
            if len(value["replies"]) != len(dialogue.turns):
                num_failed += 1
                continue
            scale = REPORTED_FACTOR if task == TASK else 1
            given = {name: value["points"].get(name) for name in DIMENSIONS_OF[task]}
            points = {name: point / scale for name, point in given.items() if point is not None}
        except (KeyError, TypeError, InvalidDialogue) as error:
            raise ValueError(f"{path} line {number}: not a sample of a run ({error!r}); run it again") from error
        dialogues.append(dialogue)
        replies.append(tuple(value["replies"]))
        if points:
            scores[dialogue.id] = points
            details[dialogue.id] = value.get("judged") or {}
    if not dialogues:
        raise ValueError(f"{folder}: no answered dialogue of {task}; run `python -m eval_tasks --tasks {task}`")
    return Run(folder.name, tuple(dialogues), tuple(replies), scores, num_failed, details)


def find_task(folder: Path) -> str:
    """The judged task of a run: mmcr_bench, or mmdu where there is only that."""
    path = folder / "samples.jsonl"
    tasks = {value.get("task") for value in read_jsonl(path, "score the run again")} if path.is_file() else set()
    return next((task for task in DIMENSIONS_OF if task in tasks), TASK)


def _read_images(bench: str) -> dict[str, bytes]:
    from mmcr_dataset.record.load import load_dialogues

    images = (image for dialogue in load_dialogues(bench, split=None) for image in dialogue.images)
    return {image.sha256: image.data for image in images}


def read_expert_scores(path: Path, names: Sequence[str] = NAMES, run: str | None = None) -> dict[str, dict[str, float]]:
    """Experts' scores of the same replies, mean over experts, by dialogue id and dimension.

    Args:
        path: the file, see `read_each_expert`.
        names: dimensions of the task.
        run: name of the run; lines of other runs are left out.

    Raises:
        ValueError: a line is malformed, a name is unknown, a score is out of 1..10, or no line is of the run.
    """
    given: dict[str, dict[str, list[float]]] = {}
    for of_expert in read_each_expert(path, names, run).values():
        for id_, scores in of_expert.items():
            for name, score in scores.items():
                given.setdefault(id_, {}).setdefault(name, []).append(score)
    return {id_: {name: fmean(scores) for name, scores in by_name.items()} for id_, by_name in given.items()}


def read_each_expert(
    path: Path, names: Sequence[str] = NAMES, run: str | None = None
) -> dict[str, dict[str, dict[str, float]]]:
    """Scores by expert, dialogue id and dimension; an expert's mean where there are several for a dialogue.

    One JSON object per line: `{"id": "...", "expert": "ann", "scores": {"precision": 7, ...}}`, with `run` where the
    file holds several (as `scoring export` writes it).

    Raises:
        ValueError: as `read_expert_scores`.
    """
    given: dict[str, dict[str, dict[str, list[float]]]] = {}
    runs: set[str] = set()
    for number, value in enumerate(read_jsonl(path, "fix or remove the line"), start=1):
        if not isinstance(value.get("scores"), dict) or not isinstance(value.get("id"), str):
            raise ValueError(f"{path} line {number}: expected an object with `id` and `scores`")
        for name, score in value["scores"].items():
            if name not in names:
                raise ValueError(f"{path} line {number}: score {name!r}, expected some of {list(names)}")
            if type(score) not in (int, float) or not SCORE_MIN <= score <= SCORE_MAX:
                raise ValueError(f"{path} line {number}: {name} is {score!r}, expected {SCORE_MIN} to {SCORE_MAX}")
        runs.add(str(value.get("run", run)))
        if run is not None and value.get("run", run) != run:
            continue
        of_dialogue = given.setdefault(str(value.get("expert", "")), {}).setdefault(value["id"], {})
        for name, score in value["scores"].items():
            of_dialogue.setdefault(name, []).append(float(score))
    if not given and runs:
        raise ValueError(f"{path}: holds scores of {', '.join(sorted(runs))}, none of the run {run}")
    return {
        expert: {id_: {name: fmean(scores) for name, scores in one.items()} for id_, one in by_id.items()}
        for expert, by_id in given.items()
    }
