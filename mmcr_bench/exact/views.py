"""What can be guessed without what a question needs: the best guess of every insufficient view, computed, not trained.

blind    the question's words alone: a table of the answers to such words, from the other half of the set
last     the question and every image shown so far, nothing said before it; told which operator each earlier turn was
text     all that was said before (true answers included) and the question, no image
newest   all that was said and, of the images, only the one shown last

Each is the probability that the view's best guess is right. `last` runs through what the earlier words could have said,
all ways alike; `text` and `newest` draw worlds that agree with all that was said, so they are estimates (standard error
about 0.01), the same at every run.
"""

from __future__ import annotations

import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from mmcr_bench.exact.facts import facts_of
from mmcr_bench.exact.operators import OPERATORS
from mmcr_bench.exact.program import Program, images_of, leaves, unrolled, value_of
from mmcr_bench.exact.scene import CELLS_LARGE, DOMAINS, EMPTY, IntArray
from mmcr_bench.exact.state import MAX_TIMES, Script
from mmcr_bench.exact.wording import NAMES, question_text

VIEWS = ("blind", "last", "text", "newest")
LIMIT_YES_NO = 0.70
LIMIT_LARGE = 0.40  # nine cells
LIMIT_SMALL = 0.55  # fewer
_NUM_FILLS = 512  # ways in which earlier words are filled
_NUM_WORLDS = 2000
_ENOUGH_WORLDS = 300
_MAX_ROUNDS = 10
_MIN_ROWS = 20  # of a table entry of the blind view; below, the entry of the operator's wording, then of its type


def guesses_of(script: Script, turn: int, seed: Sequence[int]) -> dict[str, float]:
    """The guesses of the views `last`, `text` and `newest` for a turn's question.

    Args:
        script: the dialogue up to the turn or longer.
        turn: number of the turn, from 0.
        seed: numbers that seed the dialogue.
    """
    rng = np.random.default_rng([*seed, 2, turn])
    newest = script.num_shown(turn) - 1
    looked = _looked_at(script, turn)
    last = _guess_last(rng, script, turn)
    if not looked:
        return {"last": last, "text": 1.0, "newest": 1.0}
    text = _guess_text(rng, script, turn, looked, known=None)
    if looked == {newest}:
        return {"last": last, "text": text, "newest": 1.0}
    coupled = _coupled(script, turn, looked)
    with_newest = _guess_text(rng, script, turn, looked, known=newest) if newest in coupled else text
    return {"last": last, "text": text, "newest": with_newest}


def limit_of(type_: str, num_cells: int) -> float:
    """The largest guess of an insufficient view that a question may have."""
    if type_ == "yesno":
        return LIMIT_YES_NO
    return LIMIT_LARGE if num_cells >= CELLS_LARGE else LIMIT_SMALL


def keeps_limits(script: Script, turn: int, guesses: Mapping[str, float]) -> bool:
    """Whether no view that lacks something the question needs guesses it above the limit."""
    asked, facts = script.turns[turn], facts_of(script, turn)
    limit = limit_of(asked.type, script.scenes.shape[1])
    return all(guesses[view] <= limit for view in insufficient_views(asked.op, facts.distance_turns, facts.image_age))


def insufficient_views(op: str, distance_turns: int, image_age: int) -> list[str]:
    """The views that lack something a question needs: its history, its images, or its older images."""
    views = ["last"] if distance_turns > 0 else []
    if not OPERATORS[op].by_words:
        views += ["text", *(["newest"] if image_age > 0 else [])]
    return views


def _looked_at(script: Script, turn: int) -> set[int]:
    """Images that the question looks at, given the true answers before it."""
    asked = script.turns[turn]
    return set() if asked.op == "gone" else images_of(asked.program, script.scenes, script.told, script.answers)


