"""A data set of the controlled world on disk: dialogues in the project's rows, programs beside them in `exact.jsonl`.

The default configuration holds one telling, in a bench the linked one; `variants` holds what is made from the same
dialogues: the other tellings and the other halves of pairs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from mmcr_bench.exact.facts import Facts
from mmcr_bench.exact.program import Program, leaves, to_program, value_of
from mmcr_bench.exact.scene import DOMAINS, IntArray
from mmcr_bench.exact.wording import REFUSAL, answer_text
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.load import read_shards
from mmcr_dataset.record.row import from_row
from mmcr_dataset.stage.stages import read_jsonl

PROGRAMS_NAME = "exact.jsonl"
SETTINGS_NAME = "exact.json"
FORMAT = 1  # of the programs; another number, another meaning
VARIANTS = "variants"  # folder and configuration of everything that is not the default telling
ROLES = ("linked", "resolved", "alone", "history", "image")


@dataclass(frozen=True)
class Asked:
    """A question.

    Attributes:
        op: the operator.
        type: type of the answer: that of an attribute (colour, shape, class, digit, height), number, yesno, image or
            cell.
        answer: the true answer; `REFUSAL` (99) in any type.
        program: its meaning.
        slots: what its words say.
        wording: number of its wording.
        far: it refers to something further back than the turn before.
        facts: what it needs.
        guesses: view (blind, last, text, newest) -> probability that the view's best guess is right; empty if not
            computed.
    """

    op: str
    type: str
    answer: int
    program: Program
    slots: Mapping[str, int]
    wording: int
    far: bool
    facts: Facts
    guesses: Mapping[str, float]


@dataclass(frozen=True)
class ExactItem:
    """A dialogue of the controlled world, or what was made from one.

    Attributes:
        dialogue: images, questions, true answers as references.
        group: id of the linked dialogue that it was made from; its own id for a linked one.
        role: linked; resolved (references resolved, all turns); alone (the last question, resolved, with the images it
            needs); history (other half of the history pair: one earlier slot changed, same images, same last question
            word for word, another answer); image (other half of the image pair: one image changed, same words, same
            earlier answers, another last answer).
        domain: name of its domain.
        style: plain or rich.
        side: side of the grid; of charts the number of bars.
        scenes: [image, cell, attribute].
        shown_at: turn (from 0) at which each image is shown.
        turns: the questions.
        seed: the numbers that seed the dialogue's draws.
    """

    dialogue: Dialogue
    group: str
    role: str
    domain: str
    style: str
    side: int
    scenes: IntArray
    shown_at: tuple[int, ...]
    turns: tuple[Asked, ...]
    seed: tuple[int, ...]


def word(domain: str, side: int, type_: str, value: int) -> str:
    """The written answer of a type.

    Args:
        domain: name of the domain.
        side: side of the grid.
        type_: type of the answer.
        value: the answer.
    """
    return answer_text(DOMAINS[domain], side, type_, value)


def solve_from(item: ExactItem, replies: Sequence[int | None]) -> list[int | None]:
    """For each turn the answer that follows from the model's own earlier replies.

    Args:
        item: the dialogue.
        replies: the model's answers as they were read, one a turn; None where nothing could be read.

    Returns:
        One answer a turn; None where nothing follows: a reply that it needs was unread, a refusal, or senseless.
    """
    return [_follow(item, turn, replies) for turn in range(len(item.turns))]


def _follow(item: ExactItem, turn: int, replies: Sequence[int | None]) -> int | None:
    program = item.turns[turn].program
    needed = {leaf[1] for leaf in leaves(program) if leaf[0] == "said"}
    if any(replies[other] is None or replies[other] == REFUSAL for other in needed):
        return None
    said = [0 if reply is None else reply for reply in replies[:turn]]
    told = [asked.slots for asked in item.turns]
    try:
        value = int(value_of(program, item.scenes[None], told, said)[0])
    except IndexError:  # a reply names a cell or an image that is not there
        return None
    return value if value >= 0 else None


def to_json(item: ExactItem) -> dict[str, Any]:
    """The line of `exact.jsonl`: everything except the dialogue."""
    line = {"id": item.dialogue.id}
    line |= {name: getattr(item, name) for name in ("group", "role", "domain", "style", "side", "shown_at", "seed")}
    return line | {"scenes": item.scenes.tolist(), "turns": [asdict(asked) for asked in item.turns]}


def from_json(line: Mapping[str, Any], dialogue: Dialogue) -> ExactItem:
    """The item of a line and its dialogue."""
    turns = [
        replace(
            Asked(**asked),
            program=to_program(asked["program"]),
            facts=Facts(**{**asked["facts"], "needs": tuple(asked["facts"]["needs"])}),
        )
        for asked in line["turns"]
    ]
    return ExactItem(
        dialogue=dialogue,
        scenes=np.array(line["scenes"], dtype=np.int64),
        shown_at=tuple(line["shown_at"]),
        turns=tuple(turns),
        seed=tuple(line["seed"]),
        **{name: line[name] for name in ("group", "role", "domain", "style", "side")},
    )


def read_exact(folder: Path) -> Iterator[ExactItem]:
    """The items of a data set, shard by shard.

    Args:
        folder: written by `python -m mmcr_bench exact build`.

    Raises:
        ValueError: the folder is no such data set or of another format, or rows and `exact.jsonl` don't fit each other.
    """
    path = folder / PROGRAMS_NAME
    if not path.is_file():
        raise ValueError(
            f"{folder}: no {PROGRAMS_NAME}; build one with `python -m mmcr_bench exact build --output_dir {folder}`"
        )
    found = json.loads((folder / SETTINGS_NAME).read_text("utf-8")).get("format")
    if found != FORMAT:
        raise ValueError(f"{folder / SETTINGS_NAME}: format {found}, this version reads {FORMAT}; build the set again")
    lines = {str(line["id"]): line for line in read_jsonl(path, "build the data set again")}
    for shard, table in read_shards(folder):
        for row in table.to_pylist():
            dialogue = from_row(row)
            line = lines.pop(dialogue.id, None)
            if line is None:
                raise ValueError(f"{shard}: {PROGRAMS_NAME} doesn't have row {dialogue.id}; build the data set again")
            yield from_json(line, dialogue)
    if lines:
        raise ValueError(f"{path}: {len(lines)} ids without a row, such as {next(iter(lines))}; build it again")


def write_programs(folder: Path, lines: Iterable[Mapping[str, Any]]) -> None:
    """Write `exact.jsonl` from the lines of items."""
    with (folder / PROGRAMS_NAME).open("w", encoding="utf-8") as file:
        file.writelines(json.dumps(line, separators=(",", ":")) + "\n" for line in lines)
