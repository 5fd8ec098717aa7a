"""A reference with one fact changed: number, colour, side, image, order. Fluent, of the same length, and wrong."""

from __future__ import annotations

import random
import re
from collections.abc import Iterator, Sequence

from mmcr_dataset.record.dialogue import Dialogue

_NUMBERS = tuple("one two three four five six seven eight nine ten eleven twelve".split())
_CLASSES: dict[str, tuple[tuple[str, ...], ...]] = {  # kind -> groups of words that replace each other
    "number": (_NUMBERS,),
    "colour": (tuple("red blue green yellow orange purple pink brown black white grey".split()),),
    "side": (
        ("left", "right"),
        ("top", "bottom"),
        ("above", "below"),
        ("upper", "lower"),
        ("north", "south"),
        ("foreground", "background"),
        ("inside", "outside"),
        ("front", "back"),
    ),
    "order": (
        ("first", "last"),
        ("before", "after"),
        ("earlier", "later"),
        ("previous", "next"),
        ("beginning", "end"),
    ),
}
_YES_NO = {"yes": "no", "no": "yes"}
_SAME = {"gray": "grey", "second": "first"}
KINDS = ("number", "colour", "side", "image", "order")
KINDS_SHORT = (*KINDS, "yes_no")  # of references of a word or two
_DIGITS = re.compile(r"(?<![\w.,])\d{1,4}(?![\w%]|[.,]\d)")
_IMAGE = re.compile(r"\b(?P<word>image|picture|photo)(?P<gap>[_ ])(?P<number>\d)\b", re.IGNORECASE)
_WORD = re.compile(r"[A-Za-z]+")


def change_fact(text: str, kind: str, num_images: int, rng: random.Random) -> str | None:
    """The text with one fact of a kind changed everywhere it is said; None if it states none.

    Example: `change_fact("Two boats, both red.", "colour", 1, rng)` -> "Two boats, both green."

    Args:
        text: a reference.
        kind: one of KINDS_SHORT.
        num_images: images of the dialogue, so that another image is one of them.
        rng: random numbers.
    """
    if kind == "image":
        return _change_image(text, num_images, rng)
    if kind == "yes_no":
        swapped = _YES_NO.get(text.strip(" .!").lower())  # the whole answer: within a sentence it reads wrong
        return None if swapped is None else _WORD.sub(lambda match: _with_case(swapped, match.group()), text)
    found = [(match.group(), group) for match in _WORD.finditer(text) for group in _groups(match.group(), kind)]
    changed = None
    if found:
        word, group = found[rng.randrange(len(found))]
        other = rng.choice([one for one in group if one != _canonical(word)])
        changed = re.sub(rf"\b{word}\b", lambda match: _with_case(other, match.group()), text, flags=re.IGNORECASE)
    elif kind == "number" and (digits := _DIGITS.findall(text)):
        old = rng.choice(digits)
        other = str(int(old) + rng.choice([1, 2, 3]))
        changed = re.sub(rf"(?<![\w.,]){old}(?![\w%]|[.,]\d)", other, text)
    return changed if changed is not None and changed != text else None


def _change_image(text: str, num_images: int, rng: random.Random) -> str | None:
    found = list(_IMAGE.finditer(text))
    if not found or num_images < 2:
        return None
    old = rng.choice(found).group("number")
    other = rng.choice([str(number) for number in range(1, num_images + 1) if str(number) != old])
    swap = {old: other, other: old}
    return _IMAGE.sub(
        lambda m: f"{m.group('word')}{m.group('gap')}{swap.get(m.group('number'), m.group('number'))}", text
    )


def _canonical(word: str) -> str:
    return _SAME.get(word.lower(), word.lower())


def _groups(word: str, kind: str) -> Iterator[tuple[str, ...]]:
    for group in _CLASSES[kind]:
        if _canonical(word) in group:
            yield group


def _with_case(word: str, like: str) -> str:
    return word.capitalize() if like[:1].isupper() else word


def change_turns(
    dialogue: Dialogue, number: int, kinds: Sequence[str] = KINDS
) -> list[tuple[str, int, tuple[str, ...]]]:
    """References with one fact of one turn changed, of as many kinds and turns as there are.

    Args:
        dialogue: its references state the facts.
        number: at most so many.
        kinds: of facts, some of KINDS_SHORT.

    Returns:
        (kind, turn from 0, replies); the last turn is never the only one if another states a fact.
    """
    rng = random.Random(dialogue.id)  # noqa: S311  (not for secrets)
    references = dialogue.references
    options: list[tuple[str, int]] = [(kind, turn) for kind in kinds for turn in range(len(references))]
    rng.shuffle(options)
    last = len(references) - 1
    made: list[tuple[str, int, tuple[str, ...]]] = []
    taken: dict[str, int] = {}
    options.sort(key=lambda option: option[1] == last)  # earlier turns first: a judge may read the last one only
    while options and len(made) < number:
        kind, turn = min(options, key=lambda option: (taken.get(option[0], 0), option[1] == last))
        options.remove((kind, turn))
        changed = change_fact(references[turn], kind, len(dialogue.images), rng)
        if changed is not None:
            taken[kind] = taken.get(kind, 0) + 1
            made.append((kind, turn, (*references[:turn], changed, *references[turn + 1 :])))
    return made
