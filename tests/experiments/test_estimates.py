from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from eval_tasks.task import Total, Unit
from eval_tasks.totals import difference_of, interval_of, resampled
from experiments.estimates import Runs, difference, estimate


def to_total(points_Q: np.ndarray, num_groups: int) -> Total:
    return Total([Unit(str(number % num_groups), float(value)) for number, value in enumerate(points_Q)])


def to_runs(*totals: Total) -> Runs:
    """Runs of one arm whose questions no other arm is compared on."""
    return Runs(
        np.array([total.value for total in totals]),
        np.stack(resampled(totals)),
        len({u.group for u in totals[0].units}),
    )


def test_estimate_of_one_seed_is_the_interval_of_the_evaluation_itself() -> None:
    rng = np.random.default_rng(0)
    a, b = (to_total(rng.random(60), 12) for _ in range(2))
    of_a, of_b = resampled([a, b])
    found = estimate(Runs(np.array([a.value]), of_a[None], 12))
    said = interval_of(a)
    assert found.mean == said.mean
    assert (found.low, found.high) == pytest.approx((said.low, said.high), rel=0.02)  # by resampling and by formula
    runs = [Runs(np.array([total.value]), values[None], 12) for total, values in ((a, of_a), (b, of_b))]
    paired, told = difference(*runs), difference_of(a, b)
    assert paired.mean == told.mean
    assert (paired.low, paired.high) == pytest.approx((told.low, told.high), abs=0.05 * (told.high - told.low))
    assert paired.p_value == pytest.approx(told.p_value, abs=0.05)


def test_estimate_of_equal_seeds_has_the_width_of_the_questions_alone() -> None:
    total = to_total(np.random.default_rng(1).random(400), 400)
    one, three = estimate(to_runs(total)), estimate(to_runs(total, total, total))
    assert three.mean == pytest.approx(one.mean)
    assert three.high - three.low == pytest.approx(one.high - one.low, rel=0.05)


def test_estimate_of_seeds_that_disagree_is_wider_and_widest_with_two() -> None:
    points = np.random.default_rng(2).random(200)
    totals = [to_total(points + shift, 200) for shift in (-0.1, 0.1)]
    alike = estimate(to_runs(totals[0]))
    two, four = estimate(to_runs(*totals)), estimate(to_runs(*totals, *totals))
    assert alike.high - alike.low < four.high - four.low < two.high - two.low


@pytest.mark.parametrize(("num_seeds", "seeds_spread"), [(2, 3.0), (3, 3.0), (3, 0.0), (5, 8.0)])
def test_interval_over_seeds_and_questions_covers_the_truth_as_often_as_it_says(
    num_seeds: int, seeds_spread: float
) -> None:
    """Questions of known difficulty, seeds of known spread around a true mean of 50; forty questions of a sample."""
    rng = np.random.default_rng(3)
    num_trials, num_questions, covered, rejected = 400, 40, 0, 0
    for _ in range(num_trials):
        questions_Q = rng.normal(50, 20, num_questions)
        seeds_S = rng.normal(0, seeds_spread, num_seeds)
        noise_SQ = rng.normal(0, 10, (num_seeds, num_questions))
        points_SQ = questions_Q + seeds_S[:, None] + noise_SQ
        drawn_RQ = rng.multinomial(num_questions, [1 / num_questions] * num_questions, size=200) / num_questions
        runs = Runs(points_SQ.mean(axis=1), points_SQ @ drawn_RQ.T, num_questions)
        found = estimate(runs)
        covered += found.low <= 50 <= found.high
        base_Q = questions_Q + rng.normal(0, 10, num_questions)  # as good as the arm, with the same questions
        base = Runs(base_Q.mean(keepdims=True), (base_Q @ drawn_RQ.T)[None], num_questions)
        rejected += difference(runs, base).p_value < 0.05
    assert 0.92 <= covered / num_trials <= 0.995
    assert rejected / num_trials <= 0.07


def test_difference_pairs_the_questions() -> None:
    points = np.random.default_rng(4).random(100)
    a, b = to_total(points + 0.05, 100), to_total(points, 100)
    of_a, of_b = resampled([a, b])
    runs = [Runs(np.array([total.value] * 2), np.stack([values] * 2), 100) for total, values in ((a, of_a), (b, of_b))]
    found = difference(*runs)
    assert (found.low, found.high) == pytest.approx((5, 5))
    assert found.p_value < 1e-6


def test_single_group_says_nothing_about_others() -> None:
    runs = to_runs(to_total(np.array([0.0, 1.0]), 1))
    found, compared = estimate(runs), difference(runs, runs)
    assert (found.mean, found.low, found.high) == (50, -math.inf, math.inf)
    assert (compared.mean, compared.p_value) == (0, 1)


def test_arms_that_start_from_the_same_weights_are_compared_seed_by_seed() -> None:
    """What the seeds' weights share leaves the difference; without pairing it would hide it."""
    weights = np.array([40.0, 50.0, 60.0, 70.0, 80.0])
    rng = np.random.default_rng(0)
    questions = rng.normal(0, 1, (5, 400))
    a = Runs(weights + 2, weights[:, None] + 2 + questions, 200)
    b = Runs(weights, weights[:, None] + questions, 200)
    paired, unpaired = difference(a, b, is_paired=True), difference(a, b)
    assert paired.mean == unpaired.mean == pytest.approx(2)
    assert unpaired.low < 0 < unpaired.high
    assert 1.9 < paired.low <= 2 <= paired.high < 2.1
    fewer = Runs(weights[:4], b.resampled_SR[:4], 200)
    assert difference(a, fewer, is_paired=True) == difference(a, fewer)


def test_interval_stays_inside_the_scale() -> None:
    values, spread = np.array([99.0, 90.0, 98.0]), np.random.default_rng(0).normal(95, 1, (3, 400))
    free = estimate(Runs(values, spread, 200))
    assert free.high > 100
    assert estimate(Runs(values, spread, 200, scale=(0.0, 100.0))) == replace(free, high=100.0)
