"""Replies of known truth to dialogues of the controlled world: right, right in long words, and wrong ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from mmcr_bench.exact.exact_set import Asked, ExactItem, solve_from, word
from mmcr_bench.exact.scene import DOMAINS
from mmcr_bench.exact.wording import REFUSAL
from mmcr_dataset.record.dialogue import Dialogue

RIGHT = ("true", "long")
WRONG = ("one_wrong", "other_half", "carried_on", "refusal")
_REFUSAL_TEXT = "I am sorry, but I can't tell that from the images."


@dataclass(frozen=True)
class JudgeItem:
    """Replies to a dialogue.

    Attributes:
        dialogue: the dialogue, with the true answers as references.
        kind: one of RIGHT or WRONG.
        op: operator of the first wrong turn; of the last turn where none is wrong.
        replies: one a turn.
    """

    dialogue: Dialogue
    kind: str
    op: str
    replies: tuple[str, ...]


def make_items(items: Iterable[ExactItem], seed: int) -> Iterator[JudgeItem]:
    """The replies to each linked dialogue.

    Args:
        items: of a set; halves of pairs are used, other tellings are not.
        seed: of the drawn errors.
    """
    groups: dict[str, dict[str, ExactItem]] = {}
    for item in items:
        groups.setdefault(item.group, {})[item.role] = item
    for number, name in enumerate(sorted(groups)):
        linked = groups[name].get("linked")
        if linked is not None:
            other = groups[name].get("history") or groups[name].get("image")
            yield from _of_dialogue(linked, other, np.random.default_rng([seed, number]))


def _of_dialogue(item: ExactItem, other: ExactItem | None, rng: np.random.Generator) -> Iterator[JudgeItem]:
    references, turns = item.dialogue.references, item.turns
    last = len(turns) - 1
    yield JudgeItem(item.dialogue, "true", turns[last].op, references)
    yield JudgeItem(item.dialogue, "long", turns[last].op, tuple(map(_in_long_words, turns, references)))
    place = int(rng.integers(len(turns)))
    wrong = _other_answer(item, turns[place], rng)
    replies = (*references[:place], word(item.domain, item.side, turns[place].type, wrong), *references[place + 1 :])
    yield JudgeItem(item.dialogue, "one_wrong", turns[place].op, replies)
    if other is not None:  # fluent answers, of another dialogue with the same last question
        at = next(n for n in range(len(turns)) if other.dialogue.references[n] != references[n])
        yield JudgeItem(item.dialogue, "other_half", turns[at].op, other.dialogue.references)
    carried = _carry_on(item, rng)
    if carried is not None:
        yield carried
    at = int(rng.integers(len(turns)))
    yield JudgeItem(item.dialogue, "refusal", turns[at].op, (*references[:at], _REFUSAL_TEXT, *references[at + 1 :]))


def _in_long_words(asked: Asked, reference: str) -> str:
    """The right answer with words around it that claim nothing."""
    if asked.answer == REFUSAL:
        return f"I have looked at this carefully, and what I can say about it is the following. {reference}"
    return (
        f"I have looked at this carefully, and the answer to the question that you have just asked me is: {reference}."
    )


def _other_answer(item: ExactItem, asked: Asked, rng: np.random.Generator) -> int:
    """Another value of the same type."""
    domain = DOMAINS[item.domain]
    sizes = {one.type: len(one.values) for one in domain.attributes}
    sizes |= {"yesno": 2, "image": len(item.dialogue.images), "cell": len(domain.cells[item.side])}
    size = sizes.get(asked.type, max(asked.answer + 3, 4) if asked.answer != REFUSAL else 4)
    options = [value for value in range(size) if value != asked.answer]
    return int(rng.choice(options)) if options else REFUSAL


def _carry_on(item: ExactItem, rng: np.random.Generator) -> JudgeItem | None:
    """An error, and what follows from it by the dialogue's own logic; None if nothing rests on an earlier answer."""
    answers: list[int | None] = [asked.answer for asked in item.turns]
    for first in rng.permutation(len(answers) - 1):
        said = list(answers)
        said[first] = _other_answer(item, item.turns[first], rng)
        for turn in range(int(first) + 1, len(said)):
            said[turn] = solve_from(item, said)[turn]
        if None not in said[first:] and said[first + 1 :] != answers[first + 1 :]:
            words = [
                word(item.domain, item.side, asked.type, value)
                for asked, value in zip(item.turns, said, strict=True)
                if value is not None
            ]
            return JudgeItem(item.dialogue, "carried_on", item.turns[first].op, tuple(words))
    return None
