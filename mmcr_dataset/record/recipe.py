"""The limits of a recipe on its dialogues; the record itself takes any number of turns and images."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

RecipeName = Literal["mmcr", "mmdu"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """Limits of a recipe.

    Attributes:
        images_min: images of a dialogue at least.
        images_max: images at most.
        turns_min: turns at least.
        turns_max: turns at most.
        words_max: words of a whole dialogue at most.
        answer_words_max: words of an answer at most.
    """

    images_min: int
    images_max: int
    turns_min: int
    turns_max: int
    words_max: int
    answer_words_max: int


# arXiv 2406.11833: 2 to 20 images, up to 27 turns, at most 18k tokens of text and images.
MMDU = Recipe(images_min=2, images_max=20, turns_min=3, turns_max=27, words_max=12_000, answer_words_max=900)
