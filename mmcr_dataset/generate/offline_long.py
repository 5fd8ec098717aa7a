"""Writer `offline` for `--recipe mmdu`: long template dialogues from the entries' texts and measured image facts.

Follows the plan of `long_dialogue.plan_parts`; deterministic, and for the demo and tests only. Every row names it.
"""

from __future__ import annotations

import hashlib
import re

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.generate.image_facts import ImageFacts, measure_facts
from mmcr_dataset.generate.long_dialogue import Part, Rounds, plan_parts, show_rounds
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.plain_text import cut_text

LONG_VERSION = "offline-long-1"
_SENTENCE_CHARACTERS = 240


def write_offline_long(candidate: Candidate) -> str:
    """The reply text for a cluster: the rounds of all parts."""
    facts = [measure_facts(decode_rgb(image.data)) for image in candidate.images]
    told = [_sentences(candidate.text_near(number)) for number in range(1, len(facts) + 1)]
    variant = int(hashlib.sha256(candidate.id.encode("utf-8", "replace")).hexdigest(), 16)
    rounds: Rounds = []
    for part in plan_parts(len(facts)):
        rounds += _introductions(part, facts, told, variant) if part.images else _conclusions(facts, variant)
    return "\n".join(show_rounds(rounds, 1))


def _sentences(text: str) -> list[str]:
    lines = "\n".join(line for line in text.splitlines() if not line.startswith("Categories:"))
    pieces = (" ".join(piece.split()) for piece in re.split(r"(?<=[.!?])\s+|\n+", lines))
    shown = [
        cut_text(piece, _SENTENCE_CHARACTERS).rstrip(" .!?").replace('"', "'") for piece in pieces if len(piece) > 3
    ]
    return list(dict.fromkeys(shown))


def _pick(variant: int, place: int, *choices: str) -> str:
    return choices[(variant >> (3 * place)) % len(choices)]


def _introductions(part: Part, facts: list[ImageFacts], told: list[list[str]], variant: int) -> Rounds:
    """A round for each image of a part, and one that compares the first with the last of them."""
    rounds: Rounds = []
    for number in part.images:
        fact, words = facts[number - 1], told[number - 1]
        asked = _pick(variant, number, "What do we see here?", "What is this one about?", "Can you describe this one?")
        if number > 1:
            asked += f" And how does it go with image {number - 1}?"
        said = f'The page of image {number} says: "{words[0]}".' if words else f"Image {number} comes without a text."
        said += f" Image {number} is {fact.shape}, mostly {fact.colours[0]} with some {fact.colours[1]}."
        said += "".join(f' It also tells "{more}".' for more in words[1:2])
        rounds.append((f"<image {number}> {asked}", said + (_beside(number - 1, number, facts) if number > 1 else "")))
    first, last = part.images[0], part.images[-1]
    rounds.append(_compare(first, last, facts) if last > first else _details(first, facts))
    return rounds


def _beside(one: int, other: int, facts: list[ImageFacts]) -> str:
    a, b = facts[one - 1], facts[other - 1]
    light = f"both are {a.brightness}" if a.brightness == b.brightness else f"one is {a.brightness}, one {b.brightness}"
    return f"\n\nBeside image {one}, {light}; image {one} is {a.texture} and image {other} {b.texture}."


def _compare(one: int, other: int, facts: list[ImageFacts]) -> tuple[str, str]:
    a, b = facts[one - 1], facts[other - 1]
    return (
        f"You have described them one by one. Where does the light fall in image {one}, and where in image {other}?",
        f"In image {one} the {a.brightest} is brightest and the {a.darkest} darkest. In image {other} it is the "
        f"{b.brightest} against the {b.darkest}, so the two guide the eye "
        f"{'alike' if a.brightest == b.brightest else 'differently'}.",
    )


def _details(number: int, facts: list[ImageFacts]) -> tuple[str, str]:
    fact = facts[number - 1]
    return (
        f"What else can be made out in image {number}?",
        f"Image {number} has {fact.width} by {fact.height} pixels. Its {fact.brightest} is brightest, its "
        f"{fact.darkest} darkest, and the surface is {fact.texture}.",
    )


def _conclusions(facts: list[ImageFacts], variant: int) -> Rounds:
    colours = ", ".join(f"image {number} {fact.colours[0]}" for number, fact in enumerate(facts, start=1))
    kinds = ", ".join(f"image {number} {fact.texture}" for number, fact in enumerate(facts, start=1))
    asked = _pick(variant, 0, "Which colour stands for each of them?", "If each had one colour, which would it be?")
    return [
        (asked, f"By the colour that covers most of it: {colours}."),
        (
            "Then what do they have in common, over our whole talk, and what sets them apart?",
            "Their pages tell of one topic, which is why they are shown together. How fine they are drawn sets them "
            f"apart: {kinds}.",
        ),
    ]
