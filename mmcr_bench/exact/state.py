"""A dialogue in the making, and what its words can refer to after each turn."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from mmcr_bench.exact.program import Program, value_of
from mmcr_bench.exact.scene import Domain, IntArray
from mmcr_bench.exact.wording import REFUSAL

MAX_NUMBER = 9
MAX_TIMES = 4  # "each cross counts as four"


class Place(NamedTuple):
    """Where a thing is: programs of its image and cell, the turn that spoke of it, and the true values."""

    image: Program
    cell: Program
    turn: int
    at: tuple[int, int]  # true image and cell


class Asked(NamedTuple):
    """The last question about an attribute of a single thing."""

    attr: Program
    turn: int
    names_place: bool  # its words, or those it repeats, name image and place


class Counted(NamedTuple):
    """The things of the last counting question."""

    by: Program
    value: Program
    image: Program
    turn: int
    rule: int | None  # the turn whose rule held


@dataclass(frozen=True)
class Made:
    """A question that the state allows.

    Attributes:
        program: its meaning.
        type: type of its answer.
        far: it refers to something further back than the turn before.
        place: programs of image and cell of the single thing that it is about.
        asked: program of the attribute that it asks for.
        names_place: as in `Asked`.
        things: programs of attribute, value and image of the things that it counts.
        is_counting: a counting question, whose things can be counted again.
    """

    program: Program
    type: str
    far: bool = False
    place: tuple[Program, Program] | None = None
    asked: Program | None = None
    names_place: bool = False
    things: tuple[Program, Program, Program] | None = None
    is_counting: bool = False


@dataclass(frozen=True)
class Turn:
    """A question of a dialogue.

    Attributes:
        op: the operator.
        slots: what its words say.
        wording: number of its wording.
        far: it refers to something further back than the turn before.
        program: its meaning.
        type: type of its answer.
    """

    op: str
    slots: Mapping[str, int]
    wording: int
    far: bool
    program: Program
    type: str


@dataclass(frozen=True)
class State:
    """What words can refer to. A missing entry means that the reference would be unclear or empty."""

    focus: Place | None = None
    before: Place | None = None
    spoken: frozenset[tuple[int, int]] = frozenset()  # image and cell of all single things so far
    in_image: Mapping[int, Place] = field(default_factory=dict)
    asked: Asked | None = None
    named: Mapping[int, int] = field(default_factory=dict)  # attribute -> turn of the last answer that is one
    answered: Mapping[int, tuple[int, ...]] = field(default_factory=dict)  # attribute -> turns of all such answers
    counted: Counted | None = None
    number: int | None = None  # turn of the last number
    summands: Mapping[int, frozenset[tuple[int, int, int]]] = field(default_factory=dict)  # of each number
    names: Mapping[int, Place] = field(default_factory=dict)
    forgotten: int | None = None  # turn that made a name forgotten
    lost: Place | None = None  # what had that name
    rule: int | None = None  # turn that set the rule for counting


@dataclass(frozen=True)
class Script:
    """A dialogue: its images, when they are shown, its questions and true answers, and the state after them.

    Attributes:
        domain: the kind of image.
        side: side of the grid.
        scenes: [image, cell, attribute].
        shown_at: turn at which each image is shown.
        turns: the questions.
        answers: the true answers.
        state: what the next question can refer to.
    """

    domain: Domain
    side: int
    scenes: IntArray
    shown_at: tuple[int, ...]
    turns: tuple[Turn, ...] = ()
    answers: tuple[int, ...] = ()
    state: State = State()

    def num_shown(self, turn: int) -> int:
        """Number of images shown up to a turn, the turn included."""
        return sum(at <= turn for at in self.shown_at)

    @property
    def told(self) -> list[Mapping[str, int]]:
        """The slots of every turn."""
        return [turn.slots for turn in self.turns]

    def value(self, program: Program, slots: Mapping[str, int] | None = None) -> int:
        """The true value of a program; `slots` are those of the turn to come."""
        told = self.told if slots is None else [*self.told, slots]
        return int(value_of(program, self.scenes[None], told, self.answers)[0])


def attribute_of_type(domain: Domain, type_: str) -> int | None:
    """The number of the attribute whose values are answers of a type; None if there is none."""
    return next((number for number, one in enumerate(domain.attributes) if one.type == type_), None)


def extend(script: Script, op: str, slots: Mapping[str, int], wording: int, made: Made) -> Script | None:
    """The dialogue with one more turn; None if the question has no answer in it."""
    answer = script.value(made.program, slots)
    if answer < 0 or (made.type == "number" and answer > MAX_NUMBER):
        return None
    turn = Turn(op, slots, wording, made.far, made.program, made.type)
    longer = replace(script, turns=(*script.turns, turn), answers=(*script.answers, answer))
    return replace(longer, state=_advance(longer, made))


def _advance(script: Script, made: Made) -> State:
    """The state after the last turn of the dialogue."""
    state, t, answer = script.state, len(script.turns) - 1, script.answers[-1]
    if answer == REFUSAL:
        return _blur(script, made)
    if made.place is not None:
        state = _speak_of(script, state, made)
    attribute = attribute_of_type(script.domain, made.type)
    if attribute is not None:
        turns = (*state.answered.get(attribute, ()), t)
        state = replace(state, named={**state.named, attribute: t}, answered={**state.answered, attribute: turns})
    return _count_on(script, state, made)


def _blur(script: Script, made: Made) -> State:
    """After a refusal nobody knows what "it" is."""
    in_image = dict(script.state.in_image)
    if made.place is not None and script.turns[-1].op != "gone":
        in_image.pop(script.value(made.place[0]), None)
    return replace(script.state, focus=None, before=None, asked=None, in_image=in_image)


def _speak_of(script: Script, state: State, made: Made) -> State:
    """The state after a question about a single thing."""
    assert made.place is not None
    turn, t = script.turns[-1], len(script.turns) - 1
    at = (script.value(made.place[0]), script.value(made.place[1]))
    place = Place(*made.place, t, at)
    in_image, before = dict(state.in_image), state.before
    if turn.op == "correct":
        assert state.focus is not None
        in_image.pop(state.focus.at[0], None)
        before = None
    elif state.focus is None or state.focus.at != at:
        before = state.focus if at not in state.spoken else None  # before which time?
    in_image[at[0]] = place
    asked = state.asked if made.asked is None else Asked(made.asked, t, made.names_place)
    names, forgotten, lost = dict(state.names), state.forgotten, state.lost
    if turn.op in ("name", "rename"):
        names[turn.slots["name"]] = place
    if turn.op == "forget":
        forgotten, lost = t, names.pop(turn.slots["name"])
    return replace(
        state,
        focus=place,
        before=before,
        spoken=state.spoken | {at},
        in_image=in_image,
        asked=asked,
        names=names,
        forgotten=forgotten,
        lost=lost,
    )


def _count_on(script: Script, state: State, made: Made) -> State:
    """The state after a number was given, or something like one."""
    turn, t = script.turns[-1], len(script.turns) - 1
    if made.type in ("digit", "height"):
        return replace(state, number=None)
    if made.type != "number":
        return state
    rule = t if turn.op == "rule" else state.rule
    summands: frozenset[tuple[int, int, int]] = frozenset()
    if turn.op in ("recall", "total"):
        earlier = turn.program[1] if turn.op == "recall" else state.number
        assert earlier is not None, "a total needs a number before it"
        summands = state.summands[earlier]
    counted = state.counted
    if made.things is not None:
        by, value, image = made.things
        summands |= {(script.value(by), script.value(value), script.value(image))}
        counted = Counted(by, value, image, t, rule) if made.is_counting else None
    return replace(state, number=t, summands={**state.summands, t: summands}, counted=counted, rule=rule)
