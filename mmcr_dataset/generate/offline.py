"""Writer `offline`: template dialogues from the document's sentences and the images' measured facts, without a model.

Deterministic; the reply has the format requested of a vision LLM, so that it goes through the same parser and rules.
For the demo and tests; every row names the writer `offline`.
"""

from __future__ import annotations

import hashlib
import re

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.generate.image_facts import ImageFacts, measure_facts
from mmcr_dataset.record.dialogue import TURNS_MULTI
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.plain_text import cut_text

VERSION = "offline-1"
_MAX_SENTENCE = 300  # characters; longer ones are truncated at a word


def write_offline(candidate: Candidate) -> str:
    """The reply text for a candidate: four turns for one image, eight for several."""
    facts = [measure_facts(decode_rgb(image.data)) for image in candidate.images]
    sentences = [_sentences(candidate.text_near(number)) for number in range(1, len(facts) + 1)]
    variant = int(hashlib.sha256(candidate.id.encode("utf-8", "replace")).hexdigest(), 16)
    turns = _single(facts[0], sentences[0], variant) if len(facts) == 1 else _multi(facts, sentences, variant)
    lines: list[str] = []
    for number, (human, assistant) in enumerate(turns, start=1):
        lines += [f"< Human {number} >: {human}", f"< Assistant {number} >: {assistant}"]
    return "\n".join(lines)


def _sentences(text: str) -> list[str]:
    """Sentences of a text, deduplicated, long ones truncated."""
    found: list[str] = []
    for sentence in re.split(r"(?<=[.!?])\s+|\n+", text):
        words = " ".join(sentence.split())
        if len(words) > _MAX_SENTENCE:
            words = cut_text(words, _MAX_SENTENCE) + " ..."
        if len(words) >= 4 and words not in found:
            found.append(words)
    return found


def _pick(variant: int, place: int, *choices: str) -> str:
    return choices[(variant >> (4 * place)) % len(choices)]


def _said(sentence: str) -> str:
    """A sentence in a form to quote inside another."""
    return sentence.rstrip(" .!?").replace('"', "'")


def _colours(facts: ImageFacts) -> str:
    first, second = facts.colours
    return f"{first} with some {second}"


def _quote(number: int, sentences: list[str], variant: int) -> str:
    """A quotation of the first sentence of an image's text."""
    if not sentences:
        return f"Image {number} comes without words of its own."
    openings = (
        f"Image {number} comes with the words",
        f"The text says of image {number}:",
        f"For image {number} we read",
    )
    return f'{_pick(variant, 0, *openings)} "{_said(sentences[0])}".'


def _describe(number: int, facts: ImageFacts, sentences: list[str], variant: int) -> str:
    kind = "a picture without colour" if facts.is_grey else "a colour picture"
    return (
        f"{_quote(number, sentences, variant)} Image {number} is {kind}, mostly {_colours(facts)}, and {facts.shape}."
    )


def _last_words(number: int, sentences: list[str]) -> str:
    if len(sentences) < 2:
        return f"There are no further words about image {number}."
    return f'The text goes on about image {number} with "{_said(sentences[1])}".'


def _light(number: int, facts: ImageFacts) -> str:
    return (
        f"Overall image {number} is {facts.brightness}. In image {number} the {facts.brightest} is brightest and the "
        f"{facts.darkest} is darkest, so the eye moves from one to the other."
    )


def _texture(number: int, facts: ImageFacts) -> str:
    share = round(facts.colour_share * 10)
    part = (
        "nearly all" if share >= 9 else "about half" if 4 <= share <= 6 else "much" if share > 6 else "a smaller part"
    )
    return f"The surface of image {number} is {facts.texture}, and {facts.colours[0]} covers {part} of it."


def _single(facts: ImageFacts, sentences: list[str], variant: int) -> list[tuple[str, str]]:
    first = facts.colours[0]
    return [
        (
            "<image 1> "
            + _pick(variant, 1, "What does this picture show?", "Can you tell me what this picture is about?"),
            _describe(1, facts, sentences, variant),
        ),
        (
            f"You mention {first} in image 1. "
            + _pick(variant, 2, "Where is it bright and where is it dark?", "How is the light spread over it?"),
            _light(1, facts),
        ),
        (
            f"And besides the light in the {facts.brightest}, what can you say about the details of image 1?",
            _texture(1, facts),
        ),
        (
            _pick(
                variant,
                3,
                "Does the text add anything to what we see in image 1?",
                "What else does the text say of image 1?",
            ),
            f"{_last_words(1, sentences)} That completes what we saw: image 1 is {facts.width} by {facts.height} "
            f"pixels, {facts.brightness} and {facts.texture}.",
        ),
    ]


def _compare(first: int, second: int, facts: list[ImageFacts]) -> tuple[str, str]:
    a, b = facts[first - 1], facts[second - 1]
    if a.brightness == b.brightness:
        light = f"Both are {a.brightness}."
    else:
        light = f"Image {first} is {a.brightness}, while image {second} is {b.brightness}."
    return (
        f"How does image {second} compare with image {first} that you described before?",
        f"Image {first} is mostly {a.colours[0]} and image {second} is mostly {b.colours[0]}. {light}",
    )


def _details(first: int, second: int, facts: list[ImageFacts]) -> tuple[str, str]:
    a, b = facts[first - 1], facts[second - 1]
    return (
        f"And if you look at the details of image {first} and image {second}?",
        f"Image {first} is {a.texture}, while image {second} is {b.texture}. The darkest part lies in the {a.darkest} "
        f"of image {first} and in the {b.darkest} of image {second}.",
    )


def _multi(facts: list[ImageFacts], sentences: list[list[str]], variant: int) -> list[tuple[str, str]]:
    count = len(facts)
    turns: list[tuple[str, str]] = []
    for number in range(1, count + 1):
        asked = (
            "Let us begin with this one, what does it show?" if number == 1 else "Now here is another one. What is it?"
        )
        turns.append(
            (f"<image {number}> {asked}", _describe(number, facts[number - 1], sentences[number - 1], variant))
        )
        if number == 1:
            turns.append(("How is the light spread over image 1?", _light(1, facts[0])))
        elif len(turns) < TURNS_MULTI - (count - number) - 1:
            turns.append(_compare(number - 1, number, facts))
    sizes = " and ".join(f"image {n} has {f.width} by {f.height} pixels" for n, f in enumerate(facts, start=1))
    extras = [
        _details(1, count, facts),
        (f"Which of them is larger, image 1 or image {count}?", f"Counted in pixels, {sizes}."),
        (f"You said how bright image {count} is. Where does its light fall?", _light(count, facts[-1])),
        (
            f"Does the text tell more about image {count}?",
            f"{_last_words(count, sentences[-1])} {_texture(count, facts[-1])}",
        ),
    ]
    turns += extras[: TURNS_MULTI - 1 - len(turns)]
    names = ", ".join(f"image {n} {_colours(f)}" for n, f in enumerate(facts, start=1))
    turns.append(
        (
            "Finally, what do all these pictures have in common, and what sets them apart?",
            f"They belong to one page, and their colours set them apart: {names}.",
        )
    )
    return turns
