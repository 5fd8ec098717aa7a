"""All pairs of 64-bit perceptual hashes within a Hamming distance, by sorting: a hash costs the same in any number.

The bits are cut into three parts more than the distance, so that two hashes within it are equal in three parts at
least. There is a table for each choice of three parts: all hashes, sorted by these parts first, where only neighbours
with equal parts are compared. A pair is found only in the table of the first three parts in which it is equal.

Tables are independent of each other, so that ranks can share them. A table takes 8 bytes a hash while it is searched.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import combinations, pairwise
from math import comb

import numpy as np
from numpy.typing import NDArray

BITS_MAX = 7
PAIRS_A_HASH = 16  # at most this many of the pairs of a hash with earlier ones are kept, the earliest ones
_EQUAL_PARTS = 3
_AT_ONCE = 1 << 16  # hashes that are compared at once: their arrays stay in the processor's cache
_NEAR_AT_ONCE = 1 << 18
_PAIRS_IN_MEMORY = 1 << 22

Hashes = NDArray[np.uint64]
Pairs = NDArray[np.uint64]  # place of the later hash << 32 | place of the earlier one
Part = tuple[int, int]  # its lowest bit, its number of bits


def check_bits(bits: int) -> int:
    """The distance.

    Raises:
        ValueError: it is out of range.
    """
    if not 0 <= bits <= BITS_MAX:
        raise ValueError(f"--bits {bits}: expected 0 (equal hashes) to {BITS_MAX}")
    return bits


def num_tables(bits: int) -> int:
    """Number of tables for a distance."""
    return comb(bits + _EQUAL_PARTS, _EQUAL_PARTS)


class NearPairs:
    """Search of pairs among distinct hashes.

    Args:
        hashes: distinct hashes; fewer than 2^32.
        bits: maximum Hamming distance, 0 to `BITS_MAX`.
    """

    def __init__(self, hashes: Hashes, bits: int) -> None:
        self._hashes, self._bits = hashes, bits
        num_parts = bits + _EQUAL_PARTS
        bounds = [64 * number // num_parts for number in range(num_parts + 1)]
        self._parts = [(low, high - low) for low, high in pairwise(bounds)]
        self._choices = list(combinations(range(num_parts), _EQUAL_PARTS))
        self._order = np.argsort(hashes).astype(np.uint32)
        self._sorted = hashes[self._order]

    def find(self, table: int) -> Pairs:
        """The pairs of a table, as `join_pairs` returns them."""
        return join_pairs(self._find(table))

    def _find(self, table: int) -> Iterator[Pairs]:
        choice = self._choices[table]
        chosen = [self._parts[number] for number in choice]
        layout = chosen + [part for part in self._parts if part not in chosen]
        values = self._moved(layout)
        values.sort()
        wanted = sum(1 << number for number in choice)
        for left, right in _joined(_neighbours(values, 64 - sum(width for _, width in chosen), self._bits)):
            first, second = _move_back(left, layout), _move_back(right, layout)
            is_ours = self._first_equal_parts(first ^ second) == wanted
            yield self._to_pairs(first[is_ours], second[is_ours])

    def _moved(self, layout: list[Part]) -> Hashes:
        """The hashes with their parts in another order, the first one in the highest bits."""
        values = np.empty_like(self._hashes)
        for start in range(0, len(values), _AT_ONCE):
            some = slice(start, start + _AT_ONCE)
            values[some] = _move(self._hashes[some], layout)
        return values

    def _first_equal_parts(self, differ: Hashes) -> NDArray[np.uint32]:
        """Of each pair the first three parts without a differing bit, as bits."""
        chosen, count = np.zeros(len(differ), np.uint32), np.zeros(len(differ), np.uint8)
        for number, (low, width) in enumerate(self._parts):
            is_equal = ((differ >> np.uint64(low)) & np.uint64((1 << width) - 1)) == 0
            chosen |= ((is_equal & (count < _EQUAL_PARTS)).astype(np.uint32)) << np.uint32(number)
            count += is_equal
        return chosen

    def _to_pairs(self, first: Hashes, second: Hashes) -> Pairs:
        wanted = np.concatenate([first, second])
        order = np.argsort(wanted)  # sorted ones are found several times faster
        places = np.empty(len(wanted), np.uint64)
        places[order] = self._order[np.searchsorted(self._sorted, wanted[order])]
        one, other = places[: len(first)], places[len(first) :]
        return (np.maximum(one, other) << np.uint64(32)) | np.minimum(one, other)


def join_pairs(some: Iterable[Pairs]) -> Pairs:
    """All of them, sorted; of those of one later hash the first `PAIRS_A_HASH`."""
    found: list[Pairs] = [np.empty(0, np.uint64)]
    count, limit = 0, _PAIRS_IN_MEMORY
    for pairs in some:
        found.append(pairs)
        count += len(pairs)
        if count > limit:
            found = [_first_pairs(found)]
            count = len(found[0])
            limit = _PAIRS_IN_MEMORY + 2 * count
    return _first_pairs(found)


def _neighbours(values: Hashes, num_free: int, bits: int) -> Iterator[tuple[Hashes, Hashes]]:
    """Pairs of sorted values within the distance that are equal above the lowest `num_free` bits."""
    too_far = np.uint64(1 << num_free)
    for start in range(0, len(values), _AT_ONCE):
        step, here = 1, slice(start, min(start + _AT_ONCE, len(values) - 1))
        while True:  # as long as most of them have such a neighbour, without choosing them
            left, right = values[here], values[here.start + step : here.stop + step]
            is_equal, is_near = _compare(left ^ right, too_far, bits)
            if is_near.any():
                yield left[is_near], right[is_near]
            step += 1
            here = slice(here.start, min(here.stop, len(values) - step))
            if np.count_nonzero(is_equal) * 16 <= len(is_equal):
                break
        at = start + np.flatnonzero(is_equal)
        at = at[at + step < len(values)]
        while len(at):
            left, right = values[at], values[at + step]
            is_equal, is_near = _compare(left ^ right, too_far, bits)
            if is_near.any():
                yield left[is_near], right[is_near]
            step += 1
            at = at[is_equal]
            at = at[at + step < len(values)]


def _compare(differ: Hashes, too_far: np.uint64, bits: int) -> tuple[NDArray[np.bool], NDArray[np.bool]]:
    """Of the differing bits of pairs: whether all of them are below `too_far`, and whether they are few as well."""
    is_equal = differ < too_far
    return is_equal, is_equal & (np.bitwise_count(differ) <= bits)


def _joined(some: Iterable[tuple[Hashes, Hashes]]) -> Iterator[tuple[Hashes, Hashes]]:
    """Fewer and longer arrays."""
    found: list[tuple[Hashes, Hashes]] = []
    count = 0
    for pair in some:
        found.append(pair)
        count += len(pair[0])
        if count > _NEAR_AT_ONCE:
            yield _to_pair(found)
            found, count = [], 0
    if count:
        yield _to_pair(found)


def _to_pair(found: list[tuple[Hashes, Hashes]]) -> tuple[Hashes, Hashes]:
    left, right = zip(*found, strict=True)
    return np.concatenate(left), np.concatenate(right)


def _first_pairs(found: list[Pairs]) -> Pairs:
    pairs = np.sort(np.concatenate(found))
    is_too_many = np.zeros(len(pairs), bool)
    is_too_many[PAIRS_A_HASH:] = pairs[PAIRS_A_HASH:] >> np.uint64(32) == pairs[:-PAIRS_A_HASH] >> np.uint64(32)
    return pairs[~is_too_many]


def _move(values: Hashes, layout: list[Part]) -> Hashes:
    moved = np.zeros_like(values)
    for low, width in layout:
        moved <<= np.uint64(width)
        moved |= (values >> np.uint64(low)) & np.uint64((1 << width) - 1)
    return moved


def _move_back(values: Hashes, layout: list[Part]) -> Hashes:
    values, moved = values.copy(), np.zeros_like(values)
    for low, width in reversed(layout):
        moved |= (values & np.uint64((1 << width) - 1)) << np.uint64(low)
        values >>= np.uint64(width)
    return moved
