"""Draw a dialogue: quotas first, then a state that allows them.

A plan is drawn from the quotas: which operator is asked at which turn, at which distance from the turn it refers to.
That turn gets an operator that can be referred to, and between the two nothing is asked that would change the reference.
Turns without a plan take the operator that is due. Every question is drawn several times, the draw that the quotas need
most is taken, and it must keep the limits of what can be guessed.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np

from mmcr_bench.exact.facts import Facts, facts_of
from mmcr_bench.exact.operators import OPERATORS, TOUCHES, make
from mmcr_bench.exact.program import value_of
from mmcr_bench.exact.quotas import Quotas
from mmcr_bench.exact.scene import Domain, draw_scene
from mmcr_bench.exact.state import Script, extend
from mmcr_bench.exact.wording import NAMES, ORDINALS, num_wordings

_NUM_DRAWS = 10  # of one question
_NUM_TRIED = 4  # of these, how many may fail the limits
_MAX_LEAST = 3

Accepts = Callable[[Script], bool]


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
    """

    domain: Domain
    side: int
    num_images: int
    num_turns: int
    held_out: bool
    ops: tuple[str, ...]
    num_wordings: int | None = None


@dataclass
class Plan:
    """What is planned for each turn.

    Attributes:
        op: turn -> operators to be asked there, in this order of preference.
        distance: turn -> the distance that its question should have.
        keeps: turn -> references that the turn must not change.
    """

    op: dict[int, tuple[str, ...]] = field(default_factory=dict)
    distance: dict[int, int] = field(default_factory=dict)
    keeps: dict[int, set[str]] = field(default_factory=dict)


def draw_script(rng: np.random.Generator, frame: Frame, quotas: Quotas, accepts: Accepts) -> Script | None:
    """A dialogue; None if some turn found no question.

    Args:
        rng: random numbers.
        frame: what is fixed.
        quotas: what was asked in earlier dialogues.
        accepts: whether the last question of a dialogue keeps the limits.
    """
    scenes = [draw_scene(rng, frame.domain, frame.side, frame.held_out) for _ in range(frame.num_images)]
    latest = max(1, frame.num_turns - 1)
    later = sorted(int(turn) for turn in rng.integers(0, latest, size=frame.num_images - 1))
    script = Script(frame.domain, frame.side, np.stack(scenes), (0, *later))
    plan = _draw_plan(rng, frame, script, quotas)
    for turn in range(frame.num_turns):
        longer = _draw_turn(rng, frame, script, plan, quotas, accepts)
        if longer is None:
            return None
        assert len(longer.turns) == turn + 1
        script = longer
    return script


