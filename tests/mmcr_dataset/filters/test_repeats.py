"""Repeated documents: the same answers as comparing every image with all, in whatever way the work is divided."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest

from mmcr_dataset.filters import near_pairs, repeats
from mmcr_dataset.filters.near_pairs import BITS_MAX, NearPairs, join_pairs, num_tables
from mmcr_dataset.filters.repeats import ImageLists, first_equal
from mmcr_dataset.stage.engine import EngineSettings
from tests.mmcr_dataset.filters.test_near_hashes import draw_hashes, near


def compare_all(documents: list[list[int]], bits: int) -> tuple[list[int], list[int]]:
    """What stands for each image (as the number of an image), and the first document with the same ones."""
    leaders: list[tuple[int, int]] = []
    number, standing, first_of = 0, list[int](), list[int]()
    known: dict[tuple[int, ...], int] = {}
    for place, images in enumerate(documents):
        shown = []
        for value in images:
            found = next((leader for leader, other in leaders if (other ^ value).bit_count() <= bits), None)
            if found is None:
                leaders.append((number, value))
            shown.append(number if found is None else found)
            number += 1
        standing += shown
        first_of.append(known.setdefault(tuple(sorted(shown)), place) if shown else place)
    return standing, first_of


def draw_documents(rng: random.Random, count: int, bits: int) -> list[list[int]]:
    """Documents with 0 to 4 images, many of them near others and some the copy of another."""
    pool, documents = draw_hashes(rng, count // 8), list[list[int]]()
    for _ in range(count):
        images = [near(rng, rng.choice(pool), bits + 1) for _ in range(rng.choice([0, 1, 1, 1, 2, 2, 3, 4]))]
        documents.append(
            rng.sample(copied := rng.choice(documents), len(copied)) if rng.random() < 0.2 and documents else images
        )
    return documents


def lists_of(documents: list[list[int]], bits: int) -> ImageLists:
    lists = ImageLists(bits)
    for images in documents:
        lists.add([f"{value:016x}" for value in images])
    return lists


def same(found: list[int], expected: list[int]) -> bool:
    """Whether two lists divide their places into the same groups."""
    return len(set(zip(found, expected, strict=True))) == len(set(found)) == len(set(expected))


@pytest.mark.parametrize("few", [False, True], ids=["as it is", "little at once"])
@pytest.mark.parametrize("bits", range(BITS_MAX + 1))
def test_repeats_are_those_of_comparing_with_all(monkeypatch: pytest.MonkeyPatch, bits: int, few: bool) -> None:
    if few:
        for name, value in (("_AT_ONCE", 16), ("_NEAR_AT_ONCE", 5), ("_PAIRS_IN_MEMORY", 7), ("PAIRS_A_HASH", 2)):
            monkeypatch.setattr(near_pairs, name, value)
        monkeypatch.setattr(repeats, "_GROUPS_AT_ONCE", 3)
    documents = draw_documents(random.Random(bits), 400, bits)
    lists = lists_of(documents, bits)
    standing = lists.standing()
    expected, first_of = compare_all(documents, bits)
    assert same(standing.tolist(), expected)
    assert lists.first_of(standing).tolist() == first_of
    assert 20 < sum(first != place for place, first in enumerate(first_of)) < 380


def test_a_dense_cluster_is_decided_as_by_comparing_with_all() -> None:
    """Each hash has far more near ones than are kept of it, and a chain of hashes has only its neighbours."""
    rng = random.Random(3)
    chain = [0]
    for bit in range(60):
        chain.append(chain[-1] ^ (1 << bit))
    values = [near(rng, rng.getrandbits(64) | 0xFFFF, 9) for _ in range(5)]
    values = [near(rng, rng.choice(values), 5) for _ in range(1500)] + chain
    documents = [[value] for value in values]
    lists = lists_of(documents, 6)
    standing = lists.standing()
    expected, first_of = compare_all(documents, 6)
    assert same(standing.tolist(), expected)
    assert lists.first_of(standing).tolist() == first_of


def test_an_exact_copy_is_found_after_a_nearer_image_came() -> None:
    """The image that stands for another one must not change, else the copy of a dialogue of two images is missed."""
    image, first, nearer = 0, 0b11111, 0b111 << 40
    assert (first ^ nearer).bit_count() > 6
    documents = [[first], [image, 1 << 63 | 0xFF00FF00], [nearer], [image, 1 << 63 | 0xFF00FF00]]
    lists = lists_of(documents, 6)
    assert lists.first_of(lists.standing()).tolist() == [0, 1, 2, 1]


@pytest.mark.parametrize("bits", [0, 2, 6, BITS_MAX])
def test_each_pair_is_in_one_table(bits: int) -> None:
    hashes = np.array(draw_hashes(random.Random(bits), 300), np.uint64)
    search = NearPairs(hashes, bits)
    found = np.concatenate([search.find(table) for table in range(num_tables(bits))])
    assert len(np.unique(found)) == len(found)
    distances = np.bitwise_count(hashes[:, None] ^ hashes)
    expected = [(later, earlier) for later, earlier in np.argwhere(distances <= bits).tolist() if earlier < later]
    pairs = [(int(pair) >> 32, int(pair) & 0xFFFFFFFF) for pair in join_pairs([found])]
    kept = [pair for place, pair in enumerate(expected) if place < 16 or expected[place - 16][0] != pair[0]]
    assert pairs == kept
    assert bool(pairs) == (bits > 0)


def test_first_equal() -> None:
    values = np.array([5, 3, 5, 2**64 - 1, 3, 0], np.uint64)
    assert first_equal(values).tolist() == [0, 1, 0, 3, 1, 5]
    assert first_equal(values[:0]).tolist() == []


def test_nothing_to_compare() -> None:
    lists = lists_of([[], []], 6)
    assert lists.first_of(lists.standing()).tolist() == [0, 1]
    assert len(ImageLists().standing()) == 0


def test_ranks_find_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "IMAGES_OF_ONE_PROCESS", 0)
    documents = draw_documents(random.Random(1), 100, 6)
    lists = lists_of(documents, 6)
    engine = EngineSettings("datatrove-local", 2)
    standing = lists.standing_on(tmp_path, engine)
    assert standing is not None
    assert standing.tolist() == lists.standing().tolist()
    assert not (tmp_path / "dedup").exists()


def test_what_a_killed_rank_has_found_is_not_searched_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(repeats, "IMAGES_OF_ONE_PROCESS", 0)
    lists = lists_of(draw_documents(random.Random(2), 100, 6), 6)
    asked: list[list[int]] = []

    def submit(name: str, do_tables: object, tables: list[int], work: Path, engine: EngineSettings) -> bool:
        asked.append(tables)
        assert callable(do_tables)
        do_tables(tables[: len(tables) // 2] if len(asked) == 1 else tables, 0)
        return len(asked) > 1

    monkeypatch.setattr(repeats, "run_shards", submit)
    engine = EngineSettings("datatrove-local", 2)
    assert lists.standing_on(tmp_path, engine) is None
    standing = lists.standing_on(tmp_path, engine)
    assert standing is not None
    assert standing.tolist() == lists.standing().tolist()
    assert [len(tables) for tables in asked] == [84, 42]


def test_comparisons_a_hash_do_not_grow_with_their_number(monkeypatch: pytest.MonkeyPatch) -> None:
    counted, count_bits = [0], np.bitwise_count

    def count(values: np.ndarray) -> np.ndarray:
        counted[0] += values.size
        return count_bits(values)

    monkeypatch.setattr(np, "bitwise_count", count)
    cost = {}
    for size in (20_000, 160_000):
        hashes = np.random.default_rng(size).integers(0, 1 << 64, size, dtype=np.uint64)
        lists, counted[0] = ImageLists(), 0
        lists.extend(hashes, np.arange(1, size + 1))
        lists.standing()
        cost[size] = counted[0] / size
    assert num_tables(6) <= cost[20_000] < cost[160_000] < 1.5 * cost[20_000]
