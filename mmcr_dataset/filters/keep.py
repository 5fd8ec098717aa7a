"""Which of the dialogues that pass the rules are kept, by similarity: thresholds, shares and numbers of each kind.

A kind is `single` (one image) or `multi` (several). The worst image of a dialogue counts, so that one rate over both
kinds would keep far fewer of several images; every rate, threshold and number is of a kind.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

log = logging.getLogger(__name__)

KINDS = ("single", "multi")


class Limit(NamedTuple):
    """How many dialogues to keep of those with these numbers of images, and what they are called."""

    most: int
    num_images: tuple[int, ...]
    label: str


def kind_of(num_images: int) -> str:
    """`single` or `multi`."""
    return "single" if num_images == 1 else "multi"


def read_by_kind(text: str | float | None, flag: str) -> dict[str, float]:
    """Numbers by kind: `0.2` is for both, `single=0.25,multi=0.2` for each; empty for None.

    Args:
        text: value of the flag.
        flag: its name, for messages.

    Raises:
        ValueError: it has another form.
    """
    if text is None:
        return {}
    words = str(text)
    if "=" not in words:
        return dict.fromkeys(KINDS, _read_number(words, f"{flag} {text}"))
    found = _read_pairs(words, flag)
    if unknown := [kind for kind in found if kind not in KINDS]:
        raise ValueError(f"{flag} {text}: unknown kind {unknown[0]!r}; expected X, or single=X,multi=Y")
    return found


def _read_pairs(text: str, flag: str) -> dict[str, float]:
    found: dict[str, float] = {}
    for part in text.split(","):
        name, equals, number = part.strip().partition("=")
        if not equals or not name or name in found:
            raise ValueError(f"{flag} {text}: {part!r} is not NAME=NUMBER, or names a thing twice")
        found[name] = _read_number(number, f"{flag} {text}")
    return found


def _read_number(text: str, place: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not math.isfinite(value):
        raise ValueError(f"{place}: {text!r} is not a number")
    return value


@dataclass(frozen=True)
class Keep:
    """What is kept by similarity.

    Attributes:
        least: kind -> lowest similarity.
        rates: kind -> share (0..1) to keep, instead of a threshold.
        numbers: kind -> how many to keep, the best ones.
        image_shares: number of images -> share (0..1) of the dialogues with several images; sum 1.
    """

    least: Mapping[str, float] = field(default_factory=dict)
    rates: Mapping[str, float] = field(default_factory=dict)
    numbers: Mapping[str, int] = field(default_factory=dict)
    image_shares: Mapping[int, float] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.least or self.rates or self.numbers or self.image_shares)

    @classmethod
    def read(
        cls, least: str | float | None, rates: str | float | None, numbers: str | None, image_shares: str | None
    ) -> Keep:
        """From the values of `--similarity_min`, `--keep_rate`, `--keep` and `--image_shares`.

        Raises:
            ValueError: a value has another form, or two of them contradict each other.
        """
        least_of, rate_of = read_by_kind(least, "--similarity_min"), read_by_kind(rates, "--keep_rate")
        if both := least_of.keys() & rate_of.keys():
            raise ValueError(
                f"--similarity_min and --keep_rate are mutually exclusive: give one of them for {', '.join(both)}"
            )
        for kind, rate in rate_of.items():
            if not 0 < rate <= 1:
                raise ValueError(f"--keep_rate {rate:g} ({kind}): expected a share above 0 and at most 1")
        number_of = read_by_kind(numbers, "--keep") if numbers is None or "=" in numbers else None
        if number_of is None or any(number < 0 or number != int(number) for number in number_of.values()):
            raise ValueError(f"--keep {numbers}: expected numbers of dialogues, such as single=210000,multi=100000")
        return cls(least_of, rate_of, {kind: int(number) for kind, number in number_of.items()}, _shares(image_shares))

    def thresholds(self, worst: Mapping[str, Sequence[float]]) -> dict[str, float | None]:
        """The lowest similarity of each kind, None without one. Args: worst: kind -> similarities of all dialogues."""
        import numpy as np

        found: dict[str, float | None] = {kind: self.least.get(kind) for kind in KINDS}
        for kind, rate in self.rates.items():
            if worst.get(kind):
                found[kind] = float(np.quantile(worst[kind], 1 - rate))
        return found

    def limits(self, counts: Mapping[int, int]) -> list[Limit]:
        """How many to keep of which dialogues; says what is short.

        Args:
            counts: number of images -> how many dialogues pass all rules and thresholds.
        """
        several = tuple(sorted(number for number in counts if number != 1))
        found: list[Limit] = []
        for kind, of_kind in (("single", (1,)), ("multi", several)):
            wanted, num_passed = self.numbers.get(kind), sum(counts.get(number, 0) for number in of_kind)
            if kind == "multi" and self.image_shares:
                found += self._limits_of_shares(wanted, {number: counts[number] for number in several})
            elif wanted is not None:
                if wanted > num_passed:
                    log.warning("--keep %s=%d: only %d dialogues pass the filters", kind, wanted, num_passed)
                found.append(Limit(wanted, of_kind, kind))
        return found

    def _limits_of_shares(self, wanted: int | None, counts: Mapping[int, int]) -> Iterator[Limit]:
        if wanted is None:  # as many as all shares allow
            wanted = int(min(counts.get(number, 0) / share for number, share in self.image_shares.items() if share))
        for number in sorted(counts.keys() | self.image_shares.keys()):
            most, num_passed = round(wanted * self.image_shares.get(number, 0.0)), counts.get(number, 0)
            if most > num_passed:
                log.warning("%d images: %d dialogues wanted, only %d pass the filters", number, most, num_passed)
            yield Limit(most, (number,), f"{number} images")


def _shares(text: str | None) -> dict[int, float]:
    """Number of images -> share, from `2=61.5,3=27.6,4=10.9`.

    Raises:
        ValueError: it has another form.
    """
    if text is None:
        return {}
    found = _read_pairs(text, "--image_shares")
    if any(not name.isdecimal() or int(name) < 2 or share < 0 for name, share in found.items()) or not sum(
        found.values()
    ):
        raise ValueError(f"--image_shares {text}: expected shares by number of images, such as 2=61.5,3=27.6,4=10.9")
    return {int(name): share / sum(found.values()) for name, share in found.items()}
