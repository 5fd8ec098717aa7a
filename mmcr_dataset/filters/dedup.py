"""Images that were seen before, exactly or nearly: an index of 64-bit perceptual hashes.

Two hashes that differ in at most `BITS_MAX` bits agree in at least one of four 16-bit parts up to a single bit, so a
lookup reads 68 short lists instead of all hashes, and misses nothing.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mmcr_dataset.record.images import NEAR_DUPLICATE_BITS, hash_distance

_PART_BITS, _NUM_PARTS = 16, 4
BITS_MAX = 2 * _NUM_PARTS - 1  # with one bit more, each part could differ in two

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class Seen(Generic[Name]):
    """An image of the index: what it was called there, its hash, and in how many bits it differs."""

    name: Name
    phash: str
    num_bits: int


class ImageIndex(Generic[Name]):
    """Perceptual hashes with a name each; about 0.5 kB of memory an image.

    Args:
        bits: hashes that differ in at most so many bits are one image, 0 to `BITS_MAX`.

    Raises:
        ValueError: `bits` is out of range.
    """

    def __init__(self, bits: int = NEAR_DUPLICATE_BITS) -> None:
        if not 0 <= bits <= BITS_MAX:
            raise ValueError(f"--bits {bits}: expected 0 (the same hash) to {BITS_MAX}")
        self._bits = bits
        self._name_of: dict[int, Name] = {}
        self._parts: list[dict[int, list[int]]] = [defaultdict(list) for _ in range(_NUM_PARTS)]

    def __len__(self) -> int:
        return len(self._name_of)

    def phashes(self) -> list[str]:
        """The hashes it holds, each once."""
        return [f"{value:016x}" for value in self._name_of]

    def add(self, phash: str, name: Name) -> None:
        """Remember an image; of several with one hash the first keeps its name."""
        value = int(phash, 16)
        if value not in self._name_of:
            self._name_of[value] = name
            for part, key in zip(self._parts, _cut(value), strict=True):
                part[key].append(value)

    def find(self, phash: str) -> Seen[Name] | None:
        """The nearest image within reach (of several the one with the smallest hash), None if there is none."""
        value = int(phash, 16)
        near = set(self._near(value))
        if not near:
            return None
        best = min(near, key=lambda other: ((other ^ value).bit_count(), other))
        found = f"{best:016x}"
        return Seen(self._name_of[best], found, hash_distance(found, phash))

    def _near(self, value: int) -> Iterator[int]:
        if value in self._name_of:
            yield value
            return
        for part, key in zip(self._parts, _cut(value), strict=True):
            for neighbour in (key, *(key ^ (1 << bit) for bit in range(_PART_BITS))):
                for other in part.get(neighbour, ()):
                    if (other ^ value).bit_count() <= self._bits:
                        yield other


class RepeatIndex:
    """Which dialogues show the same images, exactly or nearly and in any order."""

    def __init__(self, bits: int = NEAR_DUPLICATE_BITS) -> None:
        self._images: ImageIndex[str] = ImageIndex(bits)
        self._dialogue_of: dict[tuple[str, ...], str] = {}

    def find(self, phashes: Sequence[str]) -> str | None:
        """The id of an earlier dialogue with these images, None if there is none."""
        return self._dialogue_of.get(self._key(phashes))

    def add(self, phashes: Sequence[str], dialogue_id: str) -> None:
        """Remember a dialogue; the first one with its images stays."""
        for phash in phashes:
            if self._images.find(phash) is None:
                self._images.add(phash, phash)
        self._dialogue_of.setdefault(self._key(phashes), dialogue_id)

    def _key(self, phashes: Sequence[str]) -> tuple[str, ...]:
        """Each image by the first one like it that was seen."""
        first = ((self._images.find(phash), phash) for phash in phashes)
        return tuple(sorted(seen.name if seen is not None else phash for seen, phash in first))


def _cut(value: int) -> Iterable[int]:
    return [(value >> shift) & (1 << _PART_BITS) - 1 for shift in range(0, 64, _PART_BITS)]
