"""Deduplication: images and dialogues found again by 64-bit perceptual hashes, exactly or as near-duplicates."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

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

    Ids are in a temporary file: the memory is about 32 bytes a distinct image, whatever the number of dialogues.
    """

    def __init__(self, bits: int = NEAR_DUPLICATE_BITS) -> None:
        self._images = _new_index(bits)
        self._dialogues = sqlite3.connect("", isolation_level=None)  # "": a temporary file
        self._dialogues.executescript(
            "PRAGMA journal_mode=OFF; PRAGMA cache_size=-65536;"
            "CREATE TABLE seen (images BLOB PRIMARY KEY, id TEXT) WITHOUT ROWID; BEGIN"
        )

    def prepare(self, phashes: Iterable[str]) -> None:
        """Look many hashes up at once, so that `find` and `add` are fast for them; changes no result."""
        self._images.prepare(int(phash, 16) for phash in phashes)

    def find(self, phashes: Sequence[str]) -> str | None:
        """The id of an earlier dialogue with these images, None if there is none, or if it has no image."""
        key = self._key(phashes)
        row = self._dialogues.execute("SELECT id FROM seen WHERE images = ?", (key,)).fetchone() if key else None
        return None if row is None else str(row[0])

    def add(self, phashes: Sequence[str], dialogue_id: str) -> None:
        """Add a dialogue; the first one with these images is kept."""
        for value in (int(phash, 16) for phash in phashes):
            if self._images.find(value) is None:
                self._images.add(value)
        self._dialogues.execute("INSERT OR IGNORE INTO seen VALUES (?, ?)", (self._key(phashes), dialogue_id))

    def _key(self, phashes: Sequence[str]) -> bytes | None:
        """The nearest hash in the index of each image, sorted; None if an image has none: no dialogue had it."""
        nearest = (self._images.find(int(phash, 16)) for phash in phashes)
        hashes = [near[1] for near in nearest if near is not None]
        return b"".join(value.to_bytes(8, "big") for value in sorted(hashes)) if len(hashes) == len(phashes) else None


def _new_index(bits: int) -> HashIndex:
    if not 0 <= bits <= BITS_MAX:
        raise ValueError(f"--bits {bits}: expected 0 (equal hashes) to {BITS_MAX}")
    return HashIndex(bits)
