"""MuCR, its choice of a cue: what in two images links the cause in the first to the effect in the second?

Source: Hub Pinkygin/MuCR (split train), or rows of that form
Licence: see the Hub card · Rows: all of the split
Metric: accuracy, and by style · Paper: arXiv 2408.08105

Columns (image_0: cause, image_1: effect, cue, false_cue: three of them, style): README of Zhiyuan-Li-John/MuCR. Its
prompts and scorer aren't public: question, order of the options (by a seed of the row) and prompt are ours, the letter
is read as in VLMEvalKit. The choice among effect images and the explanations, which a chat model judges, aren't asked.
"""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from string import ascii_uppercase

from eval_tasks.readers.multiple_choice import ChoiceRows, choice_task, read_letter
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import require_cells
from eval_tasks.rows.table_files import to_texts
from eval_tasks.task import Row

RULES = ("mmcr@2026-11",)
ASKED = "The first image shows a cause and the second its effect. Which cue links the two images?"
HUB = HubRows("Pinkygin/MuCR", "train")


def to_question(row: Row, place: str) -> Row:
    """A row as a question with four cues; one that is a question stays.

    Raises:
        ValueError: a column or an image is missing, or the cue is one of the false ones.
    """
    if "question" in row:
        return row
    cue, false = require_cells(row, ("cue", "false_cue"), place)
    others = to_texts(false, place)
    options = Random(str(row.get("id", place))).sample([str(cue), *others], len(others) + 1)  # noqa: S311
    if str(cue) in others:
        raise ValueError(f"{place}: the cue {cue!r} is one of false_cue")
    images = row.get("image") or [row[name] for name in ("image_0", "image_1") if row.get(name) is not None]
    if len(images) == 1:
        raise ValueError(f"{place}: one image, expected image_0 and image_1")
    asked = {"question": ASKED, "options": options, "answer": ascii_uppercase[options.index(str(cue))]}
    return {"id": row.get("id", place), "category": row.get("style"), "image": images, **asked}


def read_cue(reply: str, options: Mapping[str, str]) -> str | None:
    """The letter, or the only cue that is named."""
    return read_letter(reply, options, "vlmevalkit@2026-06")


ROWS = ChoiceRows(HUB, stem="MuCR", lmms_read=read_cue, own_rules=RULES[0], change=to_question)
TASK = choice_task("mucr", __doc__, ROWS, RULES)