def _draw_plan(rng: np.random.Generator, frame: Frame, script: Script, quotas: Quotas) -> Plan:
    """Operators and distances that are due, the last turn's first."""
    plan, last = Plan(), frame.num_turns - 1
    referring = [op for op in frame.ops if OPERATORS[op].refers]
    if not referring or last < 1:
        return plan
    for number in range(1 + frame.num_turns // 3):
        for op in quotas.order_ops(rng, referring)[:4]:
            turn = last if number == 0 else int(rng.integers(1, frame.num_turns))
            distance = quotas.order_distances(rng, op, turn)[0]
            if _fits(plan, script, op, turn, turn - distance):
                _note(plan, op, turn, turn - distance)
                break
    return plan


def _fits(plan: Plan, script: Script, op: str, turn: int, setup: int) -> bool:
    """Whether a plan is still free for a question at a turn about what an earlier turn set up."""
    operator = OPERATORS[op]
    if turn in plan.op or script.num_shown(turn) < operator.min_images:
        return False
    if operator.setup and (setup in plan.op or setup in plan.keeps or turn in plan.keeps):
        return False
    between = range(setup + 1, turn)
    return not any(set(plan.op.get(one, ())) & TOUCHES[operator.keeps] for one in between)


def _note(plan: Plan, op: str, turn: int, setup: int) -> None:
    operator = OPERATORS[op]
    plan.op[turn], plan.distance[turn] = (op,), turn - setup
    if operator.setup:
        plan.op[setup] = operator.setup
        for between in range(setup + 1, turn):
            plan.keeps.setdefault(between, set()).add(operator.keeps)
        if op in ("back", "return") and turn - setup > 1:
            plan.keeps.pop(turn - 1)
            plan.op[turn - 1] = operator.setup  # another thing comes up in between


def _draw_turn(
    rng: np.random.Generator, frame: Frame, script: Script, plan: Plan, quotas: Quotas, accepts: Accepts
) -> Script | None:
    """The dialogue with one more question."""
    turn = len(script.turns)
    kept = plan.keeps.get(turn, set())
    touching = frozenset().union(*(TOUCHES[key] for key in kept))
    planned = [op for op in plan.op.get(turn, ()) if op in frame.ops]
    others = [op for op in frame.ops if op not in touching and not (OPERATORS[op].refers and turn == 0)]
    if turn == frame.num_turns - 1 and turn > 0:  # the last question refers, so that it can have a pair
        others = [op for op in others if OPERATORS[op].refers] or others
    for op in [*quotas.order_ops(rng, planned), *quotas.order_ops(rng, others), *quotas.order_ops(rng, frame.ops)]:
        longer = _draw_question(rng, frame, script, op, plan.distance.get(turn), quotas, accepts)
        if longer is not None:
            return longer
    return None


def _draw_question(
    rng: np.random.Generator,
    frame: Frame,
    script: Script,
    op: str,
    distance: int | None,
    quotas: Quotas,
    accepts: Accepts,
) -> Script | None:
    """The dialogue with a question of an operator, the draw that is needed most; None if there is none."""
    found: list[tuple[float, int, Script]] = []
    for number in range(_NUM_DRAWS):
        slots = draw_slots(rng, script, op, quotas)
        made = None if slots is None else make(op, script, slots)
        if made is None or slots is None:
            if number >= 3 and not found:
                break
            continue
        known = num_wordings(op, made.far)
        wording = int(rng.integers(min(known if frame.held_out else known - 1, frame.num_wordings or known)))
        longer = extend(script, op, slots, wording, made)
        if longer is None or _is_repeat(longer):
            continue
        facts = facts_of(longer, len(script.turns))
        missed = distance is not None and facts.distance_turns != distance and op not in ("attr", "count")
        found.append((quotas.excess(longer, facts) + 2 * missed + rng.uniform(0, 0.2), number, longer))
    for _, _, longer in sorted(found, key=lambda one: one[:2])[:_NUM_TRIED]:
        if accepts(longer):
            return longer
    return None


def draw_slots(rng: np.random.Generator, script: Script, op: str, quotas: Quotas) -> dict[str, int] | None:
    """Values for the slots of an operator's words; None where the dialogue offers none."""
    slots: dict[str, int] = {}
    num_shown = script.num_shown(len(script.turns))
    for slot in OPERATORS[op].slots:
        value = _draw_slot(rng, script, op, slot, slots, num_shown, quotas)
        if value is None:
            return None
        slots[slot] = value
    return slots


def _draw_slot(
    rng: np.random.Generator, script: Script, op: str, slot: str, slots: dict[str, int], num_shown: int, quotas: Quotas
) -> int | None:
    if slot == "pic":
        return num_shown - 1 - quotas.order_ages(rng, op, num_shown)[0]
    if slot.startswith("pic_"):
        above = max((slots[other] for other in slots if other.startswith("pic_")), default=-1)
        left = "abc".index(slot[-1])
        return int(rng.integers(above + 1, max(above + 2, num_shown - 2 + left)))
    if slot in ("value", "rule_value"):
        by = slots["by" if slot == "value" else "rule_by"]
        return int(rng.integers(len(script.domain.attributes[by].values)))
    if slot == "attr" and "by" in slots:
        return 1 - slots["by"]
    if slot == "name":
        return _draw_name(rng, script, op)
    if slot == "by" and op in ("that", "same", "that_one", "order") and script.state.named:
        return int(rng.choice(sorted(script.state.named)))
    if slot == "nth":
        return _draw_nth(rng, script, slots)
    sizes = {"attr": 2, "by": 2, "rule_by": 2, "cell": len(script.domain.cells[script.side])}
    return 1 + int(rng.integers(_MAX_LEAST)) if slot == "least" else int(rng.integers(sizes[slot]))


def _draw_name(rng: np.random.Generator, script: Script, op: str) -> int | None:
    state = script.state
    if op == "name":
        used = {turn.slots["name"] for turn in script.turns if "name" in turn.slots}
        names = [name for name in range(len(NAMES)) if name not in used]
    elif op == "gone":
        names = [] if state.forgotten is None else [script.turns[state.forgotten].slots["name"]]
    else:
        names = sorted(state.names)
    return int(rng.choice(names)) if names else None


def _draw_nth(rng: np.random.Generator, script: Script, slots: dict[str, int]) -> int | None:
    turns = script.state.answered.get(slots["by"], ()) if "by" in slots else script.turns
    known = min(len(turns), len(ORDINALS))
    return int(rng.integers(known)) if known else None


def _is_repeat(script: Script) -> bool:
    """Whether an earlier question asked the same of the same things, so that its answer stands in the dialogue."""
    last = script.turns[-1]
    if OPERATORS[last.op].by_words:
        return any(turn.op == last.op and turn.slots == last.slots for turn in script.turns[:-1])
    meaning = _meaning(script, len(script.turns) - 1)
    return any(_meaning(script, turn) == meaning for turn in range(len(script.turns) - 1))


def _meaning(script: Script, turn: int) -> tuple[object, ...]:
    """The node of a question's program with the values of its parts."""
    program = script.turns[turn].program
    if program[0] in ("told", "said"):
        return (turn,)
    if program[0] == "gone":
        program = program[3]
    if program[0] == "changed":
        program = program[1]
    told = script.told
    return (program[0], *(int(value_of(part, script.scenes[None], told, script.answers)[0]) for part in program[1:]))


def all_facts(script: Script) -> Sequence[Facts]:
    """The facts of every turn."""
    return [facts_of(script, turn) for turn in range(len(script.turns))]
