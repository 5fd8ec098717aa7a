"""Two scorers on the same dialogues, with known relations between them."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr

from mmcr_bench.trust.score_pairs import compare_scorers, intercept, kendall, pearson, show_comparisons, slope, spearman

RNG = np.random.default_rng(0)


def scores_of(values: np.ndarray) -> dict[str, dict[str, float]]:
    return {f"d{number}": {"overall": float(value)} for number, value in enumerate(values)}


def test_compare_finds_shift_and_line_of_a_stricter_scorer() -> None:
    first = RNG.uniform(1, 10, 400)
    second = 0.5 * first + 2.0 + RNG.normal(0, 0.3, 400)
    found = compare_scorers(scores_of(first), scores_of(second), ["overall"], num_resamples=200)["overall"]
    assert found.num_dialogues == 400
    assert found.shift.mean == pytest.approx(float((second - first).mean()))
    assert found.slope is not None
    assert found.intercept is not None
    assert found.slope.low < 0.5 < found.slope.high
    assert found.intercept.low < 2.0 < found.intercept.high
    assert found.spearman is not None
    assert found.spearman.low > 0.9
    assert found.calibration[8][0] == pytest.approx(6.0, abs=0.3)
    assert sum(count for _, count in found.calibration.values()) == 400


def test_statistics_agree_with_scipy_on_tied_scores() -> None:
    pairs = RNG.integers(1, 6, (200, 2)).astype(float)
    assert pearson(pairs) == pytest.approx(pearsonr(pairs[:, 0], pairs[:, 1]).statistic)
    assert spearman(pairs) == pytest.approx(spearmanr(pairs[:, 0], pairs[:, 1]).statistic)


def test_statistics_are_undefined_where_a_scorer_does_not_vary() -> None:
    pairs = np.array([[5.0, 1.0], [5.0, 2.0], [5.0, 3.0]])
    assert [statistic(pairs) for statistic in (pearson, spearman, kendall, slope, intercept)] == [None] * 5
    assert slope(pairs[:, ::-1]) == 0.0


def test_compare_uses_only_dialogues_that_both_scored() -> None:
    first = scores_of(np.arange(10.0))
    second = {id_: scores for id_, scores in scores_of(np.arange(10.0) + 1).items() if id_ not in ("d0", "d1")}
    second["stranger"] = {"overall": 3.0}
    assert compare_scorers(first, second, ["overall"], num_resamples=20)["overall"].num_dialogues == 8
    with pytest.raises(ValueError, match="at least 3"):
        compare_scorers(first, {"stranger": {"overall": 3.0}}, ["overall"])


def test_comparison_table_has_a_line_a_dimension() -> None:
    first, second = scores_of(RNG.integers(1, 4, 30)), scores_of(RNG.integers(1, 10, 30))
    shown = show_comparisons(compare_scorers(first, second, ["overall"], num_resamples=20), "old", "new")
    assert "| new - old |" in shown
    assert shown.count("| overall |") == 2
    assert "|  | 1 | 2 | 3 |" in shown


def test_line_of_noisy_judges_foretells_the_mean_of_a_better_model() -> None:
    """Both judges have noise of SD 1, the new scale is 1 + 0.8 x worth: least squares find a slope of about 0.5."""
    slopes, foretold_off = [], []
    for seed in range(10):
        rng = np.random.default_rng(100 + seed)

        def judge(level: float, rng: np.random.Generator = rng) -> tuple[np.ndarray, np.ndarray]:
            worth = rng.normal(level, 1.3, 600)
            both = (worth + rng.normal(0, 1, 600), 1 + 0.8 * worth + rng.normal(0, 1, 600))
            return tuple(np.clip(np.round(scores), 1, 10) for scores in both)

        found = compare_scorers(*map(scores_of, judge(5.0)), ["overall"], num_resamples=20)["overall"]
        assert found.slope is not None
        assert found.intercept is not None
        old, new = judge(6.5)
        slopes.append(found.slope.mean)
        foretold_off.append(10 * (found.intercept.mean + found.slope.mean * old.mean() - new.mean()))
    assert np.mean(slopes) == pytest.approx(0.8, abs=0.05)
    assert abs(np.mean(foretold_off)) < 1
