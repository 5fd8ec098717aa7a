"""What is kept by similarity: thresholds, shares and numbers of each kind, shares by the number of images."""

from __future__ import annotations

import logging
from collections import Counter

import numpy as np
import pytest

from mmcr_dataset.filters.best import Passed, PassedRows
from mmcr_dataset.filters.keep import Keep, kind_of, read_by_kind
from mmcr_dataset.stage.checks import Reason


def candidates(single: int, by_images: dict[int, int]) -> list[Passed]:
    """Dialogues whose worst image is the less similar the more there are, as measured on real ones."""
    rng = np.random.default_rng(0)
    found = [Passed(n // 100, n % 100, f"s{n}", 1, float(rng.normal(0.27, 0.03))) for n in range(single)]
    for images, count in by_images.items():
        worst = rng.normal(0.27 - 0.02 * images, 0.03, count)
        found += [Passed(1000 * images, n, f"m{images}-{n}", images, float(worst[n])) for n in range(count)]
    return found


def kept(keep: Keep, passed: list[Passed]) -> list[Passed]:
    drops = dropped(keep, passed)
    return [one for one in passed if (one.shard, one.place) not in drops]


def dropped(keep: Keep, passed: list[Passed]) -> dict[tuple[int, int], Reason]:
    rows = PassedRows()
    for one in passed:
        rows.add(one)
    found = list(rows.drop(keep))
    assert found == sorted(found)
    return {(shard, place): reason for shard, place, reason in found}


def test_a_rate_keeps_that_share_of_each_kind() -> None:
    passed = candidates(1200, {2: 400})
    worst = {kind: [one.worst for one in passed if kind_of(one.num_images) == kind] for kind in ("single", "multi")}
    least = Keep.read(None, "single=0.175,multi=0.25", None, None).thresholds(worst)
    shares = {kind: np.mean([value >= (least[kind] or 0) for value in values]) for kind, values in worst.items()}
    assert shares == {"single": pytest.approx(0.175, abs=0.001), "multi": pytest.approx(0.25, abs=0.001)}
    pooled = Keep.read(None, 0.5, None, None).thresholds(worst)
    assert [np.mean([value >= (pooled[kind] or 0) for value in values]) for kind, values in worst.items()] == [0.5, 0.5]


def test_numbers_keep_the_best_of_each_kind_and_say_the_last_one_kept() -> None:
    passed = candidates(30, {2: 20})
    keep = Keep.read(None, None, "single=10,multi=5", None)
    found = kept(keep, passed)
    assert Counter(kind_of(one.num_images) for one in found) == {"single": 10, "multi": 5}
    for kind in ("single", "multi"):
        of_kind = sorted((one.worst for one in passed if kind_of(one.num_images) == kind), reverse=True)
        assert (
            sorted((one.worst for one in found if kind_of(one.num_images) == kind), reverse=True)
            == of_kind[: len(found)][: 10 if kind == "single" else 5]
        )
    worst = min(passed, key=lambda one: one.worst)
    reason, detail = dropped(keep, passed)[worst.shard, worst.place]
    assert reason == "not_among_best"
    assert "multi: 5 kept, the last one kept has 0." in detail


def test_shares_by_images_are_reached(caplog: pytest.LogCaptureFixture) -> None:
    passed = candidates(0, {2: 700, 3: 400, 4: 300})
    keep = Keep.read(None, None, "multi=1000", "2=61.5,3=27.6,4=10.9")
    assert Counter(one.num_images for one in kept(keep, passed)) == {2: 615, 3: 276, 4: 109}
    assert not caplog.records


def test_what_is_short_of_a_share_is_said(caplog: pytest.LogCaptureFixture) -> None:
    passed = candidates(3, {2: 700, 3: 100, 4: 300})
    keep = Keep.read(None, None, "single=5,multi=1000", "2=61.5,3=27.6,4=10.9")
    with caplog.at_level(logging.WARNING):
        found = kept(keep, passed)
    assert Counter(one.num_images for one in found) == {1: 3, 2: 615, 3: 100, 4: 109}
    assert "--keep single=5: only 3 dialogues pass the filters" in caplog.text
    assert "3 images: 276 dialogues wanted, only 100 pass the filters" in caplog.text


def test_shares_without_a_number_are_reached_with_as_many_as_possible() -> None:
    passed = candidates(50, {2: 100, 3: 100, 5: 7})
    found = Counter(one.num_images for one in kept(Keep.read(None, None, None, "2=1,3=3"), passed))
    assert found == {1: 50, 2: 33, 3: 100}


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (("x", None, None, None), "--similarity_min x"),
        (("0.2,multi=0.3", None, None, None), "'0.2' is not NAME=NUMBER"),
        (("both=0.2", None, None, None), "unknown kind 'both'"),
        ((0.2, 0.5, None, None), "mutually exclusive"),
        (("single=0.2", "single=0.5", None, None), "mutually exclusive: give one of them for single"),
        ((None, 1.5, None, None), r"--keep_rate 1.5 \(single\)"),
        ((None, None, "100", None), "--keep 100: expected numbers of dialogues, such as single=210000,multi=100000"),
        ((None, None, "single=-1", None), "--keep single=-1"),
        ((None, None, "single=1,single=2", None), "names a thing twice"),
        ((None, None, None, "1=3"), "expected shares by number of images"),
        ((None, None, None, "2=0"), "expected shares by number of images"),
        ((None, None, None, "2=nan"), "'nan' is not a number"),
    ],
)
def test_values_of_another_form_are_named(flags: tuple[str | None, ...], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Keep.read(*flags)


def test_one_threshold_is_for_both_kinds_and_two_kinds_may_have_their_own() -> None:
    assert read_by_kind("0.2", "--x") == read_by_kind(0.2, "--x") == {"single": 0.2, "multi": 0.2}
    assert read_by_kind("single=0.2", "--x") == {"single": 0.2}
    assert Keep.read("single=0.2", "multi=0.5", None, None).least == {"single": 0.2}
    assert [kind_of(number) for number in (1, 2, 4)] == ["single", "multi", "multi"]
    assert not Keep.read(None, None, None, None)
