"""Agreement of experts against published and constructed cases."""

from __future__ import annotations

import numpy as np
import pytest

from mmcr_bench.trust.agreement import (
    Mark,
    count_false_flags,
    gwet_ac1,
    krippendorff_alpha,
    measure_agreement,
    raw_agreement,
)

# Krippendorff's and Gwet's worked case: 4 raters, 12 units, 5 categories, 0 is missing.
RATINGS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, 0, 0, 0],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, 0, 3],
    [0, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, 0],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, 0],
]
COUNTS = np.array([[unit.count(category) for category in range(1, 6)] for unit in zip(*RATINGS, strict=True)])


def marks_of(flags: np.ndarray, criterion: str = "clarity") -> list[Mark]:
    return [
        Mark(f"i{item}", f"e{expert}", frozenset({criterion}) if flagged else frozenset())
        for item, row in enumerate(flags)
        for expert, flagged in enumerate(row)
    ]


def test_coefficients_match_the_published_case() -> None:
    assert gwet_ac1(COUNTS) == pytest.approx(0.77544, abs=1e-5)
    assert krippendorff_alpha(COUNTS) == pytest.approx(0.743, abs=1e-3)
    assert raw_agreement(COUNTS[COUNTS.sum(axis=1) > 1]) == pytest.approx(0.8181818)


def test_agreement_on_rare_flags_is_high_by_ac1_and_low_by_alpha() -> None:
    flags = np.random.default_rng(0).random((600, 6)) < 0.03
    found = measure_agreement(marks_of(flags), ["clarity"], num_resamples=200)["clarity"]
    assert found.num_items == 600
    assert found.raw is not None
    assert found.alpha is not None
    assert found.ac1 is not None
    assert abs(found.alpha.mean) < 0.05
    assert found.ac1.mean > 0.9
    assert found.alpha.low < 0.0 < found.alpha.high
    assert found.ac1.low < found.ac1.mean < found.ac1.high


def test_agreement_of_like_minded_experts_is_perfect() -> None:
    flags = np.repeat(np.arange(20)[:, None] % 2 == 0, 6, axis=1)
    found = measure_agreement(marks_of(flags), ["clarity", "logical"], num_resamples=50)
    assert found["clarity"].alpha is not None
    assert found["clarity"].alpha.mean == pytest.approx(1.0)
    assert found["any"] == found["clarity"]
    assert found["logical"].alpha is None  # nobody flagged it: nothing to agree on
    assert found["logical"].ac1 is not None
    assert found["logical"].ac1.mean == 1.0


def test_false_flags_at_three_percent_regenerate_a_sixth_of_the_good_items() -> None:
    flags = np.random.default_rng(1).random((4000, 6)) < 0.03
    found = count_false_flags(marks_of(flags))
    assert found.regenerated == pytest.approx(1 - 0.97**6, abs=0.01)
    assert set(found.by_expert) == {f"e{number}" for number in range(6)}


def test_false_flags_are_not_counted_on_items_that_most_experts_flag() -> None:
    flags = np.array([[True] * 6] * 10 + [[False] * 6] * 10)
    assert count_false_flags(marks_of(flags)).regenerated == 0.0


@pytest.mark.parametrize(
    ("marks", "part"),
    [
        ([], "none of 0 items"),
        ([Mark("i", "a", frozenset())], "none of 1 items"),
        ([Mark("i", "a", frozenset()), Mark("i", "a", frozenset())], "a marked it twice"),
        ([Mark("i", "a", frozenset({"style"}))], "a flags \\['style'\\]"),
    ],
)
def test_agreement_bad_marks_are_named(marks: list[Mark], part: str) -> None:
    with pytest.raises(ValueError, match=part):
        measure_agreement(marks, ["clarity"])
