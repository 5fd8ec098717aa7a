"""What each operator asks, from the slots of its words and the state of the dialogue.

Each function gives the meaning of a question, or None where the words would be unclear or refer to nothing. Nothing in
it is left to chance, so that a dialogue can be made again with another slot.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from mmcr_bench.exact.program import Program, unrolled
from mmcr_bench.exact.state import Made, Script
from mmcr_bench.exact.wording import ORDINALS, REFUSAL

Slots = Mapping[str, int]
RULE = ("rule_by", "rule_value", "times")


def _told(script: Script, slot: str) -> Program:
    return ("told", len(script.turns), slot)


def _is_far(script: Script, turn: int) -> bool:
    return len(script.turns) - turn > 1


def _type(script: Script, attribute: int) -> str:
    return script.domain.attributes[attribute].type


def _ask(
    script: Script, slots: Slots, image: Program, cell: Program, *, far: bool = False, names_place: bool = False
) -> Made | None:
    """A question about the attribute `attr` of a thing; None if the thing was described by that attribute."""
    attr, described = _told(script, "attr"), unrolled(cell, script.turns)
    if described[0] == "cell_with" and script.value(described[1], slots) == slots["attr"]:
        return None
    program = ("attr", attr, image, cell)
    return Made(program, _type(script, slots["attr"]), far, (image, cell), attr, names_place)


def _count(script: Script, by: Program, image: Program, value: Program) -> Program:
    """The number of things under the rule in force."""
    if script.state.rule is None:
        return ("count", by, image, value)
    return ("count", by, image, value, *(("told", script.state.rule, slot) for slot in RULE))


def ask_attr(script: Script, slots: Slots) -> Made | None:
    """An attribute of the thing in a cell."""
    return _ask(script, slots, _told(script, "pic"), _told(script, "cell"), names_place=True)


def ask_name(script: Script, slots: Slots) -> Made | None:
    """The same, and the thing gets a name."""
    state = script.state
    if slots["name"] in state.names or any(turn.slots.get("name") == slots["name"] for turn in script.turns):
        return None
    return _ask(script, slots, _told(script, "pic"), _told(script, "cell"))


def _count_things(script: Script, slots: Slots) -> Made | None:
    """`count`, and `ruled` where a rule changes the number."""
    by, image, value = (_told(script, slot) for slot in ("by", "pic", "value"))
    program = _count(script, by, image, value)
    if script.state.rule is not None:
        program = ("changed", program, ("count", by, image, value))
    return Made(program, "number", things=(by, value, image), is_counting=True)


def ask_count(script: Script, slots: Slots) -> Made | None:
    """How many things an image has."""
    return _count_things(script, slots) if script.state.rule is None else None


def ask_ruled(script: Script, slots: Slots) -> Made | None:
    """The same words under a rule that changes the number."""
    return _count_things(script, slots) if script.state.rule is not None else None


def ask_rule(script: Script, slots: Slots) -> Made | None:
    """A rule for counting, and a number under it; the rule names a value that its attribute has."""
    named = script.domain.attributes[slots["rule_by"]].values
    if script.state.rule is not None or slots["rule_value"] >= len(named):
        return None
    by, image, value, *rule = (_told(script, slot) for slot in ("by", "pic", "value", *RULE))
    return Made(("count", by, image, value, *rule), "number", things=(by, value, image), is_counting=True)


def ask_where(script: Script, slots: Slots) -> Made | None:
    """The place of the only such thing."""
    by, image, value = (_told(script, slot) for slot in ("by", "pic", "value"))
    return Made(("cell_with", by, image, value), "cell", place=(image, ("said", len(script.turns))))


def ask_described(script: Script, slots: Slots) -> Made | None:
    """An attribute of a described thing; the refusal if there is none."""
    if slots["attr"] == slots["by"]:
        return None
    image = _told(script, "pic")
    return _ask(script, slots, image, ("cell_with", _told(script, "by"), image, _told(script, "value")))


def ask_it(script: Script, slots: Slots) -> Made | None:
    """An attribute of the thing last spoken of."""
    focus = script.state.focus
    if focus is None:
        return None
    return _ask(script, slots, focus.image, focus.cell, far=_is_far(script, focus.turn))


def ask_ellipsis(script: Script, slots: Slots) -> Made | None:
    """The last question about a single thing, for another cell of its image."""
    focus, asked = script.state.focus, script.state.asked
    if focus is None or asked is None or asked.turn != focus.turn or slots["cell"] == focus.at[1]:
        return None
    cell = _told(script, "cell")
    program = ("attr", asked.attr, focus.image, cell)
    return Made(
        program,
        _type(script, script.value(asked.attr)),
        far=_is_far(script, asked.turn),
        place=(focus.image, cell),
        asked=asked.attr,
        names_place=True,
    )


def ask_correct(script: Script, slots: Slots) -> Made | None:
    """The question before, about another image."""
    focus, asked = script.state.focus, script.state.asked
    if focus is None or asked is None or not asked.names_place or asked.turn != focus.turn:
        return None
    if _is_far(script, asked.turn) or slots["pic"] == focus.at[0]:
        return None
    image = _told(script, "pic")
    program = ("attr", asked.attr, image, focus.cell)
    type_ = _type(script, script.value(asked.attr))
    return Made(program, type_, place=(image, focus.cell), asked=asked.attr, names_place=True)


def ask_back(script: Script, slots: Slots) -> Made | None:
    """An attribute of the last thing but one."""
    focus, before = script.state.focus, script.state.before
    if focus is None or before is None or _is_far(script, focus.turn):
        return None
    return _ask(script, slots, before.image, before.cell)


def ask_return(script: Script, slots: Slots) -> Made | None:
    """An attribute of the thing of an image that was last spoken of."""
    focus, place = script.state.focus, script.state.in_image.get(slots["pic"])
    if focus is None or place is None or focus.at[0] == slots["pic"]:
        return None
    return _ask(script, slots, _told(script, "pic"), place.cell)


def _called(script: Script, slots: Slots) -> Made | None:
    """A named thing; the refusal once its name is forgotten."""
    state = script.state
    is_gone = state.forgotten is not None and script.turns[state.forgotten].slots["name"] == slots["name"]
    place = state.lost if is_gone else state.names.get(slots["name"])
    if place is None:
        return None
    made = _ask(script, slots, place.image, place.cell)
    if made is None or state.forgotten is None:
        return made
    forgotten = ("told", state.forgotten, "name")
    return replace(made, program=("gone", forgotten, _told(script, "name"), made.program))


def ask_called(script: Script, slots: Slots) -> Made | None:
    """An attribute of a named thing."""
    return _called(script, slots) if slots["name"] in script.state.names else None


def ask_gone(script: Script, slots: Slots) -> Made | None:
    """The same words after the name was forgotten: the refusal."""
    return _called(script, slots) if slots["name"] not in script.state.names else None


def ask_rename(script: Script, slots: Slots) -> Made | None:
    """A name moves to another cell of the same image."""
    place = script.state.names.get(slots["name"])
    if place is None or place.at[1] == slots["cell"]:
        return None
    return _ask(script, slots, place.image, _told(script, "cell"))


def ask_forget(script: Script, slots: Slots) -> Made | None:
    """An attribute of a named thing, whose name means nothing from then on."""
    return ask_called(script, slots) if script.state.forgotten is None else None


def ask_which(script: Script, slots: Slots) -> Made | None:
    """The image in which a named thing lies."""
    place = script.state.names.get(slots["name"])
    return None if place is None else Made(place.image, "image", place=(place.image, place.cell))


def ask_that(script: Script, slots: Slots) -> Made | None:
    """How many things have a value that was answered."""
    turn = script.state.named.get(slots["by"])
    if turn is None:
        return None
    by, image, value = _told(script, "by"), _told(script, "pic"), ("said", turn)
    program = _count(script, by, image, value)
    return Made(program, "number", _is_far(script, turn), things=(by, value, image), is_counting=True)


def ask_same(script: Script, slots: Slots) -> Made | None:
    """Whether at least so many have it."""
    turn = script.state.named.get(slots["by"])
    if turn is None or (script.state.rule is not None and slots["least"] > 1):
        return None
    by, image, least = (_told(script, slot) for slot in ("by", "pic", "least"))
    return Made(("at_least", by, image, ("said", turn), least), "yesno", _is_far(script, turn))


def ask_that_one(script: Script, slots: Slots) -> Made | None:
    """An attribute of the only thing that has it; the refusal if there is none."""
    turn = script.state.named.get(slots["by"])
    if turn is None or slots["by"] == slots["attr"]:
        return None
    image = _told(script, "pic")
    cell = ("cell_with", _told(script, "by"), image, ("said", turn))
    return _ask(script, slots, image, cell, far=_is_far(script, turn))


def ask_and_in(script: Script, slots: Slots) -> Made | None:
    """How many of what was last counted another image has."""
    counted = script.state.counted
    if counted is None or script.value(counted.image) == slots["pic"]:
        return None
    image = _told(script, "pic")
    program = _count(script, counted.by, image, counted.value)
    things = (counted.by, counted.value, image)
    return Made(program, "number", _is_far(script, counted.turn), things=things, is_counting=True)


def ask_more(script: Script, slots: Slots) -> Made | None:
    """Whether another image has more of them."""
    counted = script.state.counted
    if counted is None or counted.rule != script.state.rule or script.value(counted.image) == slots["pic"]:
        return None
    number = _count(script, counted.by, _told(script, "pic"), counted.value)
    return Made(("more", number, ("said", counted.turn)), "yesno", _is_far(script, counted.turn))


def ask_total(script: Script, slots: Slots) -> Made | None:
    """The last number and the number of some things."""
    number = script.state.number
    if number is None or (slots["by"], slots["value"], slots["pic"]) in script.state.summands[number]:
        return None
    by, image, value = (_told(script, slot) for slot in ("by", "pic", "value"))
    program = ("add", ("said", number), _count(script, by, image, value))
    return Made(program, "number", _is_far(script, number), things=(by, value, image))


def ask_compare(script: Script, slots: Slots) -> Made | None:
    """Which of three images has the most of what was last counted."""
    counted = script.state.counted
    images = [slots[slot] for slot in ("pic_a", "pic_b", "pic_c")]
    if counted is None or counted.rule != script.state.rule or not images[0] < images[1] < images[2]:
        return None
    places = [_told(script, slot) for slot in ("pic_a", "pic_b", "pic_c")]
    numbers = [_count(script, counted.by, place, counted.value) for place in places]
    return Made(("most", *places, *numbers), "image", _is_far(script, counted.turn))


def ask_recall(script: Script, slots: Slots) -> Made | None:
    """An earlier answer by its number."""
    turn = slots["nth"]
    if turn >= min(len(script.turns), len(ORDINALS)) or script.answers[turn] == REFUSAL:
        return None
    return Made(("said", turn), script.turns[turn].type)


def ask_order(script: Script, slots: Slots) -> Made | None:
    """An earlier answer by its number among those of its kind."""
    turns = script.state.answered.get(slots["by"], ())
    type_ = _type(script, slots["by"])
    values = [script.answers[turn] for turn in turns[: slots["nth"] + 1]]
    if type_ == "digit" or len(values) <= slots["nth"] or len(set(values)) < len(values):
        return None  # "the second value" could be a number that was counted
    return Made(("said", turns[slots["nth"]]), type_)
