"""The meaning of a question as a small typed expression, and its value in one world or in many worlds side by side.

Leaves say where knowledge comes from; everything that is known about a question is read off them:

    ("told", turn, slot)   what the person's words of a turn say
    ("said", turn)         the assistant's answer of a turn
    ("lit", value)         known without the dialogue, in questions whose references are resolved

Nodes (`by` and `attr` are numbers of attributes, `image` and `cell` count from 0):

    ("attr", attr, image, cell)            value of an attribute; the refusal where the cell is `ABSENT`
    ("cell_with", by, image, value)        the only such cell; `ABSENT` if there is none, `INVALID` if there are several
    ("count", by, image, value)            number of such cells
    ("count", by, image, value, rule_by, rule_value, times)   the same, cells that the rule names count as so many
    ("changed", x, y)                      x where it differs from y, else `INVALID`: a rule that changes nothing
    ("at_least", by, image, value, least)  1 or 0
    ("add", x, y)  ("more", x, y)          sum; 1 if x is larger, else 0
    ("most", image, image, image, x, y, z) the image whose number is the largest of x, y, z; `INVALID` if two share it
    ("gone", forgotten, name, x)           the refusal where the two names are one, else x
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from mmcr_bench.exact.scene import IntArray
from mmcr_bench.exact.wording import REFUSAL

Program = tuple[Any, ...]
Told = Sequence[Mapping[str, Any]]  # of each turn: slot -> its value, an int or an array [n] of one value a world

INVALID = -1  # the question has no answer in this world; it would not be asked there
ABSENT = -2  # there is no such cell
LEAVES = ("told", "said", "lit")


class HasProgram(Protocol):
    """A turn with a program."""

    @property
    def program(self) -> Program:
        """The meaning of its question."""


def value_of(program: Program, scenes: IntArray, told: Told, said: Sequence[Any]) -> IntArray:
    """Values of a program in n worlds.

    Args:
        program: the expression.
        scenes: [n or 1, image, cell, attribute].
        told: the slots of every turn, each an int or an array [n].
        said: the answer of every turn before, each an int or an array [n].

    Returns:
        [n] or [1] values; negative where the question has no answer.
    """
    kind = program[0]
    if kind in LEAVES:
        leaf = told[program[1]][program[2]] if kind == "told" else said[program[1]] if kind == "said" else program[1]
        return leaf if isinstance(leaf, np.ndarray) else np.array([leaf])
    args = [value_of(part, scenes, told, said) for part in program[1:]]
    of_scene = _OF_SCENE.get(kind)
    return _OF_VALUES[kind](*args) if of_scene is None else of_scene(scenes, *args)


def _column(scenes: IntArray, attribute: IntArray, image: IntArray) -> IntArray:
    """[n, cell] values of an attribute in an image."""
    rows = np.arange(len(scenes)) if len(scenes) > 1 else np.zeros(1, dtype=np.int64)
    found: IntArray = scenes[rows, image, :, attribute]
    return found


def _attr(scenes: IntArray, attribute: IntArray, image: IntArray, cell: IntArray) -> IntArray:
    rows = np.arange(len(scenes)) if len(scenes) > 1 else np.zeros(1, dtype=np.int64)
    found = scenes[rows, image, np.maximum(cell, 0), attribute]
    if cell.min() >= 0:
        return found
    return np.where(cell >= 0, found, np.where(cell == ABSENT, REFUSAL, INVALID))


def _cell_with(scenes: IntArray, by: IntArray, image: IntArray, value: IntArray) -> IntArray:
    hits = _column(scenes, by, image) == value[:, None]
    number = hits.sum(axis=1)
    return np.where(number == 1, hits.argmax(axis=1), np.where(number == 0, ABSENT, INVALID))


def _count(
    scenes: IntArray,
    by: IntArray,
    image: IntArray,
    value: IntArray,
    rule_by: IntArray | None = None,
    rule_value: IntArray | None = None,
    times: IntArray | None = None,
) -> IntArray:
    hits = _column(scenes, by, image) == value[:, None]
    if rule_by is None or rule_value is None or times is None:
        return np.asarray(hits.sum(axis=1))
    named = _column(scenes, rule_by, image) == rule_value[:, None]
    return np.asarray(hits.sum(axis=1) + (times - 1) * (hits & named).sum(axis=1))


def _at_least(scenes: IntArray, by: IntArray, image: IntArray, value: IntArray, least: IntArray) -> IntArray:
    return (_count(scenes, by, image, value) >= least).astype(np.int64)


def _changed(value: IntArray, without: IntArray) -> IntArray:
    return np.where(value == without, INVALID, value)


def _add(first: IntArray, second: IntArray) -> IntArray:
    return first + second


def _more(first: IntArray, second: IntArray) -> IntArray:
    return (first > second).astype(np.int64)


def _most(*args: IntArray) -> IntArray:
    arrays = np.stack(np.broadcast_arrays(*args))
    images, numbers = arrays[: len(args) // 2], arrays[len(args) // 2 :]
    is_tie = (numbers == numbers.max(axis=0)).sum(axis=0) > 1
    return np.where(is_tie, INVALID, np.take_along_axis(images, numbers.argmax(axis=0)[None], axis=0)[0])


def _gone(forgotten: IntArray, name: IntArray, value: IntArray) -> IntArray:
    return np.where(forgotten == name, REFUSAL, value)


_OF_SCENE: dict[str, Callable[..., IntArray]] = {
    "attr": _attr,
    "cell_with": _cell_with,
    "count": _count,
    "at_least": _at_least,
}
_OF_VALUES: dict[str, Callable[..., IntArray]] = {
    "changed": _changed,
    "add": _add,
    "more": _more,
    "most": _most,
    "gone": _gone,
}


def leaves(program: Program) -> Iterator[Program]:
    """Every leaf of a program, repeats included."""
    if program[0] in ("told", "said"):
        yield program
    elif program[0] != "lit":
        for part in program[1:]:
            yield from leaves(part)


def nodes(program: Program) -> Iterator[Program]:
    """Every node of a program that is not a leaf, itself included."""
    if program[0] not in LEAVES:
        yield program
        for part in program[1:]:
            yield from nodes(part)


def unrolled(program: Program, turns: Sequence[HasProgram]) -> Program:
    """The program with every answer of the assistant replaced by what it is computed from."""
    if program[0] == "said":
        return unrolled(turns[program[1]].program, turns)
    if program[0] in LEAVES:
        return program
    return (program[0], *(unrolled(part, turns) for part in program[1:]))


def images_of(program: Program, scenes: IntArray, told: Told, said: Sequence[int]) -> set[int]:
    """Numbers (from 0) of the images that a program looks at.

    Args:
        program: the expression.
        scenes: [image, cell, attribute] of the true world.
        told: the slots of every turn.
        said: the answers of the turns before.
    """
    return {
        int(value_of(node[2], scenes[None], told, said)[0])
        for node in nodes(program)
        if node[0] in ("attr", "cell_with", "count", "at_least")
    }


def to_program(value: Any) -> Program:  # noqa: ANN401  (JSON)
    """A program read from JSON, lists to tuples."""
    return tuple(to_program(part) if isinstance(part, list) else part for part in value)