def _guess_last(rng: np.random.Generator, script: Script, turn: int) -> float:
    program = unrolled(script.turns[turn].program, script.turns)
    unknown = sorted({leaf for leaf in leaves(program) if leaf[1] != turn}, key=str)
    if not unknown:
        return 1.0
    told: list[dict[str, Any]] = [dict(slots) for slots in script.told]
    fills = _fill_leaves(rng, [_num_values(script, leaf) for leaf in unknown])
    for leaf, values in zip(unknown, fills, strict=True):
        told[leaf[1]][leaf[2]] = values
    possible = np.ones(fills.shape[1], dtype=bool)
    for leaf in unknown:
        possible &= _is_possible(script, leaf, told)
    values = np.broadcast_to(value_of(program, script.scenes[None], told, ()), possible.shape)
    return _largest_share(values[possible])


def _fill_leaves(rng: np.random.Generator, sizes: Sequence[int]) -> IntArray:
    """[leaf, way] values of leaves with these numbers of values: every way, or a sample."""
    if int(np.prod(sizes)) <= _NUM_FILLS:
        return np.indices(sizes).reshape(len(sizes), -1)
    return np.stack([rng.integers(size, size=_NUM_FILLS) for size in sizes])


def _num_values(script: Script, leaf: Program) -> int:
    """How many values a slot of an earlier turn can have."""
    _, turn, slot = leaf
    if slot.startswith("pic"):
        return script.num_shown(turn)
    if slot in ("value", "rule_value"):
        return max(len(attribute.values) for attribute in script.domain.attributes)
    sizes = {"attr": 2, "by": 2, "rule_by": 2, "name": len(NAMES), "least": 4, "times": MAX_TIMES + 1}
    return script.scenes.shape[1] if slot == "cell" else sizes[slot]


def _is_possible(
    script: Script, leaf: Program, told: Sequence[Mapping[str, Any]]
) -> np.ndarray[Any, np.dtype[np.bool_]]:
    """[way] or [1]: whether the words of a turn could say this value."""
    _, turn, slot = leaf
    value = np.atleast_1d(told[turn][slot])
    if slot in ("value", "rule_value"):
        sizes = np.array([len(attribute.values) for attribute in script.domain.attributes])
        return np.asarray(value < sizes[told[turn]["by" if slot == "value" else "rule_by"]])
    if slot in ("pic_b", "pic_c"):
        return np.asarray(value > np.atleast_1d(told[turn]["pic_a" if slot == "pic_b" else "pic_b"]))
    lowest = {"least": 1, "times": 2}.get(slot, 0)
    return np.asarray(value >= lowest)


def _largest_share(values: IntArray) -> float:
    """Share of the most frequent answer; 1.0 where no world has one, so that nothing unknown passes a limit."""
    values = values[values >= 0]
    if not len(values):
        return 1.0
    counts = np.bincount(values)
    return round(float(counts.max() / counts.sum()), 4)


def _guess_text(rng: np.random.Generator, script: Script, turn: int, looked: set[int], known: int | None) -> float:
    worlds = _draw_worlds(rng, script, turn, _coupled(script, turn, looked) - {known})
    return _largest_share(value_of(script.turns[turn].program, worlds, script.told, script.answers))


def _coupled(script: Script, turn: int, looked: set[int]) -> set[int]:
    """The images looked at, and those that an earlier comparison connects with them."""
    found = set(looked)
    for other in range(turn):
        if script.turns[other].program[0] == "most":
            images = _looked_at(script, other)
            found |= images if images & found else set()
    return found


def _draw_worlds(rng: np.random.Generator, script: Script, turn: int, unknown: set[int]) -> IntArray:
    """[n, image, cell, attribute] worlds whose unknown images agree with all that was said before a turn."""
    worlds = np.repeat(script.scenes[None], _NUM_WORLDS, axis=0)
    looked = [_looked_at(script, other) for other in range(turn)]
    for image in sorted(unknown):
        about = [other for other in range(turn) if looked[other] == {image}]
        worlds[:, image] = _draw_image(rng, script, image, about)
    joint = [other for other in range(turn) if len(looked[other]) > 1 and looked[other] & unknown]
    agree = np.ones(_NUM_WORLDS, dtype=bool)
    for other in joint:
        agree &= _agrees(script, worlds, other)
    return worlds[agree] if agree.any() else worlds


def _agrees(script: Script, worlds: IntArray, turn: int) -> np.ndarray[Any, np.dtype[np.bool_]]:
    values = value_of(script.turns[turn].program, worlds, script.told, script.answers)
    return np.broadcast_to(values == script.answers[turn], (len(worlds),))


