"""The draw: what holds for any set of candidates."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcr_bench.select.draw import Candidate, draw_bench, find_contaminated
from mmcr_dataset.record.images import NEAR_DUPLICATE_BITS, hash_distance

PHASHES = [f"{random.Random(number).getrandbits(64):016x}" for number in range(40)]


def candidate(name: str, images: list[int], topic: str | None = None) -> Candidate:
    return Candidate(name, topic, tuple(PHASHES[n % len(PHASHES)] for n in images))


def near(one: str, two: str) -> bool:
    return hash_distance(one, two) <= NEAR_DUPLICATE_BITS


@st.composite
def some_candidates(draw: st.DrawFn) -> list[Candidate]:
    topics = draw(st.sampled_from([(None,), ("cats", "boats"), ("cats", "boats", None)]))
    rows = draw(st.lists(st.tuples(st.lists(st.integers(0, 39), max_size=4, unique=True), st.sampled_from(topics))))
    return [candidate(f"d{number}", images, topic) for number, (images, topic) in enumerate(rows)]


@given(some_candidates(), st.integers(0, 4), st.integers(1, 4), st.integers(0, 5), st.randoms())
def test_draw_of_any_candidates_keeps_its_promises(
    rows: list[Candidate], num_single: int, num_multi: int, seed: int, order: random.Random
) -> None:
    wanted = {"single": num_single, "multi": num_multi}
    topics = {row.topic for row in rows if row.kind}
    topics = topics - {None} or topics
    if not any(wanted[row.kind] for row in rows if row.kind and row.topic in topics):
        with pytest.raises(ValueError, match="nothing to draw"):
            draw_bench(rows, num_single, num_multi, seed)
        return
    found = draw_bench(rows, num_single, num_multi, seed)
    shuffled = rows.copy()
    order.shuffle(shuffled)
    assert draw_bench(shuffled, num_single, num_multi, seed) == found

    chosen = [row for row in rows if row.id in found.ids]
    places = Counter((row.topic, row.kind) for row in chosen)
    short = {(item.topic, item.kind): item.wanted - item.drawn for item in found.shortages}
    assert all(places[topic, kind] + short.get((topic, kind), 0) == wanted[kind] for topic in topics for kind in wanted)
    hashes = [(row.id, phash) for row in chosen for phash in row.phashes]
    assert not any(near(one, two) for n, (a, one) in enumerate(hashes) for b, two in hashes[:n] if a != b)

    sharing = set(find_contaminated(rows, found.ids))
    for row in rows:
        shows_drawn = any(near(one, two) for one in row.phashes for _, two in hashes)
        assert (row.id in sharing) == (shows_drawn and row.id not in found.ids)


def test_draw_other_seed_other_dialogues() -> None:
    rows = [candidate(f"d{number}", [number]) for number in range(40)]
    assert draw_bench(rows, 5, 0, seed=0).ids != draw_bench(rows, 5, 0, seed=1).ids


def test_draw_is_stable_when_unrelated_dialogues_are_added() -> None:
    rows = [candidate(f"d{number}", [number], "cats") for number in range(20)]
    more = [candidate(f"e{number}", [20 + number], "dogs") for number in range(20)]
    drawn = set(draw_bench(rows + more, 5, 0).ids)
    assert set(draw_bench(rows, 5, 0).ids) <= drawn


def test_draw_near_duplicate_counts_as_the_same_image() -> None:
    close = f"{int(PHASHES[0], 16) ^ 0b111111:016x}"
    far = f"{int(PHASHES[0], 16) ^ 0b1111111:016x}"
    first = Candidate("a", None, (PHASHES[0],))
    assert len(draw_bench([first, Candidate("b", None, (close,))], 2, 0).ids) == 1
    assert len(draw_bench([first, Candidate("b", None, (far,))], 2, 0).ids) == 2


def test_draw_shortage_says_what_is_needed() -> None:
    rows = [candidate("a", [1], "cats"), candidate("b", [1], "cats"), candidate("c", [2, 3], "cats")]
    (shortage,) = draw_bench(rows, 3, 1).shortages
    assert (shortage.topic, shortage.kind, shortage.drawn, shortage.num_repeats) == ("cats", "single", 1, 1)
    assert "2 more dialogues with new images are needed" in shortage.show()


def test_draw_leaves_out_and_counts_dialogues_without_topic_where_others_have_one() -> None:
    rows = [candidate("a", [1], "cats"), candidate("b", [2])]
    found = draw_bench(rows, 2, 0)
    assert found.ids == ("a",)
    assert found.num_without_topic == 1


@pytest.mark.parametrize(
    ("rows", "num_single", "part"),
    [
        ([candidate("a", [1])], 0, "at least one"),
        ([candidate("a", [1])], -1, "at least one"),
        ([candidate("a", []), candidate("b", [])], 1, "nothing to draw"),
        ([], 1, "nothing to draw"),
        ([candidate("a", [1]), candidate("a", [2])], 1, "two dialogues have the id 'a'"),
    ],
)
def test_draw_bad_input_is_named(rows: list[Candidate], num_single: int, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        draw_bench(rows, num_single, 0)
