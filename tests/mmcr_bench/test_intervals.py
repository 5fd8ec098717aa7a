"""Intervals and paired differences against cases whose answer is known."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mmcr_bench.intervals import (
    bootstrap_statistic,
    holm,
    mean_interval,
    paired_difference,
)


def test_interval_of_independent_values_matches_the_normal_approximation() -> None:
    values = np.random.default_rng(0).normal(5.0, 2.0, 400).tolist()
    found = mean_interval(values)
    half = 1.96 * float(np.std(values)) / math.sqrt(400)
    assert found.mean == pytest.approx(np.mean(values))
    assert found.low == pytest.approx(found.mean - half, abs=0.1 * half)
    assert found.high == pytest.approx(found.mean + half, abs=0.1 * half)


def test_interval_of_copies_in_groups_is_that_of_the_groups() -> None:
    values = np.random.default_rng(1).normal(0.0, 1.0, 40).tolist()
    copied = [value for value in values for _ in range(10)]
    groups = [number for number in range(40) for _ in range(10)]
    clustered, single = mean_interval(copied, groups), mean_interval(values)
    assert (clustered.low, clustered.high) == pytest.approx((single.low, single.high))
    naive = mean_interval(copied)
    assert naive.high - naive.low < 0.5 * (clustered.high - clustered.low)


def test_interval_of_unequal_groups_keeps_the_mean_over_values() -> None:
    assert mean_interval([1.0, 1.0, 1.0, 5.0], ["a", "a", "a", "b"]).mean == 2.0


def test_interval_covers_the_true_mean_about_as_often_as_it_says() -> None:
    rng = np.random.default_rng(2)
    hits = 0
    for trial in range(200):
        centre = rng.normal(0.0, 1.0, 40)  # 40 topics, 15 dialogues each
        values = (centre[:, None] + rng.normal(0.0, 1.0, (40, 15))).ravel()
        found = mean_interval(values.tolist(), np.repeat(np.arange(40), 15).tolist(), seed=trial, num_resamples=400)
        hits += found.low <= 0.0 <= found.high
    assert 0.88 <= hits / 200 <= 0.99


def test_interval_of_one_group_knows_nothing() -> None:
    found = mean_interval([1.0, 2.0, 3.0], ["a", "a", "a"])
    assert (found.mean, found.low, found.high) == (2.0, -math.inf, math.inf)
    assert not paired_difference([9.0, 9.0], [1.0, 1.0], ["a", "a"]).significant


def test_interval_same_seed_same_ends_whatever_the_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    values = np.random.default_rng(3).normal(size=50).tolist()
    whole = mean_interval(values, seed=7)
    monkeypatch.setattr("mmcr_bench.intervals._MAX_CELLS", 333)
    assert mean_interval(values, seed=7) == whole
    assert mean_interval(values, seed=8) != whole


@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_interval_of_few_values_is_the_textbooks(values: list[float]) -> None:
    found = mean_interval(values)
    error = float(np.std(values, ddof=1)) / math.sqrt(len(values))
    reach = float(stats.t.ppf(0.975, len(values) - 1)) * error
    margin = 1e-6 * max(1.0, max(map(abs, values)))
    assert found.low == pytest.approx(np.mean(values) - reach, abs=margin)
    assert found.high == pytest.approx(np.mean(values) + reach, abs=margin)


def test_difference_of_a_steady_gain_is_significant_though_the_values_scatter() -> None:
    rng = np.random.default_rng(4)
    base = rng.normal(50.0, 20.0, 200)
    tuned = base + rng.normal(3.0, 3.0, 200)
    found = paired_difference(tuned.tolist(), base.tolist())
    assert found.significant
    assert found.low > 0 < found.mean
    assert found.p_value < 0.01
    assert found.high - found.low < mean_interval(base.tolist()).high - mean_interval(base.tolist()).low
    reverse = paired_difference(base.tolist(), tuned.tolist())
    assert reverse.mean == pytest.approx(-found.mean)


def test_difference_of_noise_is_not_significant() -> None:
    rng = np.random.default_rng(5)
    found = paired_difference(rng.normal(size=200).tolist(), rng.normal(size=200).tolist())
    assert not found.significant
    assert found.p_value > 0.05


def test_difference_of_equal_values_is_zero_and_not_significant() -> None:
    found = paired_difference([1.0, 2.0, 3.0], [1.0, 2.0, 3.0])
    assert (found.mean, found.low, found.high, found.significant, found.p_value) == (0.0, 0.0, 0.0, False, 1.0)


@pytest.mark.parametrize(
    ("values", "groups", "part"),
    [
        ([], None, "one or more values"),
        ([1.0, math.nan], None, "value 1 is nan"),
        ([1.0, 2.0], ["a"], "2 values but 1 groups"),
    ],
)
def test_interval_bad_input_is_named(values: list[float], groups: list[str] | None, part: str) -> None:
    with pytest.raises(ValueError, match=part):
        mean_interval(values, groups)


def test_difference_of_unequal_lengths_is_named() -> None:
    with pytest.raises(ValueError, match="a has 2 values and b has 1"):
        paired_difference([1.0, 2.0], [1.0])


def test_statistic_that_is_the_mean_gives_the_interval_of_the_mean() -> None:
    values = np.random.default_rng(6).normal(size=100)
    found = bootstrap_statistic(lambda items: float(values[items].mean()), 100, num_resamples=2000)
    known = mean_interval(values.tolist())
    assert found is not None
    assert (found.mean, found.low, found.high) == pytest.approx((known.mean, known.low, known.high), abs=0.02)


def test_statistic_undefined_in_most_resamples_has_no_interval() -> None:
    assert bootstrap_statistic(lambda items: 1.0 if 0 in items and 1 in items else None, 200) is None


def test_smallest_detectable_difference_is_found_in_four_of_five_comparisons() -> None:
    rng = np.random.default_rng(7)
    gain = paired_difference(rng.normal(0.0, 10.0, 300).tolist(), [0.0] * 300).detectable
    assert gain == pytest.approx(2.8 * 10 / math.sqrt(300), rel=0.15)
    found = [
        paired_difference(rng.normal(gain, 10.0, 300).tolist(), [0.0] * 300, num_resamples=300).significant
        for _ in range(200)
    ]
    assert 0.68 <= sum(found) / 200 <= 0.92


def test_holm_matches_a_worked_case() -> None:
    assert holm({"a": 0.01, "b": 0.04, "c": 0.03, "d": 0.005}) == pytest.approx(
        {"a": 0.03, "b": 0.06, "c": 0.06, "d": 0.02}
    )
    assert holm({"a": 0.9, "b": 0.8}) == {"a": 1.0, "b": 1.0}
    with pytest.raises(ValueError, match="p-value of 'b'"):
        holm({"a": 0.9, "b": 1.2})
