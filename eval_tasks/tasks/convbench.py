"""ConvBench: dialogues of three turns about an image: perception, reasoning, creation.

Source: ConvBench.xlsx of github.com/shirlyliu64/ConvBench (--data FILE or FOLDER), its images in visit_bench_images
Licence: CC BY 4.0 · Rows: 577 dialogues
Metric: judge's rating of each reply (1 to 10, shown as 10 to 100), mean over turns; by turn · Paper: arXiv 2403.20194

The public table has instructions only. The benchmark's own script compares with human answers
(first_turn_answer, ...) from a table that isn't public: where a table has them, the judge sees them as the reference.
Prompt and rating are ours, replies stand in the history, so numbers stand apart from the paper's win rates.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from eval_tasks.readers.judged_turns import JudgedTurns
from eval_tasks.rows.hub_rows import require_cells, to_text
from eval_tasks.rows.table_files import read_table, table_files
from eval_tasks.task import Row, Sample
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn
from mmcr_dataset.record.paths import find_inside

TURNS = ("first", "second", "third")
HIGHEST = 10.0
_RATING = re.compile(r"\[\[(\d{1,2})\]\]")


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """One sample for each dialogue."""
    (path,) = table_files(Path(data or "ConvBench.xlsx"))
    for number, row in enumerate(read_table(path), start=1):
        if row.get("The_first_turn_instruction") is not None:
            yield to_sample(row, path, number)


def to_sample(row: Row, path: Path, number: int) -> Sample:
    """The sample of a dialogue.

    Args:
        row: the row of the table.
        path: the table; images lie beside it, or in visit_bench_images or images.
        number: number of the row, from 1.

    Raises:
        ValueError: a column or the image is missing.
    """
    place = f"{path} row {number}"
    name, *asked = require_cells(row, ("image_id", *(f"The_{turn}_turn_instruction" for turn in TURNS)), place)
    folders = (path.parent / folder for folder in ("visit_bench_images", "images", "."))
    image = next((found for folder in folders if (found := find_inside(folder, str(name)))), None)
    if image is None:
        raise ValueError(
            f"{place}: no image {name!r} in visit_bench_images beside the table; the repository lacks some"
        )
    references = [str(row.get(f"{turn}_turn_answer") or "") for turn in TURNS]
    turns = tuple(
        Turn(((1, to_text(text)) if index == 0 else (to_text(text),)), to_text(reference) or "(none)")
        for index, (text, reference) in enumerate(zip(asked, references, strict=True))
    )
    dialogue = Dialogue(str(row.get("ID", number)), turns, (DialogueImage(image.read_bytes()),))
    return Sample(dialogue, {"references": references}, group=str(name))


def to_prompt(sample: Sample, turn: int, told: str, reply: str) -> str:
    """The judge's prompt for a turn: the dialogue so far, the reference if there is one, and the fenced reply."""
    reference = sample.target["references"][turn]
    known = f"Reference reply:\n{reference}\n\n" if reference else ""
    return (
        "Judge the last reply of an assistant in a dialogue about an image, which you don't see. Does it do what "
        "is asked, and does it fit the dialogue and the reference reply, if there is one? Name its mistakes, and "
        f"rate it from 1 to 10, as in this example: Rating: [[5]]\n\n{told}Person: "
        f"{sample.dialogue.turns[turn].human_text}\n\n{known}{reply}\n\nYour judgement and rating:"
    )


def read_rating(verdict: str) -> float | None:
    """The last rating of a verdict; None without one of 1 to 10."""
    found = _RATING.findall(verdict)
    return float(found[-1]) if found and 1 <= int(found[-1]) <= HIGHEST else None


TASK = JudgedTurns("rating", HIGHEST, to_prompt, lambda _sample, _turn, said: read_rating(said)).task(
    "convbench", __doc__ or "", samples
)
