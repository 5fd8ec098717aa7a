"""Images of an evaluation set or a bench, found again by 64-bit perceptual hashes, exactly or as near-duplicates."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Generic, TypeVar

from mmcr_dataset.filters.near_hashes import HashIndex
from mmcr_dataset.filters.near_pairs import check_bits
from mmcr_dataset.record.images import NEAR_DUPLICATE_BITS

Name = TypeVar("Name")


@dataclass(frozen=True, slots=True)
class ImageMatch(Generic[Name]):
    """A match in the index: name, hash, and Hamming distance."""

    name: Name
    phash: str
    num_bits: int


class ImageIndex(Generic[Name]):
    """Index of named perceptual hashes.

    Args:
        bits: maximum Hamming distance of near-duplicates, 0 to `BITS_MAX`.

    Raises:
        ValueError: `bits` is out of range.
    """

    def __init__(self, bits: int = NEAR_DUPLICATE_BITS) -> None:
        self._hashes = HashIndex(check_bits(bits))
        self._name_of: dict[int, Name] = {}

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
            self._hashes.add(value)

    def prepare(self, phashes: Iterable[str]) -> None:
        """Look many hashes up at once, so that `find` is fast for them; changes no result."""
        self._hashes.prepare(int(phash, 16) for phash in phashes)

    def find(self, phash: str) -> ImageMatch[Name] | None:
        """The nearest image within the distance (ties: the smallest hash), None if there is none."""
        near = self._hashes.find(int(phash, 16))
        return None if near is None else ImageMatch(self._name_of[near[1]], f"{near[1]:016x}", near[0])
