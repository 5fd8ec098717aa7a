"""Search of near hashes: the same answers as comparing with all of them, however many are sorted already."""

from __future__ import annotations

import random

import pytest

from mmcr_dataset.filters import near_hashes
from mmcr_dataset.filters.near_hashes import HashIndex
from mmcr_dataset.filters.near_pairs import BITS_MAX


def near(rng: random.Random, value: int, most: int) -> int:
    """The value with up to `most` bits flipped."""
    for bit in rng.sample(range(64), rng.randrange(most + 1)):
        value ^= 1 << bit
    return value


def draw_hashes(rng: random.Random, count: int) -> list[int]:
    """Distinct hashes, many of them near others, some with long runs of equal bits as plain images have."""
    found = [0, (1 << 64) - 1, 1 << 63]
    while len(found) < count:
        value = near(rng, rng.choice(found), 9) if rng.random() < 0.6 else rng.getrandbits(64)
        if value not in found:
            found.append(value)
    return found


def compare_with_all(known: list[int], value: int, bits: int) -> tuple[int, int] | None:
    nearest = min(((other ^ value).bit_count(), other) for other in known)
    return nearest if nearest[0] <= bits else None


@pytest.mark.parametrize("bits", [0, 1, 2, 3, 6, BITS_MAX])
@pytest.mark.parametrize("are_prepared", [False, True])
def test_finds_what_comparing_with_all_finds(monkeypatch: pytest.MonkeyPatch, bits: int, are_prepared: bool) -> None:
    monkeypatch.setattr(near_hashes, "RECENT_HASHES", 37)
    rng = random.Random(bits)
    known, index = draw_hashes(rng, 37 * 6 + 5), HashIndex(bits)
    asked = [near(rng, rng.choice(known), bits + 2) for _ in range(300)]
    for value in known:
        index.add(value)
    if are_prepared:
        index.prepare(asked)
    found = [index.find(value) for value in asked]
    assert found == [compare_with_all(known, value, bits) for value in asked]
    assert any(found)
    assert None in found


def test_what_was_prepared_is_not_stale_after_an_addition(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(near_hashes, "RECENT_HASHES", 8)
    index = HashIndex(6)
    for value in range(8):
        index.add((value * 0x9E3779B97F4A7C15) % (1 << 64))
    index.prepare([0xFFFF])
    assert index.find(0xFFFF) is None
    for value in range(8):
        index.add(0xFFFE ^ (value << 40))
        assert index.find(0xFFFF) == (1, 0xFFFE)
