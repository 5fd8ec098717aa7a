"""Exact search for the nearest of many 64-bit perceptual hashes, in bands over sorted arrays.

A hash is cut into parts with radii that sum to the distance less one for each further part, so that two hashes within
the distance are within the radius in at least one part. For each part all hashes are sorted by it, and a look-up reads
the runs of the keys within the radius, for many hashes at once: 52 runs at a distance of 6. This is for sets of up to
some hundred thousand hashes; `near_pairs.py` compares many with each other.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from itertools import chain, combinations

import numpy as np
from numpy.typing import NDArray

RECENT_HASHES = 4096  # compared one by one before they are sorted
_WIDTHS = (16, 16, 16, 16)  # bits of the parts
_PAIRS_AT_ONCE = 16_384  # compared in one step: more of them leave the processor's cache
_GROWTH = 16  # each sorted array has at least this many times the hashes of the next one

Hashes = NDArray[np.uint64]
Near = tuple[int, int]  # Hamming distance, hash


class HashIndex:
    """Growing set of hashes; the nearest one within a distance, ties to the smallest hash.

    Args:
        bits: maximum Hamming distance, 0 to `BITS_MAX`.
    """

    def __init__(self, bits: int) -> None:
        self._bits = bits
        self._recent = np.empty(RECENT_HASHES, np.uint64)
        self._num_recent = 0
        self._sorted: list[_SortedHashes] = []
        self._wanted = np.empty(0, np.uint64)  # of the last `prepare`
        self._prepared: dict[int, Near | None] = {}

    def add(self, value: int) -> None:
        """Add a hash that is not in the set."""
        self._recent[self._num_recent] = value
        self._num_recent += 1
        if self._num_recent == RECENT_HASHES:
            hashes = self._recent.copy()
            while self._sorted and _GROWTH * len(hashes) > len(self._sorted[-1]):
                hashes = np.concatenate([self._sorted.pop().hashes(), hashes])
            self._sorted.append(_SortedHashes(hashes, self._bits))
            self._num_recent = 0
            self.prepare(self._wanted)  # at once: one by one takes fifty times as long

    def prepare(self, values: Iterable[int]) -> None:
        """Look many hashes up at once, so that `find` is fast for them; changes no result."""
        self._wanted = np.unique(np.fromiter(values, np.uint64))
        self._prepared = {}
        if self._sorted:
            self._prepared = dict(zip(self._wanted.tolist(), self._find_sorted(self._wanted), strict=True))

    def find(self, value: int) -> Near | None:
        """The nearest hash within the distance, None if there is none."""
        near: list[Near | None] = []
        if self._sorted:
            if value not in self._prepared:
                self._prepared[value] = self._find_sorted(np.array([value], np.uint64))[0]
            near.append(self._prepared[value])
        recent = self._recent[: self._num_recent]
        distances = np.bitwise_count(recent ^ np.uint64(value))
        if len(recent) and (least := int(distances.min())) <= self._bits:
            near.append((least, int(recent[distances == least].min())))
        return min((one for one in near if one is not None), default=None)

    def _find_sorted(self, values: Hashes) -> list[Near | None]:
        """Of each value the nearest hash in the sorted arrays."""
        nearest: list[Near | None] = [None] * len(values)
        for hashes in self._sorted:
            for start in range(0, len(values), hashes.num_at_once):
                for place, near in hashes.find(values[start : start + hashes.num_at_once]):
                    found = nearest[start + place]
                    nearest[start + place] = near if found is None else min(found, near)
        return nearest


class _SortedHashes:
    """Hashes sorted by each of their parts."""

    def __init__(self, hashes: Hashes, bits: int) -> None:
        self._bits = bits
        free = bits - len(_WIDTHS) + 1  # what the radii sum to; a part of radius -1 need not be read
        radii = [(free + place) // len(_WIDTHS) for place in reversed(range(len(_WIDTHS)))]
        starts = [sum(_WIDTHS[:place]) for place in range(len(_WIDTHS))]
        parts = zip(starts, _WIDTHS, radii, strict=True)
        self._bands = [_Band(hashes, *part) for part in parts if part[-1] >= 0]
        self.num_at_once = max(16, _PAIRS_AT_ONCE // max(band.num_pairs for band in self._bands))

    def __len__(self) -> int:
        return len(self._bands[0].hashes)

    def hashes(self) -> Hashes:
        """All hashes."""
        return _rotate(self._bands[0].hashes, -self._bands[0].start)

    def find(self, values: Hashes) -> list[tuple[int, Near]]:
        """Place of each value that has a hash within the distance, and the nearest one."""
        found = [band.find(values, self._bits) for band in self._bands]
        places, distances, hashes = (np.concatenate(columns) for columns in zip(*found, strict=True))
        order = np.lexsort((hashes, distances, places))
        _, first = np.unique(places[order], return_index=True)
        best = order[first]
        near = zip(distances[best].tolist(), hashes[best].tolist(), strict=True)
        return list(zip(places[best].tolist(), near, strict=True))


class _Band:
    """Hashes rotated so that one of their parts is at the top, sorted; where the run of each key of the part starts."""

    def __init__(self, hashes: Hashes, start: int, width: int, radius: int) -> None:
        self.start, self._shift = start, np.uint64(64 - width)
        rotated = _rotate(hashes, start)
        rotated.sort()
        counts = np.bincount((rotated >> self._shift).astype(np.int64), minlength=1 << width)
        self._starts = np.concatenate([[0], np.cumsum(counts)]).astype(np.uint32)
        self._flips = np.array(_flips(width, radius), np.int64)
        self.num_pairs = len(self._flips) * (1 + len(hashes) // (1 << width))  # that a value is compared in, about
        self.hashes = rotated

    def find(self, values: Hashes, bits: int) -> tuple[NDArray[np.int64], NDArray[np.uint8], Hashes]:
        """Place of a value, distance and hash of each pair within the distance that this part shows."""
        rotated = _rotate(values, self.start)
        keys = ((rotated >> self._shift).astype(np.int64)[:, None] ^ self._flips).ravel()
        starts = self._starts[keys].astype(np.int64)
        sizes = self._starts[keys + 1] - starts
        ends = np.cumsum(sizes)
        offsets = np.arange(ends[-1])
        offsets += np.repeat(starts - (ends - sizes), sizes)
        hashes = self.hashes[offsets]
        distances = np.bitwise_count(hashes ^ np.repeat(rotated, sizes.reshape(len(values), -1).sum(1)))
        near = np.flatnonzero(distances <= bits)
        places = np.searchsorted(ends, near, side="right") // len(self._flips)
        return places, distances[near], _rotate(hashes[near], -self.start)


def _rotate(hashes: Hashes, left: int) -> Hashes:
    left %= 64
    return (hashes << np.uint64(left)) | (hashes >> np.uint64((64 - left) % 64))


@cache
def _flips(width: int, radius: int) -> tuple[int, ...]:
    """All patterns of at most `radius` bits of a part."""
    chosen = chain.from_iterable(combinations(range(width), count) for count in range(radius + 1))
    return tuple(sum(1 << bit for bit in bits) for bits in chosen)
