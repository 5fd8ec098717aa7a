"""Quotas: how often each operator, distance, image age and answer was asked, and what is due next."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Hashable, Iterable, Sequence

import numpy as np

from mmcr_bench.exact.facts import Facts
from mmcr_bench.exact.operators import OPERATORS
from mmcr_bench.exact.scene import num_answers
from mmcr_bench.exact.state import Script
from mmcr_bench.exact.wording import REFUSAL

_WEIGHTS = {"answer": 3.0, "distance": 1.0, "age": 1.0}  # of an excess
_NOISE = 0.5
_ABOVE = 1.02  # of its share, how often an answer may be asked, and some questions more
_GIVEN_UP = 0.3  # of a question that was asked


class Quotas:
    """Counts of what was asked so far."""

    def __init__(self) -> None:
        self._counts: defaultdict[Hashable, Counter[int]] = defaultdict(Counter)
        self._ops: defaultdict[str, float] = defaultdict(float)

    def order_ops(self, rng: np.random.Generator, ops: Iterable[str]) -> list[str]:
        """Operators, those that were asked too seldom first, with some chance."""
        keys = {op: (self._ops[op] + 1) / OPERATORS[op].weight * rng.uniform(1 - _NOISE, 1 + _NOISE) for op in ops}
        return sorted(keys, key=lambda op: keys[op])

    def order_distances(self, rng: np.random.Generator, op: str, nearest: int, farthest: int) -> list[int]:
        """Distances nearest..farthest, those that were asked too seldom first, of the operator and of all."""
        counts, all_counts = self._counts[("distance", op)], self._counts[("distance",)]
        keys = {
            distance: (counts[distance] + 1) * (all_counts[distance] + 1) * rng.uniform(1 - _NOISE, 1 + _NOISE)
            for distance in range(nearest, max(nearest, farthest) + 1)
        }
        return sorted(keys, key=lambda distance: keys[distance])

    def order_ages(self, rng: np.random.Generator, op: str, num_shown: int) -> list[int]:
        """Ages 0..num_shown-1 of an image, those that the operator looked at too seldom first."""
        counts = self._counts[("age", op, num_shown)]
        keys = {age: (counts[age] + 1) * rng.uniform(1 - _NOISE, 1 + _NOISE) for age in range(num_shown)}
        return sorted(keys, key=lambda age: keys[age])

    def give_up(self, op: str) -> None:
        """An operator that was planned found no question: it is due a little less, for the sake of the others."""
        self._ops[op] += _GIVEN_UP

    def excess(self, script: Script, facts: Facts) -> float:
        """How much more than its share the last question's answer, distance and image age were asked."""
        return sum(_WEIGHTS[str(key[0])] * self._share(key, value) for key, value in _keys(script, facts))

    def is_above(self, script: Script, slack: int) -> bool:
        """Whether the last question's answer would be above its share of all answers of its type, and `slack` more."""
        turn = len(script.turns) - 1
        type_, answer = script.turns[turn].type, script.answers[turn]
        num_values = num_answers(script.domain, script.side, type_, script.num_shown(turn))
        if num_values is None or answer == REFUSAL:
            return False
        counts = self._counts[_type_key(script, turn)]
        return counts[answer] + 1 > _ABOVE * (counts.total() + 1) / num_values + slack

    def _share(self, key: Hashable, value: int) -> float:
        """1.0 for a value asked as often as the others of its key."""
        counts = self._counts[key]
        known = len(counts) + (value not in counts)
        return (counts[value] + 1) * known / (counts.total() + known)

    def add(self, script: Script, facts: Sequence[Facts]) -> None:
        """Count all questions of a dialogue."""
        for turn, (asked, fact) in enumerate(zip(script.turns, facts, strict=True)):
            self._ops[asked.op] += 1
            for key, value in _keys(script, fact, turn):
                self._counts[key][value] += 1
            if script.answers[turn] != REFUSAL:
                self._counts[_type_key(script, turn)][script.answers[turn]] += 1


def _type_key(script: Script, turn: int) -> tuple[Hashable, ...]:
    """The counter of all answers of a turn's type; names of images apart by how many images are shown."""
    type_ = script.turns[turn].type
    among = (script.num_shown(turn),) if type_ == "image" else ()
    return ("type", script.domain.name, script.side, type_, *among)


def _keys(script: Script, facts: Facts, turn: int = -1) -> list[tuple[tuple[Hashable, ...], int]]:
    """The counters that a question belongs to, each with its value there."""
    asked, answer = script.turns[turn], script.answers[turn]
    num_shown = script.num_shown(turn if turn >= 0 else len(script.turns) - 1)
    place = (script.domain.name, script.side)
    among = (num_shown,) if asked.type == "image" else ()
    found: list[tuple[tuple[Hashable, ...], int]] = [(("answer", *place, asked.op, asked.type, *among), answer)]
    found += [(("distance", *of), facts.distance_turns) for of in ((asked.op,), ())]
    if "image" in facts.needs:
        found.append((("age", asked.op, num_shown), facts.image_age))
    return found
