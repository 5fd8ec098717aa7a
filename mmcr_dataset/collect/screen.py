"""What a document must be before its images are fetched: English, and within the source's own probabilities."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated

from tyro.conf import arg

from mmcr_dataset.collect.document import Document, why_no_candidate
from mmcr_dataset.collect.language import CHARACTERS_READ, why_not_english
from mmcr_dataset.stage.stages import Removed

# Names of what sources measure (0..1), as the flags have them. A document has its worst image's value.
TO_AVOID = ("advertisement", "politics", "porn", "toxic", "unsafe")
TO_WANT = ("fluency", "aesthetic")


def read_limits(flag: str, text: str) -> dict[str, float]:
    """Limits by name from a flag's text.

    Example: `"unsafe=0.5,toxic=0.2"` -> `{"unsafe": 0.5, "toxic": 0.2}`

    Raises:
        ValueError: a piece is not NAME=NUMBER.
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
    """Documents, by the probabilities that their source tells (OmniCorpus does).

    Args:
        max_probability: leave out documents rated higher, as NAME=X,...: advertisement, politics, porn, toxic, unsafe.
    """
    return read_limits("--max_probability", max_probability)


def _min_probability(min_probability: str = "") -> dict[str, float]:
    """Documents, by the probabilities that their source tells.

    Args:
        min_probability: or rated lower, as NAME=X,...: fluency, aesthetic.
    """
    return read_limits("--min_probability", min_probability)


@dataclass(frozen=True, slots=True)
class Screen:
    """What is let through.

    Attributes:
        max_probability: highest values of what is to be avoided, by name (`TO_AVOID`).
        min_probability: least values of what is wanted, by name (`TO_WANT`).
        any_language: take every language instead of English only.
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
        """Refuse limits on what a source does not measure.

        Raises:
            ValueError: a limit would never act.
        """
        for name in (*self.max_probability, *self.min_probability):
            if name not in measured:
                has = f"it has {', '.join(sorted(measured))}" if measured else "it has no probabilities"
                raise ValueError(f"--source {spec}: does not say how {name} a document is, {has}; take the limit out")

    def why_not(self, document: Document) -> Removed | None:
        """Why a document is not let through, None if it is; a value that a row leaves null stops nobody."""
        unfit = why_no_candidate(document)
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
            detail = why_not_english(text[:CHARACTERS_READ])
            if detail is not None:
                return Removed(document.id, "not_english", detail)
        return None
