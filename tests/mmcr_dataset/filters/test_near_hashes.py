"""Search of near hashes: the same answers as comparing with all of them, however many are sorted already."""

from __future__ import annotations

import random

import pytest

from mmcr_dataset.filters import key_numbers, near_hashes
from mmcr_dataset.filters.dedup import RepeatIndex
from mmcr_dataset.filters.key_numbers import KeyNumbers
from mmcr_dataset.filters.near_hashes import BITS_MAX, HashIndex


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


@pytest.mark.parametrize("many_hashes", [10**9, 1], ids=["four parts", "three parts"])
@pytest.mark.parametrize("bits", [0, 1, 2, 3, 6, BITS_MAX])
@pytest.mark.parametrize("are_prepared", [False, True])
def test_finds_what_comparing_with_all_finds(
    monkeypatch: pytest.MonkeyPatch, bits: int, many_hashes: int, are_prepared: bool
) -> None:
    monkeypatch.setattr(near_hashes, "RECENT_HASHES", 37)
    monkeypatch.setattr(near_hashes, "_MANY_HASHES", many_hashes)
    monkeypatch.setattr(near_hashes, "_BYTES_IN_MEMORY", 600)
    rng = random.Random(bits)
    known, index = draw_hashes(rng, 37 * 6 + 5), HashIndex(bits)
    asked = [near(rng, rng.choice(known), bits + 2) for _ in range(300)]
    if many_hashes == 1:
        known, asked = known[:80], asked[:60]  # its tables of 22 bits are large
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


@pytest.mark.parametrize("are_prepared", [False, True])
def test_repeated_dialogues_are_those_of_a_plain_search(monkeypatch: pytest.MonkeyPatch, are_prepared: bool) -> None:
    """A dialogue repeats an earlier one if its images, each replaced by the nearest earlier image, are the same."""
    monkeypatch.setattr(near_hashes, "RECENT_HASHES", 50)
    rng, index, images = random.Random(7), RepeatIndex(), list[int]()
    first_of: dict[tuple[int, ...], str] = {}
    pool = draw_hashes(rng, 60)
    num_found = 0
    for number in range(600):
        shown = [near(rng, rng.choice(pool), 3) for _ in range(rng.randrange(1, 5))]
        phashes = [f"{value:016x}" for value in shown]
        if are_prepared and number % 20 == 0:
            index.prepare(f"{value:016x}" for value in pool)

        def key(shown: list[int] = shown) -> tuple[int, ...]:
            nearest = (compare_with_all(images, value, 6) if images else None for value in shown)
            return tuple(sorted(v if n is None else n[1] for v, n in zip(shown, nearest, strict=True)))

        assert index.find(phashes) == first_of.get(key())
        num_found += index.find(phashes) is not None
        index.add(phashes, str(number))
        for value in shown:
            if not images or compare_with_all(images, value, 6) is None:
                images.append(value)
        first_of.setdefault(key(), str(number))
    assert 50 < num_found < 600


def test_numbers_of_keys_are_those_of_a_dictionary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(key_numbers, "RECENT_KEYS", 7)
    monkeypatch.setattr(near_hashes, "_BYTES_IN_MEMORY", 2000)
    rng, numbers, expected = random.Random(5), KeyNumbers(), dict[int, int]()
    for key in [0, (1 << 64) - 1, *(rng.getrandbits(64) for _ in range(1500))]:
        assert numbers.find(key) is None
        assert numbers.add(key) == len(expected)
        expected[key] = len(expected)
        known = rng.choice(list(expected))
        assert numbers.find(known) == expected[known]
    assert [numbers.find(key) for key in expected] == list(expected.values())
