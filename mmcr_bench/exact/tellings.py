"""The three tellings of a question: linked (as it is asked), resolved in its dialogue, resolved and alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from mmcr_bench.exact.phrases import RESOLVED, WORDINGS
from mmcr_bench.exact.program import Program, images_of
from mmcr_bench.exact.state import Script
from mmcr_bench.exact.wording import fill, join_words, question_text

SHORT = "Answer each question with a word or a number."  # long replies are read less well


def ask_for_short_answers(questions: Sequence[str]) -> tuple[str, ...]:
    """The questions of a row: the first one begins with `SHORT`."""
    return (f"{SHORT}\n{questions[0]}", *questions[1:])


def linked_text(script: Script, turn: int) -> str:
    """The question of a turn as it is asked in the dialogue."""
    asked = script.turns[turn]
    return question_text(script.domain, script.side, asked.op, asked.slots, asked.wording, asked.far)


def resolved_text(script: Script, turn: int) -> str:
    """The same question with its references resolved: it asks the same of the same images and needs no history."""
    asked = script.turns[turn]
    if asked.program[0] == "said":  # a repeated answer: its question again
        return resolved_text(script, asked.program[1])
    if asked.op == "which":
        image, cell = (script.value(part) for part in _named_place(script, turn))
        return _fill(script, RESOLVED["which"], {"pic": image, "cell": cell, "name": asked.slots["name"]})
    program = resolved_program(script, asked.program)
    if program[0] == "gone" and program[1] == program[2]:
        return _fill(script, RESOLVED["gone"], {"name": asked.slots["name"], "attr": asked.slots["attr"]})
    return _text_of(script, program[3] if program[0] == "gone" else program, asked.wording)


def resolved_program(script: Script, program: Program) -> Program:
    """The program without the dialogue: nothing is left of it but values, and what the images show."""
    kind = program[0]
    if kind == "said":
        return resolved_program(script, script.turns[program[1]].program)
    if kind in ("add", "more", "changed", "most", "gone"):
        return (kind, *(resolved_program(script, part) for part in program[1:]))
    if kind in ("told", "lit"):
        return ("lit", script.value(program))
    args = [("lit", script.value(part)) for part in program[1:]]
    if kind == "attr":
        cell = resolved_program(script, program[3])
        return (kind, args[0], args[1], cell if cell[0] == "cell_with" else args[2])
    return (kind, *args)


def _named_place(script: Script, turn: int) -> tuple[Program, Program]:
    """Programs of the image and the cell of the thing whose image a turn asks for."""
    asked = script.turns[turn]
    named = [
        earlier
        for earlier in script.turns[:turn]
        if earlier.op in ("name", "rename") and earlier.slots["name"] == asked.slots["name"]
    ]
    return asked.program, named[-1].program[3]


def _text_of(script: Script, program: Program, wording: int) -> str:
    """A program of values in words."""
    kind = program[0]
    if kind == "changed":
        return _text_of(script, program[1], wording)
    if kind in ("add", "more"):
        terms = _terms(program) if kind == "add" else [program[1], program[2]]
        words = [_term(script, term) for term in terms]
        return _fill(script, RESOLVED[kind], {}, terms="; ".join(words) if kind == "more" else join_words(words))
    if kind == "most":
        slots = dict(zip(("pic_a", "pic_b", "pic_c"), (part[1] for part in program[1:4]), strict=True))
        slots |= _things(program[4])
        return _fill(script, RESOLVED["ruled_most" if "rule_by" in slots else "most"], slots)
    if kind == "attr":
        slots = {"attr": program[1][1], "pic": program[2][1]}
        if program[3][0] == "lit":
            return _fill(script, WORDINGS["attr"][wording], {**slots, "cell": program[3][1]})
        return _fill(script, WORDINGS["described"][wording], {**slots, **_things(program[3])})
    slots = _things(program)
    if kind == "cell_with":
        return _fill(script, WORDINGS["where"][wording], slots)
    if kind == "at_least":
        return _fill(script, RESOLVED["at_least"], {**slots, "least": program[4][1]})
    return _fill(script, RESOLVED["ruled"] if "rule_by" in slots else WORDINGS["count"][wording], slots)


def _things(program: Program) -> dict[str, int]:
    """Slots of the things that a node speaks of."""
    (by, image, value), rule = program[1:4], program[4:7] if program[0] == "count" else ()
    slots = {"by": by, "pic": image, "value": value}
    slots |= dict(zip(("rule_by", "rule_value", "times"), rule, strict=False))
    return {slot: _number(part) for slot, part in slots.items()}


def _number(part: Program) -> int:
    assert part[0] == "lit", f"not resolved: {part}"
    return int(part[1])


def _terms(program: Program) -> list[Program]:
    return [*_terms(program[1]), *_terms(program[2])] if program[0] == "add" else [program]


def _term(script: Script, program: Program) -> str:
    slots = _things(program[1] if program[0] == "changed" else program)
    text = _fill(script, RESOLVED["ruled_term" if "rule_by" in slots else "term"], slots)
    return text[0].lower() + text[1:]


def _fill(script: Script, template: str, slots: Mapping[str, int], **phrases: str) -> str:
    return fill(script.domain, script.side, template, slots, **phrases)


def images_needed(script: Script, turn: int) -> list[int]:
    """Numbers (from 0) of the images that the question needs by itself, references resolved.

    All shown so far where the answer is the name of an image, so that names stay right.
    """
    asked = script.turns[turn]
    if asked.type == "image":
        return list(range(script.num_shown(turn)))
    program = resolved_program(script, asked.program)
    return sorted(images_of(program, script.scenes, script.told, script.answers))
