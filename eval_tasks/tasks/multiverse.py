"""MultiVerse: dialogues about an image with a checklist for every reply, ticked by a judge.

Source: Hub passing2961/MultiVerse (split train)
Licence: CC BY-NC 4.0 · Rows: 647 dialogues
Metric: share of the checklist that replies meet, mean over turns; by turn · Paper: arXiv 2510.16641

Columns (image, conversation of speaker, utterance and checklist of question, main_criteria, sub_criteria) from the
Hub's card. The paper's scorer (GPT-4o) isn't released: prompt and scale are ours, the judge reads text only, and the
model's own replies are the history. Numbers of this task stand apart from published ones.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from eval_tasks.readers.judged_turns import JudgedTurns
from eval_tasks.rows.benchmark_table import HubRows
from eval_tasks.rows.hub_rows import images_of, load_rows, require_cells, to_text
from eval_tasks.rows.table_files import json_value
from eval_tasks.task import Row, Sample
from mmcr_dataset.record.dialogue import Dialogue, Turn

HUB = HubRows("passing2961/MultiVerse", "train")
_TICK = re.compile(r"^[^\S\n]*(\d{1,3})[^\S\n]*[:.)][^\S\n]*\**(yes|no)\b", re.IGNORECASE | re.MULTILINE)


def samples(data: str | None, rules: str) -> Iterator[Sample]:
    """One sample for each dialogue."""
    for number, row in enumerate(load_rows(data, HUB, "MultiVerse")):
        yield to_sample(row, number)


def to_sample(row: Row, number: int) -> Sample:
    """The sample of a dialogue; the first speaker is the person.

    Raises:
        ValueError: a column is missing, speakers don't take turns, or no reply has a checklist.
    """
    place = f"MultiVerse row {number}"
    (said,) = require_cells(row, ("conversation",), place)
    said = json_value(said, place) if isinstance(said, str) else said
    speakers = [one.get("speaker") for one in said]
    if len(set(speakers[:2])) < 2 or any(name != speakers[index % 2] for index, name in enumerate(speakers)):
        names = ", ".join(map(str, speakers)) or "nobody"
        raise ValueError(f"{place}: expected two speakers in turn, found {names}")
    pairs = list(zip(said[::2], said[1::2], strict=False))
    lists = [[*_criteria(asked.get("checklist")), *_criteria(told.get("checklist"))] for asked, told in pairs]
    if not pairs or not all(lists):
        raise ValueError(f"{place}: {sum(map(bool, lists))} of {len(pairs)} replies have a checklist")
    images = tuple(images_of(row, place))
    shown = tuple(range(1, len(images) + 1))
    turns = tuple(
        Turn(((*shown, to_text(asked["utterance"])) if index == 0 else (to_text(asked["utterance"]),)),
             to_text(told["utterance"]) or "(none)")
        for index, (asked, told) in enumerate(pairs)
    )  # fmt: skip
    name = str(row.get("index", number))
    return Sample(Dialogue(f"multiverse-{name}", turns, images), {"checklists": lists}, group=name)


def _criteria(value: Any) -> list[str]:  # noqa: ANN401  (any JSON value)
    """The questions of a checklist, whatever its form: a list or a table of columns."""
    if isinstance(value, Mapping):
        value = value.get("question")
    items = value if isinstance(value, list) else [value]
    texts = [item.get("question") if isinstance(item, Mapping) else item for item in items]
    return [str(text).strip() for text in texts if text]


def to_prompt(sample: Sample, turn: int, told: str, reply: str) -> str:
    """The judge's prompt for a turn: the dialogue so far, the reference, the fenced reply and its checklist."""
    asked = sample.dialogue.turns[turn]
    listed = "\n".join(f"{number}: {text}" for number, text in enumerate(sample.target["checklists"][turn], start=1))
    return (
        "Check the last reply of an assistant in a dialogue about an image, which you don't see; a reference reply "
        "tells what is in it. Answer each question of the checklist about the last reply with yes or no, one a "
        f"line, as in `1: yes`.\n\n{told}Person: {asked.human_text}\n\nReference reply: {asked.assistant}\n\n"
        f"{reply}\n\nChecklist:\n{listed}\n\nYour answers:"
    )


def read_ticks(verdict: str, num_criteria: int) -> float | None:
    """The share of yes; None unless every criterion has one answer."""
    ticks = {int(number): answer.lower() for number, answer in _TICK.findall(verdict)}
    if ticks.keys() != set(range(1, num_criteria + 1)):
        return None
    return list(ticks.values()).count("yes") / num_criteria


def read_share(sample: Sample, turn: int, verdict: str) -> float | None:
    """The share of the turn's checklist that its reply meets."""
    return read_ticks(verdict, len(sample.target["checklists"][turn]))


TASK = JudgedTurns("checklist", 1.0, to_prompt, read_share, digits=2).task("multiverse", __doc__ or "", samples)
