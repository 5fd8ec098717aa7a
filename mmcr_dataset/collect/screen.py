"""Filters on documents before their images are fetched: language, and thresholds on the source's classifier scores."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import arg

from mmcr_dataset.collect.document import Document, reason_no_candidate
from mmcr_dataset.collect.language import CHARACTERS_READ, reason_not_english
from mmcr_dataset.stage.stages import Removed

# Names of classifier scores (0..1) in the flags. For scores of images, the worst image's score counts.
TO_AVOID = ("advertisement", "politics", "porn", "toxic", "unsafe")
TO_WANT = ("fluency", "aesthetic")


def read_limits(flag: str, text: str) -> dict[str, float]:
    """Parse a flag's thresholds.

    Example: `"unsafe=0.5,toxic=0.2"` -> `{"unsafe": 0.5, "toxic": 0.2}`

    Raises:
        ValueError: an item is not NAME=NUMBER.
    """
    limits: dict[str, float] = {}
    for piece in filter(None, text.split(",")):
        name, _, value = piece.partition("=")
        try:
            limits[name.strip()] = float(value)
        except ValueError as error:
            raise ValueError(f"{flag} {piece}: expected NAME=NUMBER, such as unsafe=0.5") from error
    return limits


def _max_probability(max_probability: str = "") -> dict[str, float]:
    """Upper thresholds on the classifier scores of the source (OmniCorpus has them).

    Args:
        max_probability: remove documents with a higher score, as NAME=X,...: advertisement, politics, porn, toxic,
            unsafe.

    Returns:
        Threshold by name.
    """
    return read_limits("--max_probability", max_probability)


def _min_probability(min_probability: str = "") -> dict[str, float]:
    """Lower thresholds on the classifier scores of the source.

    Args:
        min_probability: remove documents with a lower score, as NAME=X,...: fluency, aesthetic.

    Returns:
        Threshold by name.
    """
    return read_limits("--min_probability", min_probability)


@dataclass(frozen=True, slots=True)
class Screen:
    """Filters on documents.

    Attributes:
        max_probability: upper threshold of each score, by name (`TO_AVOID`).
        min_probability: lower threshold of each score, by name (`TO_WANT`).
        any_language: accept every language instead of English only.
    """

    max_probability: Annotated[Mapping[str, float], arg(constructor=_max_probability)] = field(default_factory=dict)
    min_probability: Annotated[Mapping[str, float], arg(constructor=_min_probability)] = field(default_factory=dict)
    any_language: bool = False

    def __post_init__(self) -> None:
        for flag, limits, known in (
            ("--max_probability", self.max_probability, TO_AVOID),
            ("--min_probability", self.min_probability, TO_WANT),
        ):
            for name, value in limits.items():
                if name not in known:
                    raise ValueError(f"{flag} {name}={value:g}: expected one of {', '.join(known)}")
                if not 0 <= value <= 1:
                    raise ValueError(f"{flag} {name}={value:g}: expected a probability from 0 to 1")

    def check_source(self, spec: str, measured: frozenset[str]) -> None:
        """Check that the source has a score for each threshold.

        Args:
            spec: value of `--source`, for the message.
            measured: names of the source's scores.

        Raises:
            ValueError: a threshold's score is missing.
        """
        for name in (*self.max_probability, *self.min_probability):
            if name not in measured:
                has = f"it has {', '.join(sorted(measured))}" if measured else "it has no scores"
                raise ValueError(f"--source {spec}: has no score {name}, {has}; remove the threshold")

    def reason_to_skip(self, document: Document) -> Removed | None:
        """Why a document is filtered out, None if it passes; a missing score passes."""
        unfit = reason_no_candidate(document)
        if unfit is not None:
            return unfit
        for name, limit in self.max_probability.items():
            value = document.probabilities.get(name)
            if value is not None and value > limit:
                return Removed(document.id, name, f"probability {value:.3f}, at most {limit:g} is taken")
        for name, limit in self.min_probability.items():
            value = document.probabilities.get(name)
            if value is not None and value < limit:
                return Removed(document.id, f"low_{name}", f"probability {value:.3f}, at least {limit:g} is taken")
        if not self.any_language:
            text = "\n".join(block for block in document.blocks if isinstance(block, str))
            detail = reason_not_english(text[:CHARACTERS_READ])
            if detail is not None:
                return Removed(document.id, "not_english", detail)
        return None
