"""The operators: their slots, what they ask, what they need, and what they change."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from mmcr_bench.exact import questions
from mmcr_bench.exact.questions import Slots
from mmcr_bench.exact.state import Made, Script


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


_MENTION = ("attr", "name", "where", "described")  # speak of a single thing without any reference
_NAMED = ("attr", "name", "described")
_COUNT = ("count", "that")
_VALUE = (*_NAMED, "it", "ellipsis", "correct", "back", "return", "called", "rename", "that_one")  # answer with a value
_NUMBER = (*_COUNT, "and_in", "ruled", "rule")
OPERATORS: dict[str, Operator] = {
    "attr": Operator(("attr", "pic", "cell"), questions.ask_attr, refers=False),
    "count": Operator(("by", "value", "pic"), questions.ask_count, refers=False),
    "name": Operator(("attr", "pic", "cell", "name"), questions.ask_name, refers=False),
    "where": Operator(("by", "value", "pic"), questions.ask_where, refers=False),
    "described": Operator(("by", "value", "attr", "pic"), questions.ask_described, refers=False),
    "rule": Operator((*questions.RULE, "by", "value", "pic"), questions.ask_rule, refers=False, weight=0.5),
    "it": Operator(("attr",), questions.ask_it, setup=_MENTION, keeps="focus"),
    "ellipsis": Operator(("cell",), questions.ask_ellipsis, setup=_NAMED, keeps="focus"),
    "correct": Operator(("pic",), questions.ask_correct, min_images=2, setup=("attr",), keeps="focus"),
    "back": Operator(("attr",), questions.ask_back, setup=_MENTION, keeps="focus", nearest=2),
    "return": Operator(("pic", "attr"), questions.ask_return, min_images=2, setup=_MENTION, keeps="focus", nearest=2),
    "called": Operator(("name", "attr"), questions.ask_called, setup=("name",), keeps="names"),
    "rename": Operator(
        ("name", "cell", "attr"), questions.ask_rename, min_images=2, setup=("name",), keeps="names", asks_image=True
    ),
    "forget": Operator(("name", "attr"), questions.ask_forget, setup=("name",), keeps="names"),
    "gone": Operator(("name", "attr"), questions.ask_gone, by_words=True, setup=("forget",), weight=0.3, nearest=2),
    "which": Operator(
        ("name",), questions.ask_which, min_images=2, by_words=True, setup=("name",), keeps="names", asks_image=True
    ),
    "that": Operator(("by", "pic"), questions.ask_that, setup=_VALUE, keeps="named"),
    "same": Operator(("by", "pic", "least"), questions.ask_same, setup=_VALUE, keeps="named"),
    "that_one": Operator(("by", "attr", "pic"), questions.ask_that_one, setup=_VALUE, keeps="named"),
    "and_in": Operator(("pic",), questions.ask_and_in, min_images=2, setup=_COUNT, keeps="counted"),
    "more": Operator(("pic",), questions.ask_more, min_images=2, setup=_COUNT, keeps="counted"),
    "total": Operator(("by", "value", "pic"), questions.ask_total, setup=_NUMBER, keeps="number"),
    "ruled": Operator(("by", "value", "pic"), questions.ask_ruled, setup=("rule",)),
    "compare": Operator(
        ("pic_a", "pic_b", "pic_c"), questions.ask_compare, min_images=3, setup=_COUNT, keeps="counted"
    ),
    "recall": Operator(("nth",), questions.ask_recall, by_words=True, weight=0.5),
    "order": Operator(("by", "nth"), questions.ask_order, by_words=True, weight=0.5),
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
