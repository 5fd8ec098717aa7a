"""The checks of the rows that belong to one dialogue: answers, words, guesses, limits, held-out parts, pairs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from mmcr_bench.exact.check_images import check_images, thumbnail_of
from mmcr_bench.exact.facts import facts_of
from mmcr_bench.exact.operators import make
from mmcr_bench.exact.program import to_program
from mmcr_bench.exact.scene import DOMAINS, has_held_out_combination, is_held_out
from mmcr_bench.exact.state import Script, extend
from mmcr_bench.exact.tellings import ask_for_short_answers, images_needed, linked_text, resolved_text
from mmcr_bench.exact.views import guesses_of, keeps_limits
from mmcr_bench.exact.wording import answer_text, num_wordings
from mmcr_dataset.record.dialogue import Dialogue

_CLOSE = 1e-9
Line = Mapping[str, Any]


@dataclass(frozen=True)
class Words:
    """What a row says and shows.

    Attributes:
        questions: the person's words, without images and their marks.
        answers: the references.
        shown_at: turn (from 0) at which each image is shown.
        images: digest of each image.
        thumbnails: small copy of each image, as `thumbnail_of` makes it.
    """

    questions: tuple[str, ...]
    answers: tuple[str, ...]
    shown_at: tuple[int, ...]
    images: tuple[str, ...]
    thumbnails: tuple[bytes, ...]

    @classmethod
    def of(cls, dialogue: Dialogue) -> Words:
        """The words of a row."""
        return cls(
            questions=tuple(turn.human_text for turn in dialogue.turns),
            answers=dialogue.references,
            shown_at=tuple(number for number, turn in enumerate(dialogue.turns) for _ in turn.introduces),
            images=tuple(image.sha256 for image in dialogue.images),
            thumbnails=tuple(thumbnail_of(image.data) for image in dialogue.images),
        )


def find_dialogue_faults(rows: Sequence[tuple[Line, Words]], settings: Mapping[str, Any]) -> list[str]:
    """Everything that is wrong with the rows of one dialogue.

    Args:
        rows: line of `exact.jsonl` and words of each row.
        settings: what the set was built from.
    """
    faults: list[str] = []
    by_role = {line["role"]: (line, words) for line, words in rows}
    for line, words in rows:
        found = [*_check_row(line, words), *_check_second_solver(line, words), *_check_split(line, settings["split"])]
        found += check_images(line, words.thumbnails)
        if line["role"] in ("linked", "history", "image"):
            found += _check_programs(line, words, settings)
        faults += [f"{line['id']}: {fault}" for fault in found]
    for role in sorted(by_role.keys() & _VARIANTS.keys()) if "linked" in by_role else ():
        line, words = by_role[role]
        faults += [f"{line['id']}: {fault}" for fault in _VARIANTS[role](by_role["linked"], (line, words))]
    return faults


def remake_script(line: Line) -> Script | None:
    """The dialogue of a line, made again from its operators and slots; None if a question makes no sense."""
    scenes = np.array(line["scenes"], dtype=np.int64)
    script = Script(DOMAINS[line["domain"]], line["side"], scenes, tuple(line["shown_at"]))
    for asked in line["turns"]:
        made = make(asked["op"], script, asked["slots"])
        longer = None if made is None else extend(script, asked["op"], asked["slots"], asked["wording"], made)
        if longer is None:
            return None
        script = longer
    return script


def _check_row(line: Line, words: Words) -> Iterator[str]:
    """References and images of any row."""
    domain = DOMAINS[line["domain"]]
    stated = tuple(answer_text(domain, line["side"], asked["type"], asked["answer"]) for asked in line["turns"])
    if stated != words.answers:
        yield f"references {words.answers}, the programs' answers are {stated}"
    if words.shown_at != tuple(line["shown_at"]):
        yield f"images are shown at {words.shown_at}, expected {tuple(line['shown_at'])}"
    if len(words.images) != len(line["scenes"]):
        yield f"{len(words.images)} images for {len(line['scenes'])} scenes"


def _check_second_solver(line: Line, words: Words) -> Iterator[str]:
    """The solver that reads only the words and the scenes must agree."""
    from mmcr_bench.exact.resolve import solve_in_words
    from mmcr_bench.exact.resolve_memory import Unresolved

    try:
        found = solve_in_words(line["domain"], line["side"], line["scenes"], words.questions)
    except Unresolved as error:
        yield f"the second solver finds no single meaning: {error}"
        return
    for turn, (second, answer) in enumerate(zip(found, words.answers, strict=True), start=1):
        if second != answer:
            yield f"turn {turn}, {words.questions[turn - 1]!r}: {answer!r}, the second solver says {second!r}"
            return


def _check_split(line: Line, split: str) -> Iterator[str]:
    """Held-out scenes, combinations and wordings."""
    domain = DOMAINS[line["domain"]]
    for number, scene in enumerate(np.array(line["scenes"]), start=1):
        if is_held_out(scene) != (split == "test"):
            yield f"image {number}: its scene does not belong to the split {split}"
        if split == "train" and has_held_out_combination(domain, scene):
            yield f"image {number}: shows a held-out combination"
    if split == "train":
        held = [one["op"] for one in line["turns"] if one["wording"] == num_wordings(one["op"], one["far"]) - 1]
        if held:
            yield f"held-out wordings of {', '.join(held)}"


def _check_programs(line: Line, words: Words, settings: Mapping[str, Any]) -> Iterator[str]:
    """The dialogue made again: words, programs, answers, facts, guesses, limits."""
    script = remake_script(line)
    if script is None:
        yield "a question makes no sense in its dialogue"
        return
    texts = ask_for_short_answers([linked_text(script, turn) for turn in range(len(script.turns))])
    for turn, (asked, made) in enumerate(zip(line["turns"], script.turns, strict=True)):
        place = f"turn {turn + 1}"
        if texts[turn] != words.questions[turn]:
            yield f"{place}: {words.questions[turn]!r}, expected {texts[turn]!r}"
        if (to_program(asked["program"]), asked["answer"]) != (made.program, script.answers[turn]):
            yield f"{place}: program or answer differ from {made.program}, {script.answers[turn]}"
        facts = facts_of(script, turn)
        if asked["facts"] != {**vars(facts), "needs": asked["facts"]["needs"]} or set(facts.needs) != set(
            asked["facts"]["needs"]
        ):
            yield f"{place}: facts {asked['facts']}, expected {facts}"
        yield from _check_guesses(script, turn, asked, line, settings)


def _check_guesses(
    script: Script, turn: int, asked: Mapping[str, Any], line: Line, settings: Mapping[str, Any]
) -> Iterator[str]:
    if settings["guesses"] == "none":
        return
    is_half = line["role"] != "linked"
    if is_half and turn < len(script.turns) - 1:
        return
    guesses = guesses_of(script, turn, line["seed"])
    wrong = [view for view, guess in guesses.items() if abs(asked["guesses"].get(view, -1) - guess) > _CLOSE]
    if wrong:
        yield f"turn {turn + 1}: guesses {asked['guesses']}, expected {guesses}"
    if not is_half and not keeps_limits(script, turn, guesses):
        yield f"turn {turn + 1} ({asked['op']}): can be guessed, {guesses}"


def _check_resolved(linked: tuple[Line, Words], resolved: tuple[Line, Words]) -> Iterator[str]:
    script = remake_script(linked[0])
    if script is None:
        return  # said of the linked row
    expected = ask_for_short_answers([resolved_text(script, turn) for turn in range(len(script.turns))])
    if resolved[1].questions != expected:
        yield f"asks {resolved[1].questions}, expected {expected}"
    if resolved[1].answers != linked[1].answers or resolved[1].images != linked[1].images:
        yield "answers or images differ from the linked dialogue"


def _check_alone(linked: tuple[Line, Words], alone: tuple[Line, Words]) -> Iterator[str]:
    script = remake_script(linked[0])
    if script is None:
        return
    last = len(script.turns) - 1
    if alone[1].answers != linked[1].answers[-1:]:
        yield f"answer {alone[1].answers}, expected {linked[1].answers[-1:]}"
    expected = tuple(linked[1].images[image] for image in images_needed(script, last))
    if alone[1].images != expected:
        yield "its images are not those that the question needs"


def _check_pair(linked: tuple[Line, Words], half: tuple[Line, Words]) -> Iterator[str]:
    """What makes a pair: one part changed, the last answer another, all that must be the same the same."""
    base, other, role = linked[1], half[1], half[0]["role"]
    if base.answers[-1] == other.answers[-1]:
        yield f"the last answer is {base.answers[-1]!r} in both halves"
    if base.shown_at != other.shown_at:
        yield "images are shown at other turns"
    num_questions = sum(one != two for one, two in zip(base.questions, other.questions, strict=True))
    num_images = sum(one != two for one, two in zip(base.images, other.images, strict=True))
    if role == "history":
        if num_images or base.questions[-1] != other.questions[-1]:
            yield "images or the last question differ; a model that ignores its history could tell the halves apart"
        if num_questions != 1:
            yield f"{num_questions} questions differ, expected 1"
    else:
        if num_questions or base.answers[:-1] != other.answers[:-1]:
            yield "questions or earlier answers differ; a model that ignores images could tell the halves apart"
        if num_images != 1:
            yield f"{num_images} images differ, expected 1"


_VARIANTS = {"resolved": _check_resolved, "alone": _check_alone, "history": _check_pair, "image": _check_pair}
