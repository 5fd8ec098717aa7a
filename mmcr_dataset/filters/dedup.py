"""Deduplication: an index of 64-bit perceptual hashes for exact and near-duplicate lookup.

Multi-index hashing: a hash is cut into three parts with radii that sum to the distance minus two, so that two hashes
within the distance are within the radius in at least one part. At a distance of 6 a lookup reads 298 lists, which stay
short up to some ten million hashes.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import chain, combinations
from typing import Generic, TypeVar

from mmcr_dataset.record.images import NEAR_DUPLICATE_BITS, hash_distance

_WIDTHS = (22, 21, 21)  # bits of the parts
BITS_MAX = 7

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class ImageMatch(Generic[Name]):
    """A match in the index: name, hash, and Hamming distance."""

    name: Name
    phash: str
    num_bits: int


class ImageIndex(Generic[Name]):
    """Index of named perceptual hashes; about 0.5 kB of memory an image.

    Args:
        bits: maximum Hamming distance of near-duplicates, 0 to `BITS_MAX`.

    Raises:
        ValueError: `bits` is out of range.
    """

    def __init__(self, bits: int = NEAR_DUPLICATE_BITS) -> None:
        if not 0 <= bits <= BITS_MAX:
            raise ValueError(f"--bits {bits}: expected 0 (equal hashes) to {BITS_MAX}")
        self._bits = bits
        self._name_of: dict[int, Name] = {}
        self._parts: list[dict[int, list[int]]] = [defaultdict(list) for _ in _WIDTHS]
        radii = [(bits - 2 + place) // len(_WIDTHS) for place in (2, 1, 0)]  # -1: the other parts are enough
        self._flips = [_flips(width, radius) for width, radius in zip(_WIDTHS, radii, strict=True)]

    def __len__(self) -> int:
        return len(self._name_of)

    def phashes(self) -> list[str]:
        """The distinct hashes."""
        return [f"{value:016x}" for value in self._name_of]

    def add(self, phash: str, name: Name) -> None:
        """Add an image; the first name of a hash is kept."""
        value = int(phash, 16)
        if value not in self._name_of:
            self._name_of[value] = name
            for part, key in zip(self._parts, _cut(value), strict=True):
                part[key].append(value)

    def find(self, phash: str) -> ImageMatch[Name] | None:
        """The nearest image within the distance (ties: the smallest hash), None if there is none."""
        value = int(phash, 16)
        near = set(self._near(value))
        if not near:
            return None
        best = min(near, key=lambda other: ((other ^ value).bit_count(), other))
        found = f"{best:016x}"
        return ImageMatch(self._name_of[best], found, hash_distance(found, phash))

    def _near(self, value: int) -> Iterator[int]:
        if value in self._name_of:
            yield value
            return
        for part, key, flips in zip(self._parts, _cut(value), self._flips, strict=True):
            for flip in flips:
                for other in part.get(key ^ flip, ()):
                    if (other ^ value).bit_count() <= self._bits:
                        yield other


class RepeatIndex:
    """Index of dialogues by their images, for near-duplicates in any order."""

    def __init__(self, bits: int = NEAR_DUPLICATE_BITS) -> None:
        self._images: ImageIndex[str] = ImageIndex(bits)
        self._dialogue_of: dict[tuple[str, ...], str] = {}

    def find(self, phashes: Sequence[str]) -> str | None:
        """The id of an earlier dialogue with these images, None if there is none."""
        return self._dialogue_of.get(self._key(phashes))

    def add(self, phashes: Sequence[str], dialogue_id: str) -> None:
        """Add a dialogue; the first one with these images is kept."""
        for phash in phashes:
            if self._images.find(phash) is None:
                self._images.add(phash, phash)
        self._dialogue_of.setdefault(self._key(phashes), dialogue_id)

    def _key(self, phashes: Sequence[str]) -> tuple[str, ...]:
        """Sorted hashes, each replaced by the first near-duplicate in the index."""
        first = ((self._images.find(phash), phash) for phash in phashes)
        return tuple(sorted(seen.name if seen is not None else phash for seen, phash in first))


def _cut(value: int) -> Iterable[int]:
    return (value & 0x3FFFFF, value >> 22 & 0x1FFFFF, value >> 43)


@cache
def _flips(width: int, radius: int) -> tuple[int, ...]:
    """All patterns of at most `radius` bits of a part; none for -1."""
    chosen = chain.from_iterable(combinations(range(width), count) for count in range(radius + 1))
    return tuple(sum(1 << bit for bit in bits) for bits in chosen)
