"""Pairs: the other half of a dialogue, which a model that ignores its history, or its images, can't tell apart.

History pair: the same images and, word for word, the same last question; one slot of an earlier turn differs, and so
does the last answer. Image pair: the same words of the person and the same answers before the last; one image
is another, and so is the last answer.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from mmcr_bench.exact.operators import make
from mmcr_bench.exact.program import images_of, leaves, unrolled, value_of
from mmcr_bench.exact.scene import EMPTY, IntArray, has_held_out_combination, is_held_out
from mmcr_bench.exact.state import MAX_TIMES, Script, extend

_CHANGEABLE = ("pic", "cell", "value", "name", "rule_by", "rule_value", "times")
_NUM_WORLDS = 1500  # other images that are tried at once
_MAX_CHANGED_CELLS = 3
_NUM_ROUNDS = 4
_SWAPPED = {"called": "gone", "gone": "called"}  # by the name that was forgotten


def remake(script: Script, slots: Mapping[int, Mapping[str, int]], scenes: IntArray | None = None) -> Script | None:
    """The same operators and wordings with other slots at some turns, or other scenes; None if a turn loses its sense.

    Args:
        script: the dialogue.
        slots: turn -> its slots, where they differ.
        scenes: other scenes; None for the same.
    """
    made_again = Script(script.domain, script.side, script.scenes if scenes is None else scenes, script.shown_at)
    for number, turn in enumerate(script.turns):
        now = slots.get(number, turn.slots)
        ops = [turn.op, *([_SWAPPED[turn.op]] if turn.op in _SWAPPED else [])]
        found = next(((op, made) for op in ops if (made := make(op, made_again, now)) is not None), None)
        if found is None or found[1].far != turn.far or found[1].type != turn.type:
            return None
        longer = extend(made_again, found[0], now, turn.wording, found[1])
        if longer is None:
            return None
        made_again = longer
    return made_again


def history_half(rng: np.random.Generator, script: Script) -> Script | None:
    """The other half of a history pair; None if the dialogue has none."""
    changes = list(_changes(script))
    for number in rng.permutation(len(changes)):
        turn, slots = changes[int(number)]
        other = remake(script, {turn: slots})
        if other is not None and other.answers[-1] != script.answers[-1]:
            return other
    return None


def _changes(script: Script) -> Iterator[tuple[int, dict[str, int]]]:
    """Earlier turns that the last answer rests on, with one slot changed."""
    last = len(script.turns) - 1
    program = unrolled(script.turns[last].program, script.turns)
    found = {(leaf[1], leaf[2]) for leaf in leaves(program) if leaf[1] != last and leaf[2] in _CHANGEABLE}
    for turn, slot in sorted(found):
        slots = dict(script.turns[turn].slots)
        lowest = 2 if slot == "times" else 0
        for value in range(lowest, _num_values(script, turn, slot, slots)):
            if value != slots[slot]:
                yield turn, {**slots, slot: value}


def _num_values(script: Script, turn: int, slot: str, slots: Mapping[str, int]) -> int:
    if slot == "pic":
        return script.num_shown(turn)
    if slot == "cell":
        return int(script.scenes.shape[1])
    if slot == "name":
        return 1 + max(one.slots["name"] for one in script.turns if "name" in one.slots)
    if slot in ("rule_by", "times"):
        return 2 if slot == "rule_by" else MAX_TIMES + 1
    by = slots["by" if slot == "value" else "rule_by"]
    return len(script.domain.attributes[by].values)


def image_half(rng: np.random.Generator, script: Script, held_out: bool) -> Script | None:
    """The other half of an image pair; None if none is found.

    Args:
        rng: random numbers.
        script: the dialogue.
        held_out: the new scene belongs to the test split.
    """
    program = unrolled(script.turns[-1].program, script.turns)
    looked = sorted(images_of(program, script.scenes, script.told, script.answers))
    if not looked or script.turns[-1].op == "gone":
        return None
    for _ in range(_NUM_ROUNDS):
        image = looked[int(rng.integers(len(looked)))]
        worlds = _change_cells(rng, script, image)
        for scenes in worlds[_are_halves(script, worlds)]:
            scene = scenes[image]
            if is_held_out(scene) != held_out:
                continue
            if not held_out and has_held_out_combination(script.domain, scene):
                continue
            other = remake(script, {}, scenes)
            if other is not None and other.answers[:-1] == script.answers[:-1]:
                return other
    return None


def _change_cells(rng: np.random.Generator, script: Script, image: int) -> IntArray:
    """[n, image, cell, attribute] worlds that differ in one to three cells of an image; empty cells stay empty."""
    worlds = np.repeat(script.scenes[None], _NUM_WORLDS, axis=0)
    cells = np.flatnonzero(script.scenes[image, :, 0] != EMPTY)
    rows = np.arange(_NUM_WORLDS)
    for number in range(_MAX_CHANGED_CELLS):
        chosen = rows[rng.integers(1, _MAX_CHANGED_CELLS + 1, size=_NUM_WORLDS) > number]
        places = cells[rng.integers(len(cells), size=len(chosen))]
        for attribute, one in enumerate(script.domain.attributes):
            worlds[chosen, image, places, attribute] = rng.integers(len(one.values), size=len(chosen))
    return worlds


def _are_halves(script: Script, worlds: IntArray) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """[n] whether all earlier answers are the same in a world, and the last is another."""
    keep = np.ones(len(worlds), dtype=bool)
    for turn, asked in enumerate(script.turns):
        values = value_of(asked.program, worlds, script.told, script.answers)
        is_last = turn == len(script.turns) - 1
        keep &= (values != script.answers[turn]) & (values >= 0) if is_last else values == script.answers[turn]
    return keep