def _draw_image(rng: np.random.Generator, script: Script, image: int, about: Sequence[int]) -> IntArray:
    """[n, cell, attribute] draws of an image that agree with the answers of the turns about it."""
    sizes = [len(attribute.values) for attribute in script.domain.attributes]
    fixed = [place for turn in about if (place := _fixed_value(script, turn)) is not None]
    asked = [turn for turn in about if _fixed_value(script, turn) is None]
    found: list[IntArray] = []
    for _ in range(_MAX_ROUNDS):
        worlds = np.repeat(script.scenes[None], _NUM_WORLDS, axis=0)
        shape = (_NUM_WORLDS, script.scenes.shape[1])
        worlds[:, image] = np.stack([rng.integers(size, size=shape) for size in sizes], axis=-1)
        worlds[:, image, script.scenes[image, :, 0] == EMPTY] = EMPTY
        for cell, attribute, value in fixed:
            worlds[:, image, cell, attribute] = value
        agree = np.ones(_NUM_WORLDS, dtype=bool)
        for turn in asked:
            agree &= _agrees(script, worlds, turn)
        found.append(worlds[agree, image])
        if sum(map(len, found)) >= _ENOUGH_WORLDS:
            break
    drawn = np.concatenate(found)
    if not len(drawn):  # too rare to be drawn: then as if the answers about single cells were all that is known
        drawn = worlds[:, image]
    return drawn if len(drawn) == _NUM_WORLDS else drawn[rng.integers(len(drawn), size=_NUM_WORLDS)]


def _fixed_value(script: Script, turn: int) -> tuple[int, int, int] | None:
    """Cell, attribute and value that a turn's answer states of a cell that its words fix; None for other turns."""
    program = script.turns[turn].program
    if program[0] == "gone":
        program = program[3]
    if program[0] != "attr" or program[3][0] == "cell_with":
        return None
    return script.value(program[3]), script.value(program[1]), script.answers[turn]


def add_blind(lines: Sequence[Mapping[str, Any]]) -> None:
    """Add the guess `blind` to every question of `exact.jsonl` lines, from tables of the set's own questions.

    The most frequent answer to such words in one half of the dialogues is the guess for the other half, where its share
    is the chance that it is right.
    """
    tables: tuple[_Tables, _Tables] = (defaultdict(Counter), defaultdict(Counter))
    for line in lines:
        if line["role"] in ("history", "image"):
            continue
        for asked in line["turns"]:
            for key in _blind_keys(line, asked):
                tables[line["seed"][1] % 2][key][asked["answer"]] += 1
    for line in lines:
        half = line["seed"][1] % 2
        for asked in line["turns"]:
            if asked["guesses"]:
                asked["guesses"]["blind"] = _blind_guess(tables[1 - half], tables[half], _blind_keys(line, asked))


_Tables = defaultdict[tuple[object, ...], Counter[int]]


def _blind_keys(line: Mapping[str, Any], asked: Mapping[str, Any]) -> list[tuple[object, ...]]:
    """Keys of a question in the tables: its words without names and image numbers, its template, its type."""
    domain, side = DOMAINS[line["domain"]], line["side"]
    text = question_text(domain, side, asked["op"], asked["slots"], asked["wording"], asked["far"])
    general = re.sub("|".join(NAMES), "NAME", re.sub(r"Image_\d+", "IMAGE", text))
    words = "called" if asked["op"] == "gone" else "count" if asked["op"] == "ruled" else asked["op"]
    place = (domain.name, side)
    return [(*place, general, asked["type"]), (*place, words, asked["far"], asked["type"]), (*place, asked["type"])]


def _blind_guess(fitted: _Tables, tried: _Tables, keys: Sequence[tuple[object, ...]]) -> float:
    """Share, in the half it is tried on, of the answer that is most frequent in the half it was fitted on."""
    key = next((key for key in keys if fitted[key].total() >= _MIN_ROWS), keys[-1])
    counts = tried[key]
    known = fitted[key] or counts
    best = min(known, key=lambda answer: (-known[answer], answer))  # of equally frequent ones the same in any order
    return round(counts[best] / counts.total(), 4)
