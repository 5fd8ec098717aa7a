"""Numbers of 64-bit keys in the order in which they were added, in sorted arrays: a key costs the same in any number.

A key takes 16 bytes; large arrays are in temporary files.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from mmcr_dataset.filters.near_hashes import to_file

RECENT_KEYS = 65_536  # in a dictionary before they are sorted
_GROWTH = 16  # each sorted array has at least this many times the keys of the next one


class KeyNumbers:
    """Growing map of keys to numbers 0, 1, 2, ..."""

    def __init__(self) -> None:
        self._num_keys = 0
        self._recent: dict[int, int] = {}
        self._sorted: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []

    def add(self, key: int) -> int:
        """Add a key that is not in the map; its number is how many were before it."""
        number = self._recent[key] = self._num_keys
        self._num_keys += 1
        if len(self._recent) == RECENT_KEYS:
            self._sort()
        return number

    def find(self, key: int) -> int | None:
        """The number of a key, None if it was not added."""
        if key in self._recent:
            return self._recent[key]
        for keys, numbers in self._sorted:
            place = int(np.searchsorted(keys, np.uint64(key)))
            if place < len(keys) and keys[place] == key:
                return int(numbers[place])
        return None

    def _sort(self) -> None:
        keys = np.fromiter(self._recent, np.uint64, len(self._recent))
        numbers = np.fromiter(self._recent.values(), np.int64, len(self._recent))
        self._recent = {}
        while self._sorted and _GROWTH * len(keys) > len(self._sorted[-1][0]):
            earlier = self._sorted.pop()
            keys, numbers = np.concatenate([earlier[0], keys]), np.concatenate([earlier[1], numbers])
        order = np.argsort(keys)
        self._sorted.append((to_file(keys[order]), to_file(numbers[order])))
