"""Deduplication: images and dialogues found again by 64-bit perceptual hashes, exactly or as near-duplicates."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from mmcr_dataset.filters.key_numbers import KeyNumbers
from mmcr_dataset.filters.near_hashes import BITS_MAX, HashIndex
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
        self._hashes = _new_index(bits)
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


class RepeatIndex:
    """Index of dialogues by their images, for near-duplicates in any order.

    Ids are in a temporary file: the memory is about 50 bytes a distinct image, whatever the number of dialogues.
    """

    def __init__(self, bits: int = NEAR_DUPLICATE_BITS) -> None:
        self._images = _new_index(bits)
        self._numbers = KeyNumbers()
        self._dialogues = sqlite3.connect("", isolation_level=None)  # "": a temporary file
        self._dialogues.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA cache_size=-65536;"
            "CREATE TABLE seen (number INTEGER PRIMARY KEY, images BLOB, id TEXT); BEGIN"
        )

    def prepare(self, phashes: Iterable[str]) -> None:
        """Look many hashes up at once, so that `find` and `add` are fast for them; changes no result."""
        self._images.prepare(int(phash, 16) for phash in phashes)

    def find(self, phashes: Sequence[str]) -> str | None:
        """The id of an earlier dialogue with these images, None if there is none, or if it has no image."""
        images = self._nearest(phashes)
        return self._find(images) if images else None

    def add(self, phashes: Sequence[str], dialogue_id: str) -> None:
        """Add a dialogue; the first one with these images is kept."""
        has_new_image = False
        for value in (int(phash, 16) for phash in phashes):
            if self._images.find(value) is None:
                self._images.add(value)
                has_new_image = True
        images = self._nearest(phashes)
        assert images is not None, "all its images are in the index"
        if has_new_image or self._find(images) is None:
            number = self._numbers.add(_to_key(images))
            self._dialogues.execute("INSERT INTO seen VALUES (?, ?, ?)", (number, images, dialogue_id))

    def _nearest(self, phashes: Sequence[str]) -> bytes | None:
        """The nearest hash in the index of each image, sorted; None if an image has none: no dialogue had it."""
        nearest = (self._images.find(int(phash, 16)) for phash in phashes)
        hashes = [near[1] for near in nearest if near is not None]
        return b"".join(value.to_bytes(8, "big") for value in sorted(hashes)) if len(hashes) == len(phashes) else None

    def _find(self, images: bytes) -> str | None:
        number = self._numbers.find(_to_key(images))
        if number is None:
            return None
        row = self._dialogues.execute("SELECT images, id FROM seen WHERE number = ?", (number,)).fetchone()
        return str(row[1]) if row[0] == images else None  # another dialogue of the same digest


def _to_key(images: bytes) -> int:
    """64 bits of the hashes of a dialogue's images: that of one image, a digest of several."""
    return int.from_bytes(images if len(images) == 8 else hashlib.blake2b(images, digest_size=8).digest(), "big")


def _new_index(bits: int) -> HashIndex:
    if not 0 <= bits <= BITS_MAX:
        raise ValueError(f"--bits {bits}: expected 0 (equal hashes) to {BITS_MAX}")
    return HashIndex(bits)
