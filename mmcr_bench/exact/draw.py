"""Draw a dialogue: quotas first, then a state that allows them.

A plan (plan.py) says which operators are asked where. Turns without a plan take the operator that is due. Every
question is drawn several times; the draw that the quotas need most is taken, if it keeps the limits of what can be
guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from mmcr_bench.exact.facts import Facts, facts_of
from mmcr_bench.exact.operators import OPERATORS, make
from mmcr_bench.exact.plan import Frame, Plan, draw_plan
from mmcr_bench.exact.program import value_of
from mmcr_bench.exact.quotas import Quotas
from mmcr_bench.exact.scene import draw_scene
from mmcr_bench.exact.slots import draw_slots
from mmcr_bench.exact.state import Script, extend
from mmcr_bench.exact.wording import num_wordings

_NUM_DRAWS = 8  # of one question, among which the quotas choose
_MAX_DRAWS = 30
_MIN_DRAWS = 6  # without a single question that makes sense
_NUM_TRIED = 6  # of these, how many may fail the limits
_MISSED = 2.0  # what a missed wish of the plan counts beside an excess over the quotas

Accepts = Callable[[Script], bool]


def draw_script(
    rng: np.random.Generator, frame: Frame, quotas: Quotas, accepts: Accepts, slack: int = 1
) -> Script | None:
    """A dialogue; None if some turn found no question.

    Args:
        rng: random numbers.
        frame: what is fixed.
        quotas: what was asked in earlier dialogues.
        accepts: whether the last question of a dialogue keeps the limits.
        slack: how many questions an answer may be above its share of all answers of its type.
    """
    scenes = [draw_scene(rng, frame.domain, frame.side, frame.held_out) for _ in range(frame.num_images)]
    end = 1 if frame.images_first else frame.num_turns // 2 + 1
    later = sorted(int(turn) for turn in rng.integers(0, end, size=frame.num_images - 1))
    script = Script(frame.domain, frame.side, np.stack(scenes), (0, *later))
    plan = draw_plan(rng, frame, script, quotas)
    drawer = Drawer(rng, frame, plan, quotas, accepts, slack)
    for _ in range(frame.num_turns):
        longer = drawer.draw_turn(script)
        if longer is None:
            return None
        script = longer
    return script


@dataclass(frozen=True)
class Drawer:
    """Draws the questions of one dialogue.

    Attributes:
        rng: random numbers.
        frame: what is fixed.
        plan: what is planned.
        quotas: what was asked in earlier dialogues.
        accepts: whether the last question of a dialogue keeps the limits.
        slack: how many questions an answer may be above its share.
    """

    rng: np.random.Generator
    frame: Frame
    plan: Plan
    quotas: Quotas
    accepts: Accepts
    slack: int

    def draw_turn(self, script: Script) -> Script | None:
        """The dialogue with one more question; None if none is found."""
        turn, ops = len(script.turns), self.frame.ops
        planned = [op for op in self.plan.op.get(turn, ()) if op in ops]
        others = [op for op in ops if self.plan.allows(op, turn) and not (OPERATORS[op].refers and turn == 0)]
        if turn == self.frame.num_turns - 1 and turn > 0:  # the last question refers, so that it can have a pair
            others = [op for op in others if OPERATORS[op].refers] or others
            ops = tuple(op for op in ops if OPERATORS[op].refers) or ops
        for due in (planned, others, ops):
            for op in self.quotas.order_ops(self.rng, due):
                longer = self._draw_question(script, op)
                if longer is not None:
                    return longer
                if due is planned and turn in self.plan.distance:
                    self.quotas.give_up(op)
        return None

    def _draw_question(self, script: Script, op: str) -> Script | None:
        """The dialogue with a question of an operator, the draw that is needed most; None if there is none."""
        found: list[tuple[float, int, Script]] = []
        is_askable = False
        asked = {_meaning(script, turn) for turn in range(len(script.turns))}
        for number in range(_MAX_DRAWS):
            if len(found) == _NUM_DRAWS or (number >= _MIN_DRAWS and not found and not is_askable):
                break
            longer = self._ask(script, op)
            is_askable |= longer is not None
            if longer is None or self.quotas.is_above(longer, self.slack):
                continue
            if _meaning(longer, len(script.turns)) not in asked:
                facts = facts_of(longer, len(script.turns))
                missed = _MISSED * self.plan.num_missed(longer, facts.distance_turns)
                found.append((self.quotas.excess(longer, facts) + missed + self.rng.uniform(0, 0.2), number, longer))
        tried: list[Mapping[str, int]] = []
        for _, _, longer in sorted(found, key=lambda one: one[:2]):
            slots = longer.turns[-1].slots
            if slots in tried:  # in other words
                continue
            if self.accepts(longer):
                return longer
            tried.append(slots)
            if len(tried) == _NUM_TRIED:
                break
        return None

    def _ask(self, script: Script, op: str) -> Script | None:
        """The dialogue with one question of an operator, its slots and wording drawn."""
        slots = draw_slots(self.rng, script, op, self.quotas)
        made = None if slots is None else make(op, script, slots)
        if made is None or slots is None:
            return None
        known = num_wordings(op, made.far) - (0 if self.frame.held_out else 1)
        wording = int(self.rng.integers(min(known, self.frame.num_wordings or known)))
        return extend(script, op, slots, wording, made)


def _meaning(script: Script, turn: int) -> tuple[object, ...]:
    """What a question asks: the node of its program and the values of its parts, alike for what asks the same.

    A question with the meaning of an earlier one has its answer in the dialogue.
    """
    asked = script.turns[turn]
    program = asked.program
    if OPERATORS[asked.op].by_words:
        return (asked.op, *sorted(asked.slots.items()))
    if program[0] == "gone":
        program = program[3]
    if program[0] == "changed":
        program = program[1]
    told = script.told
    return (program[0], *(int(value_of(part, script.scenes[None], told, script.answers)[0]) for part in program[1:]))


def all_facts(script: Script) -> Sequence[Facts]:
    """The facts of every turn."""
    return [facts_of(script, turn) for turn in range(len(script.turns))]
