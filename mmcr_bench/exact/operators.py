"""The operators: what each asks, from the slots of its words and the state of the dialogue.

`make(op, script, slots)` gives the question's meaning, or None where the words would be unclear or refer to nothing. It
decides nothing at random, so that a dialogue can be made again with another slot.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from mmcr_bench.exact.program import Program, unrolled
from mmcr_bench.exact.state import Made, Script
from mmcr_bench.exact.wording import ORDINALS, REFUSAL

Slots = Mapping[str, int]
_RULE = ("rule_by", "rule_value", "times")


@dataclass(frozen=True)
class Operator:
    """An operator.

    Attributes:
        slots: the slots of its words, in the order in which they are drawn.
        make: question from dialogue and slots.
        refers: its words refer to earlier turns.
        min_images: images that must have been shown.
        by_words: the words of the dialogue alone give the answer, by design.
        setup: operators of an earlier turn that it can refer to; empty if any turn will do.
        keeps: what must not change between that turn and this: a key of `TOUCHES`.
        asks_image: the answer rests on which image that turn spoke of, so several must have been shown by then.
        weight: how often it is asked, beside the others.
        nearest: the smallest distance at which it can be asked.
    """

    slots: tuple[str, ...]
    make: Callable[[Script, Slots], Made | None]
    refers: bool = True
    min_images: int = 1
    by_words: bool = False
    setup: tuple[str, ...] = ()
    keeps: str = ""
    asks_image: bool = False
    weight: float = 1.0
    nearest: int = 1


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
    return ("count", by, image, value, *(("told", script.state.rule, slot) for slot in _RULE))


def _attr(script: Script, slots: Slots) -> Made | None:
    return _ask(script, slots, _told(script, "pic"), _told(script, "cell"), names_place=True)


def _name(script: Script, slots: Slots) -> Made | None:
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


def _plain_count(script: Script, slots: Slots) -> Made | None:
    return _count_things(script, slots) if script.state.rule is None else None


def _ruled(script: Script, slots: Slots) -> Made | None:
    return _count_things(script, slots) if script.state.rule is not None else None


def _rule(script: Script, slots: Slots) -> Made | None:
    if script.state.rule is not None:
        return None
    by, image, value, *rule = (_told(script, slot) for slot in ("by", "pic", "value", *_RULE))
    return Made(("count", by, image, value, *rule), "number", things=(by, value, image), is_counting=True)


def _where(script: Script, slots: Slots) -> Made | None:
    by, image, value = (_told(script, slot) for slot in ("by", "pic", "value"))
    return Made(("cell_with", by, image, value), "cell", place=(image, ("said", len(script.turns))))


def _described(script: Script, slots: Slots) -> Made | None:
    if slots["attr"] == slots["by"]:
        return None
    image = _told(script, "pic")
    return _ask(script, slots, image, ("cell_with", _told(script, "by"), image, _told(script, "value")))


def _it(script: Script, slots: Slots) -> Made | None:
    focus = script.state.focus
    if focus is None:
        return None
    return _ask(script, slots, focus.image, focus.cell, far=_is_far(script, focus.turn))


def _ellipsis(script: Script, slots: Slots) -> Made | None:
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


def _correct(script: Script, slots: Slots) -> Made | None:
    focus, asked = script.state.focus, script.state.asked
    if focus is None or asked is None or not asked.names_place or asked.turn != focus.turn:
        return None
    if _is_far(script, asked.turn) or slots["pic"] == focus.at[0]:
        return None
    image = _told(script, "pic")
    program = ("attr", asked.attr, image, focus.cell)
    type_ = _type(script, script.value(asked.attr))
    return Made(program, type_, place=(image, focus.cell), asked=asked.attr, names_place=True)


def _back(script: Script, slots: Slots) -> Made | None:
    focus, before = script.state.focus, script.state.before
    if focus is None or before is None or _is_far(script, focus.turn):
        return None
    return _ask(script, slots, before.image, before.cell)


def _return(script: Script, slots: Slots) -> Made | None:
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


def _still_called(script: Script, slots: Slots) -> Made | None:
    return _called(script, slots) if slots["name"] in script.state.names else None


def _gone(script: Script, slots: Slots) -> Made | None:
    return _called(script, slots) if slots["name"] not in script.state.names else None


def _rename(script: Script, slots: Slots) -> Made | None:
    place = script.state.names.get(slots["name"])
    if place is None or place.at[1] == slots["cell"]:
        return None
    return _ask(script, slots, place.image, _told(script, "cell"))


def _forget(script: Script, slots: Slots) -> Made | None:
    return _still_called(script, slots) if script.state.forgotten is None else None


def _which(script: Script, slots: Slots) -> Made | None:
    place = script.state.names.get(slots["name"])
    return None if place is None else Made(place.image, "image", place=(place.image, place.cell))


def _that(script: Script, slots: Slots) -> Made | None:
    turn = script.state.named.get(slots["by"])
    if turn is None:
        return None
    by, image, value = _told(script, "by"), _told(script, "pic"), ("said", turn)
    program = _count(script, by, image, value)
    return Made(program, "number", _is_far(script, turn), things=(by, value, image), is_counting=True)


def _same(script: Script, slots: Slots) -> Made | None:
    turn = script.state.named.get(slots["by"])
    if turn is None or (script.state.rule is not None and slots["least"] > 1):
        return None
    by, image, least = (_told(script, slot) for slot in ("by", "pic", "least"))
    return Made(("at_least", by, image, ("said", turn), least), "yesno", _is_far(script, turn))


def _that_one(script: Script, slots: Slots) -> Made | None:
    turn = script.state.named.get(slots["by"])
    if turn is None or slots["by"] == slots["attr"]:
        return None
    image = _told(script, "pic")
    cell = ("cell_with", _told(script, "by"), image, ("said", turn))
    return _ask(script, slots, image, cell, far=_is_far(script, turn))


def _and_in(script: Script, slots: Slots) -> Made | None:
    counted = script.state.counted
    if counted is None or script.value(counted.image) == slots["pic"]:
        return None
    image = _told(script, "pic")
    program = _count(script, counted.by, image, counted.value)
    things = (counted.by, counted.value, image)
    return Made(program, "number", _is_far(script, counted.turn), things=things, is_counting=True)


def _more(script: Script, slots: Slots) -> Made | None:
    counted = script.state.counted
    if counted is None or counted.rule != script.state.rule or script.value(counted.image) == slots["pic"]:
        return None
    number = _count(script, counted.by, _told(script, "pic"), counted.value)
    return Made(("more", number, ("said", counted.turn)), "yesno", _is_far(script, counted.turn))


def _total(script: Script, slots: Slots) -> Made | None:
    number = script.state.number
    if number is None or (slots["by"], slots["value"], slots["pic"]) in script.state.summands[number]:
        return None
    by, image, value = (_told(script, slot) for slot in ("by", "pic", "value"))
    program = ("add", ("said", number), _count(script, by, image, value))
    return Made(program, "number", _is_far(script, number), things=(by, value, image))


def _compare(script: Script, slots: Slots) -> Made | None:
    counted = script.state.counted
    images = [slots[slot] for slot in ("pic_a", "pic_b", "pic_c")]
    if counted is None or counted.rule != script.state.rule or not images[0] < images[1] < images[2]:
        return None
    places = [_told(script, slot) for slot in ("pic_a", "pic_b", "pic_c")]
    numbers = [_count(script, counted.by, place, counted.value) for place in places]
    return Made(("most", *places, *numbers), "image", _is_far(script, counted.turn))


def _recall(script: Script, slots: Slots) -> Made | None:
    turn = slots["nth"]
    if turn >= min(len(script.turns), len(ORDINALS)) or script.answers[turn] == REFUSAL:
        return None
    return Made(("said", turn), script.turns[turn].type)


def _order(script: Script, slots: Slots) -> Made | None:
    turns = script.state.answered.get(slots["by"], ())
    type_ = _type(script, slots["by"])
    values = [script.answers[turn] for turn in turns[: slots["nth"] + 1]]
    if type_ == "digit" or len(values) <= slots["nth"] or len(set(values)) < len(values):
        return None  # "the second value" could be a number that was counted
    return Made(("said", turns[slots["nth"]]), type_)


_MENTION = ("attr", "name", "where", "described")  # speak of a single thing without any reference
_NAMED = ("attr", "name", "described")
_COUNT = ("count", "that")
_VALUE = (*_NAMED, "it", "ellipsis", "correct", "back", "return", "called", "rename", "that_one")  # answer with a value
_NUMBER = (*_COUNT, "and_in", "ruled", "rule")
OPERATORS: dict[str, Operator] = {
    "attr": Operator(("attr", "pic", "cell"), _attr, refers=False),
    "count": Operator(("by", "value", "pic"), _plain_count, refers=False),
    "name": Operator(("attr", "pic", "cell", "name"), _name, refers=False),
    "where": Operator(("by", "value", "pic"), _where, refers=False),
    "described": Operator(("by", "value", "attr", "pic"), _described, refers=False),
    "rule": Operator((*_RULE, "by", "value", "pic"), _rule, refers=False, weight=0.5),
    "it": Operator(("attr",), _it, setup=_MENTION, keeps="focus"),
    "ellipsis": Operator(("cell",), _ellipsis, setup=_NAMED, keeps="focus"),
    "correct": Operator(("pic",), _correct, min_images=2, setup=("attr",), keeps="focus"),
    "back": Operator(("attr",), _back, setup=_MENTION, keeps="focus", nearest=2),
    "return": Operator(("pic", "attr"), _return, min_images=2, setup=_MENTION, keeps="focus", nearest=2),
    "called": Operator(("name", "attr"), _still_called, setup=("name",), keeps="names"),
    "rename": Operator(
        ("name", "cell", "attr"), _rename, min_images=2, setup=("name",), keeps="names", asks_image=True
    ),
    "forget": Operator(("name", "attr"), _forget, setup=("name",), keeps="names"),
    "gone": Operator(("name", "attr"), _gone, by_words=True, setup=("forget",), weight=0.3, nearest=2),
    "which": Operator(("name",), _which, min_images=2, by_words=True, setup=("name",), keeps="names", asks_image=True),
    "that": Operator(("by", "pic"), _that, setup=_VALUE, keeps="named"),
    "same": Operator(("by", "pic", "least"), _same, setup=_VALUE, keeps="named"),
    "that_one": Operator(("by", "attr", "pic"), _that_one, setup=_VALUE, keeps="named"),
    "and_in": Operator(("pic",), _and_in, min_images=2, setup=_COUNT, keeps="counted"),
    "more": Operator(("pic",), _more, min_images=2, setup=_COUNT, keeps="counted"),
    "total": Operator(("by", "value", "pic"), _total, setup=_NUMBER, keeps="number"),
    "ruled": Operator(("by", "value", "pic"), _ruled, setup=("rule",)),
    "compare": Operator(("pic_a", "pic_b", "pic_c"), _compare, min_images=3, setup=_COUNT, keeps="counted"),
    "recall": Operator(("nth",), _recall, by_words=True, weight=0.5),
    "order": Operator(("by", "nth"), _order, by_words=True, weight=0.5),
}
_SPEAKS = frozenset(op for op, one in OPERATORS.items() if "attr" in one.slots) | {
    "where",
    "ellipsis",
    "correct",
    "which",
}
_COUNTS = frozenset({"count", "rule", "ruled", "that", "and_in", "total"})
TOUCHES: dict[str, frozenset[str]] = {  # operators after which a reference means something else
    "focus": _SPEAKS,
    "named": _SPEAKS - {"where", "which"} | {"recall", "order"},
    "counted": _COUNTS,
    "number": _COUNTS | {"recall"},
    "names": frozenset({"rename", "forget"}),
    "": frozenset(),
}


def make(op: str, script: Script, slots: Slots) -> Made | None:
    """The question that an operator asks; None where its words would be unclear or refer to nothing.

    Args:
        op: name of the operator.
        script: the dialogue so far.
        slots: what the words say.
    """
    operator = OPERATORS[op]
    if script.num_shown(len(script.turns)) < operator.min_images:
        return None
    return operator.make(script, slots)
