"""Deterministic measurement of what the rubric penalizes: length and repetition. Stored beside the judge's scores."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmcr_bench.judge.rubric import LENGTH_TOLERANCE

_WORDS_MIN = 5  # shorter sentences ("Yes, it does.") may recur without counting as repetition


@dataclass(frozen=True, slots=True)
class Penalties:
    """Measurements of one dialogue.

    Attributes:
        length_ratio: words of all replies / words of all references.
        length_due: the ratio deviates from 1 by more than the tolerance: one point off precision.
        num_repeats: repeated sentences of five words or more: one point off redundancy each.
    """

    length_ratio: float
    length_due: bool
    num_repeats: int


def measure_penalties(references: Sequence[str], replies: Sequence[str]) -> Penalties:
    """The penalties that the rubric requires for these replies."""
    ratio = sum(map(_count_words, replies)) / max(1, sum(map(_count_words, references)))
    seen: set[str] = set()
    num_repeats = 0
    for reply in replies:
        for sentence in re.split(r"(?<=[.!?])\s+", reply.lower()):
            words = " ".join(re.findall(r"\w+", sentence))
            if words.count(" ") + 1 >= _WORDS_MIN:
                num_repeats += words in seen
                seen.add(words)
    return Penalties(ratio, abs(ratio - 1) > LENGTH_TOLERANCE, num_repeats)


def _count_words(text: str) -> int:
    return len(re.findall(r"\w+", text))
