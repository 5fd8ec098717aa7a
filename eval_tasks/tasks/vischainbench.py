"""VisChainBench: chains of steps, each answered by choosing one of several images; no judge.

Source: the unpacked archives of Hub eyehole/VisChainBench (--data FOLDER with task.json files and their images)
Licence: CC BY 4.0 · Rows: one dialogue for each task.json
Metric: CA, share of right choices; TC, share of chains that are right throughout; by turn · Paper: arXiv 2512.06759

Files (initial_scene_description; questions with question, task_description, choices of image and correct) from the
Hub's card. Native turn by turn: the model's own replies are the history, a letter is asked for, and VLMEvalKit's rules
read it. The published runs (auto_test_vlm.py: Qwen2.5-VL-3B 22.30, 7B 35.56 overall) word their prompts otherwise.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from string import ascii_uppercase
from typing import Any

from eval_tasks.readers.multiple_choice import read_letter
from eval_tasks.readers.turn_points import points_by_turn, to_points, turn_totals, whole_dialogues
from eval_tasks.rows.hub_rows import require_cells, to_text
from eval_tasks.rows.table_files import load_json
from eval_tasks.task import Points, Sample, Scored, Task, Total
from mmcr_dataset.record.dialogue import Block, Dialogue, DialogueImage, Turn
from mmcr_dataset.record.paths import find_inside

CLOSING = "\nAnswer with the letter of the right image."
_READ_AS = "vlmevalkit@2026-06"


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """One sample for each chain.

    Raises:
        ValueError: the folder has no task.json, or one is malformed.
    """
    folder = Path(data or "VisChainBench")
    found = [folder] if folder.name == "task.json" else sorted(folder.rglob("task.json"))
    if not found:
        raise ValueError(f"{folder}: no task.json; unpack the archives of Hub eyehole/VisChainBench there")
    for path in found:
        yield to_sample(load_json(path), path)


def to_sample(chain: Mapping[str, Any], path: Path) -> Sample:
    """The sample of a chain.

    Args:
        chain: content of its task.json.
        path: the file; images lie beside it.

    Raises:
        ValueError: a field or an image is missing, or a question has no single right choice.
    """
    (questions,) = require_cells(chain, ("questions",), str(path))
    images: list[DialogueImage] = []
    turns, answers = [], []
    for number, asked in enumerate(questions, start=1):
        place = f"{path} question {number}"
        question, choices = require_cells(asked, ("question", "choices"), place)
        right = [letter for letter, one in zip(ascii_uppercase, choices, strict=False) if one.get("correct")]
        if len(right) != 1:
            raise ValueError(f"{place}: {len(right)} of {len(choices)} choices are correct, expected one")
        said = [
            chain.get("initial_scene_description") if number == 1 else None,
            asked.get("task_description"),
            question,
        ]
        text = "\n".join(to_text(text).strip() for text in said if text)
        human: list[Block] = []
        for letter, one in zip(ascii_uppercase, choices, strict=False):
            images.append(DialogueImage(_read_image(path.parent, str(one.get("image", "")), place)))
            human += [f"{text}\n{letter}: ", len(images)]
            text = ""
        turns.append(Turn((*human, CLOSING), right[0]))
        answers.append({"answer": right[0], "options": list(ascii_uppercase[: len(choices)])})
    name = "-".join(path.parent.parts[-2:])
    return Sample(Dialogue(name, tuple(turns), tuple(images)), {"turns": answers}, group=name)


def _read_image(folder: Path, name: str, place: str) -> bytes:
    path = find_inside(folder, name) or find_inside(folder, Path(name).name)
    if path is None:
        raise ValueError(f"{place}: no image {name!r} in {folder}; unpack the whole archive")
    return path.read_bytes()


def _letters(sample: Sample, replies: Sequence[str]) -> list[str | None]:
    turns = zip(sample.target["turns"], replies, strict=False)
    return [read_letter(reply, dict.fromkeys(turn["options"], "\0"), _READ_AS) for turn, reply in turns]


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
    """1 for each right choice. Args: see `Task.score`."""
    said = zip(_letters(sample, replies), sample.target["turns"], strict=False)
    of_turns = {turn: float(letter == one["answer"]) if letter else None for turn, (letter, one) in enumerate(said)}
    return to_points("CA", of_turns, len(sample.dialogue.turns))


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str:
    """The letter of each turn. Args: see `Task.score`."""
    return ", ".join(letter or "?" for letter in _letters(sample, replies))


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """Right choices, whole chains, and choices by turn."""
    found = turn_totals(scored, "CA")
    return {"CA": found.pop("CA"), "TC": whole_dialogues(scored), **found}


TASK = Task(
    "vischainbench",
    (__doc__ or "").strip(),
    samples,
    score,
    totals,
    read=read,
    by_turn=points_by_turn,
    rules=("mmcr@2026-11",),
)
