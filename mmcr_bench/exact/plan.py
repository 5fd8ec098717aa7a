"""The plan of a dialogue, drawn from the quotas: which operator is asked at which turn, about which earlier turn.

The turn that is referred to gets an operator that can be referred to. Between the two nothing may be asked that would
change the reference.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import comb

import numpy as np

from mmcr_bench.exact.operators import OPERATORS, TOUCHES
from mmcr_bench.exact.quotas import Quotas
from mmcr_bench.exact.scene import CELLS_LARGE, EMPTY, Domain
from mmcr_bench.exact.state import Script

_NUM_TRIED = 6  # operators for one place of the plan
_NEAR_MEAN = 0.75  # a number as near to what is expected in every image makes none of them the likely largest
_OPEN = (0.3, 0.7)  # a yes/no question to come is open if "yes" is no more and no less likely


@dataclass(frozen=True)
class Frame:
    """What is fixed before the questions of a dialogue are drawn.

    Attributes:
        domain: the kind of image.
        side: side of the grid.
        num_images: number of images.
        num_turns: number of turns.
        held_out: a dialogue of the test split.
        ops: the operators that may be asked.
        num_wordings: use the first wordings only; None for all of the split.
        images_first: all images are shown at the first turn.
    """

    domain: Domain
    side: int
    num_images: int
    num_turns: int
    held_out: bool
    ops: tuple[str, ...]
    num_wordings: int | None = None
    images_first: bool = False


@dataclass
class Plan:
    """What is planned for each turn.

    Attributes:
        op: turn -> operators to be asked there.
        distance: turn -> the distance that its question should have.
        keeps: turn -> references that the turn must not change.
        prepares: turn -> the operator that will refer to it.
        leaves: turns that must speak of another image than the last thing.
    """

    op: dict[int, tuple[str, ...]] = field(default_factory=dict)
    distance: dict[int, int] = field(default_factory=dict)
    keeps: dict[int, set[str]] = field(default_factory=dict)
    prepares: dict[int, str] = field(default_factory=dict)
    leaves: set[int] = field(default_factory=set)

    def allows(self, op: str, turn: int) -> bool:
        """Whether an operator changes no reference that a later turn needs."""
        return not any(op in TOUCHES[key] for key in self.keeps.get(turn, ()))

    def num_missed(self, script: Script, distance: int) -> int:
        """How many wishes of the plan the last question of a dialogue misses.

        Args:
            script: the dialogue with the question.
            distance: the question's distance in turns.
        """
        turn = len(script.turns) - 1
        missed = self.distance.get(turn, distance) != distance
        unfit = self.prepares.get(turn) in ("more", "compare") and not _leaves_open(script, self.prepares[turn])
        stays = turn in self.leaves and _num_images_spoken_of(script) < 2
        return int(missed) + int(unfit) + int(stays)


def _leaves_open(script: Script, op: str) -> bool:
    """Whether other images may as well have more as not more of what was counted last."""
    turn, counted = script.turns[-1], script.state.counted
    if counted is None:
        return False
    filled = int((script.scenes[0, :, 0] != EMPTY).sum())
    share = 1 / len(script.domain.attributes[script.value(counted.by)].values)
    if op == "compare":
        return abs(script.answers[-1] - filled * share) < _NEAR_MEAN
    more = sum(
        comb(filled, number) * share**number * (1 - share) ** (filled - number)
        for number in range(script.answers[-1] + 1, filled + 1)
    )
    return turn.type == "number" and _OPEN[0] <= more <= _OPEN[1]


def _num_images_spoken_of(script: Script) -> int:
    """Of the last thing and the one before it: in how many images they lie."""
    places = [place.at[0] for place in (script.state.focus, script.state.before) if place is not None]
    return len(set(places))


def draw_plan(rng: np.random.Generator, frame: Frame, script: Script, quotas: Quotas) -> Plan:
    """Operators and distances that are due, the last turn's first.

    Args:
        rng: random numbers.
        frame: what is fixed.
        script: the dialogue without a turn.
        quotas: what was asked in earlier dialogues.
    """
    plan, last = Plan(), frame.num_turns - 1
    referring = [op for op in frame.ops if OPERATORS[op].refers]
    if not referring or last < 1:
        return plan
    for number in range(1 + frame.num_turns // 2):
        for op in quotas.order_ops(rng, referring)[:_NUM_TRIED]:
            turn = last if number == 0 else int(rng.integers(1, frame.num_turns))
            distance = quotas.order_distances(rng, op, OPERATORS[op].nearest, turn)[0]
            if turn >= distance and _fits(plan, script, op, turn, turn - distance):
                _note(plan, op, turn, turn - distance)
                break
    return plan


def _fits(plan: Plan, script: Script, op: str, turn: int, setup: int) -> bool:
    """Whether a plan is still free for a question at a turn about what an earlier turn set up."""
    operator = OPERATORS[op]
    if turn in plan.op or script.num_shown(turn) < operator.min_images:
        return False
    enough = 3 if script.scenes.shape[1] >= CELLS_LARGE else 2
    if operator.asks_image and script.num_shown(setup) < enough:
        return False
    if operator.setup and (setup in plan.op or setup in plan.keeps or turn in plan.keeps):
        return False
    between = range(setup + 1, turn)
    return not any(set(plan.op.get(one, ())) & TOUCHES[operator.keeps] for one in between)


def _note(plan: Plan, op: str, turn: int, setup: int) -> None:
    operator = OPERATORS[op]
    plan.op[turn], plan.distance[turn] = (op,), turn - setup
    if operator.setup:
        plan.op[setup], plan.prepares[setup] = operator.setup, op
        for between in range(setup + 1, turn):
            plan.keeps.setdefault(between, set()).add(operator.keeps)
        if op in ("back", "return") and turn - setup > 1:
            plan.keeps.pop(turn - 1)
            plan.op[turn - 1] = operator.setup  # another thing comes up in between
            if op == "return":
                plan.leaves.add(turn - 1)
