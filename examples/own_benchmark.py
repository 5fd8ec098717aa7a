"""A benchmark of your own: which colour fills the image? Asked in two turns, so that the model must remember.

Source: drawn here · License: Apache-2.0 · Rows: 4 · Metric: accuracy

    python -m eval_tasks --model hf:CHECKPOINT --tasks_from examples/own_benchmark.py --tasks own_benchmark

The file's name is the task's name. `samples` may read rows from anywhere; these are drawn.
"""

from __future__ import annotations

import io
from collections.abc import Iterator, Sequence

from PIL import Image

from eval_tasks.task import Points, Sample, Scored, Task, Total
from eval_tasks.totals import mean_total
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn

COLOURS = ("red", "green", "blue", "yellow")


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """One dialogue a colour; an image's number (from 1) in a turn says where it is shown."""
    for colour in COLOURS:
        image = io.BytesIO()
        Image.new("RGB", (64, 64), colour).save(image, "PNG")
        turns = (
            Turn((1, "What is the shape of this image?"), "It is a square."),
            Turn(("And which colour fills it?",), f"It is {colour}."),
        )
        yield Sample(Dialogue(colour, turns, (DialogueImage(image.getvalue()),)), target=colour, group=colour)


def score(sample: Sample, replies: Sequence[str], rules: str, verdict: object) -> Points:
    """1 if the last reply names the colour and no other; None (unread) if it names none."""
    named = {colour for colour in COLOURS if colour in replies[-1].lower()}
    return {"accuracy": float(named == {sample.target}) if named else None}


def totals(scored: Sequence[Scored], rules: str) -> dict[str, Total]:
    """Mean over the samples, in percent."""
    return {"accuracy": mean_total(scored, "accuracy")}


TASK = Task("own_benchmark", __doc__, samples, score, totals, rules=("own@1",))
