"""Dialogues with the lengths of the paper's Table 1, for the training benchmarks."""

from __future__ import annotations

import io

import numpy as np
from PIL import Image

from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce

WORDS = [
    "the",
    "image",
    "shows",
    "a",
    "red",
    "bicycle",
    "near",
    "an",
    "old",
    "stone",
    "bridge",
    "while",
    "people",
    "walk",
    "past",
    "bakery",
    "windows",
    "in",
    "morning",
    "light",
    "because",
    "previous",
    "turn",
    "mentioned",
    "contrast",
    "between",
    "first",
    "and",
    "second",
    "image",
    "therefore",
    "museum",
    "style",
    "of",
    "display",
]


def photo(rng: np.random.Generator, width: int, height: int) -> bytes:
    """A JPEG of smooth shapes with noise."""
    coarse = rng.integers(0, 255, (height // 16 + 1, width // 16 + 1, 3), dtype=np.uint8)
    smooth = np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC), dtype=np.int16)
    noisy = (smooth + rng.integers(-12, 12, smooth.shape)).clip(0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noisy).save(buffer, "JPEG", quality=88)
    return buffer.getvalue()


def make_dialogue(rng: np.random.Generator, number: int, num_words: int, multi: bool, side_px: int) -> Dialogue:
    """Four turns about one image or eight about three; answers are four times as long as questions.

    Args:
        rng: random generator.
        number: number of the dialogue.
        num_words: total number of words.
        multi: three images and eight turns.
        side_px: width of an image in pixels.
    """
    num_images, num_turns = (3, 8) if multi else (1, 4)
    images = tuple(DialogueImage(photo(rng, side_px, side_px * 3 // 4)) for _ in range(num_images))

    def say(count: int) -> str:
        return " ".join(rng.choice(WORDS, max(1, count)))

    a_turn = num_words // num_turns
    turns = tuple(
        Turn(introduce([turn] if turn <= num_images else [], say(a_turn // 5) + "?"), say(a_turn * 4 // 5) + ".")
        for turn in range(1, num_turns + 1)
    )
    return Dialogue(f"d{number:05d}", turns, images)


def table_1_mix(rng: np.random.Generator, count: int, scale: float, side_px: int) -> list[Dialogue]:
    """Two thirds single-image (0.9k..1.8k words, mean 1.4k), one third multi-image (1.6k..6k, mean 3.5k).

    Args:
        rng: random generator.
        count: number of dialogues.
        scale: factor of the lengths.
        side_px: width of an image in pixels.
    """
    dialogues = []
    for number in range(count):
        multi = number % 3 == 2
        low, high, mean, spread = (1600, 6000, 3500, 5) if multi else (900, 1800, 1400, 6)
        at = (mean - low) / (high - low)
        words = low + (high - low) * rng.beta(at * spread, (1 - at) * spread)
        dialogues.append(make_dialogue(rng, number, int(words * scale), multi, side_px))
    return dialogues
