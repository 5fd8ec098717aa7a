"""Values for the slots of an operator's words, drawn from what the dialogue offers."""

from __future__ import annotations

import numpy as np

from mmcr_bench.exact.operators import OPERATORS
from mmcr_bench.exact.quotas import Quotas
from mmcr_bench.exact.state import MAX_TIMES, Script
from mmcr_bench.exact.wording import NAMES, ORDINALS

_MAX_LEAST = 3


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
    if op == "return" and slot == "pic":
        away = [image for image in sorted(script.state.in_image) if image != _focus_image(script)]
        return int(rng.choice(away)) if away else None
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
    if slot in ("least", "times"):
        return int(rng.integers(1, _MAX_LEAST + 1)) if slot == "least" else int(rng.integers(2, MAX_TIMES + 1))
    return int(rng.integers(sizes[slot]))


def _focus_image(script: Script) -> int | None:
    """The image of the thing last spoken of."""
    return None if script.state.focus is None else script.state.focus.at[0]


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
