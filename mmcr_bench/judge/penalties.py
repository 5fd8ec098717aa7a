"""What the rubric's penalties are due for, measured: length and repetition. Kept beside the judge's scores. Pure."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from mmcr_bench.judge.rubric import LENGTH_TOLERANCE

_WORDS_MIN = 5  # shorter sentences ("Yes, it does.") repeat without being repetition


@dataclass(frozen=True, slots=True)
class Penalties:
    """Measured on one dialogue.

    Attributes:
        length_ratio: words of all replies over words of all references.
        length_due: the ratio is off by more than the tolerance, which costs one point of precision.
        num_repeats: sentences of five words or more that were said before, each of which costs one of redundancy.
    """

    length_ratio: float
    length_due: bool
    num_repeats: int


def measure_penalties(references: Sequence[str], replies: Sequence[str]) -> Penalties:
    """The penalties that are due by the rubric's wording."""
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
