"""VisDial v1.0 val: an image and nine rounds of questions with their true answers; the tenth answer is judged.

Source: visdial_1.0_val.json with its images VisualDialog_val2018/*.jpg in one folder (--data FOLDER); no Hub copy
Licence: CC BY 4.0 (annotations) · Rows: 2064
Metric: share of tenth answers that a chat model calls right · Paper: arXiv 1611.08669, used as in arXiv 2503.18533

Our choices where the paper gives no details: the caption isn't shown, the prompt doesn't mention the answer's length,
and the judge says right or wrong.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from eval_tasks.readers.judged_answer import fence_reply, judged_task
from eval_tasks.rows.hub_rows import to_text
from eval_tasks.rows.table_files import load_json
from eval_tasks.task import Points, Sample, Scored, Total
from eval_tasks.totals import mean_total
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from mmcr_dataset.record.paths import is_inside

NUM_ROUNDS = 10


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """One sample per dialogue; the first nine rounds are given.

    Raises:
        ValueError: the folder lacks the JSON file or an image.
    """
    folder = Path(data or "visdial")
    files = sorted(folder.glob("visdial*val*.json")) if folder.is_dir() else []
    if len(files) != 1:
        raise ValueError(f"{folder}: expected a folder with visdial_1.0_val.json and its images, found {len(files)}")
    content: dict[str, Any] = load_json(files[0])["data"]
    images = {
        path.stem.rpartition("_")[2].lstrip("0"): path for path in folder.rglob("*.jpg") if is_inside(path, folder)
    }
    for entry in content["dialogs"]:
        image_id = str(entry["image_id"])
        if image_id not in images:
            raise ValueError(f"{folder}: no image for image_id {image_id}, such as *_{int(image_id):012d}.jpg")
        yield to_dialogue_sample(entry, content["questions"], content["answers"], images[image_id].read_bytes())


def to_dialogue_sample(entry: dict[str, Any], questions: Sequence[str], answers: Sequence[str], image: bytes) -> Sample:
    """The sample of one dialogue.

    Args:
        entry: object of `dialogs`, with indices of questions and answers.
        questions: all questions.
        answers: all answers.
        image: the image's bytes.

    Raises:
        ValueError: not ten rounds with answers.
    """
    image_id, rounds = str(entry["image_id"]), entry["dialog"]
    if len(rounds) != NUM_ROUNDS or any("answer" not in one for one in rounds):
        raise ValueError(f"VisDial image {image_id}: expected {NUM_ROUNDS} rounds with their answers")
    turns = []
    for number, one in enumerate(rounds):
        question = to_text(questions[one["question"]]).rstrip("? ") + "?"
        turns.append(Turn(introduce([1] if number == 0 else [], question), to_text(answers[one["answer"]])))
    dialogue = Dialogue(f"visdial-{image_id}", tuple(turns), (DialogueImage(image),))
    target = {"question": turns[-1].human_text, "answer": turns[-1].assistant}
    return Sample(dialogue, target, group=image_id, num_given_turns=NUM_ROUNDS - 1)


def to_judge(sample: Sample, replies: Sequence[str], rules: str) -> str:
    """The judge's prompt: is the tenth answer right?"""
    return (
        "Is a reply to a question about a picture right? The true answer is given; other words for the same are right. "
        "Say Right or Wrong and nothing else.\n\n"
        f"Question: {sample.target['question']}\nTrue answer: {sample.target['answer']}\n"
        f"{fence_reply(replies[0])}\n\nRight or Wrong:"
    )


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
    """1 for Right, 0 for Wrong, None without a verdict. Args: see `Task.score`."""
    return {"accuracy": {"right": 1.0, "wrong": 0.0}.get(read(sample, replies, rules, verdict) or "")}


def read(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> str | None:
    """The judge's verdict, normalized. Args: see `Task.score`."""
    return str(verdict or "").strip().strip(".*").lower() or None


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """The share of right tenth answers."""
    return {"accuracy": mean_total(scored, "accuracy")}


TASK = judged_task("visdial", __doc__, samples, score, totals, to_judge, read, rules=("mmcr@2025-03",))
