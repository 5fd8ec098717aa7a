from __future__ import annotations

import numpy as np
import pytest

from training.data.loss_mask import shift_spans, spans_to_mask


def test_spans_to_mask_token_overlapping_an_edge_counts_token_touching_it_does_not() -> None:
    offsets_T2 = np.array([[0, 3], [3, 5], [5, 9], [9, 9], [9, 12], [12, 14]])
    mask_T = spans_to_mask(offsets_T2, np.array([[4, 9], [13, 14]]))
    assert mask_T.tolist() == [False, True, True, False, False, True]


def test_shift_spans_moves_a_span_by_the_growth_of_the_placeholders_before_it() -> None:
    replacements = [{"span": (2, 9), "new_span": (2, 30)}, {"span": (20, 27), "new_span": (41, 50)}]
    spans_S2 = np.array([[10, 15], [27, 31]])
    assert shift_spans(spans_S2, replacements).tolist() == [[31, 36], [50, 54]]


@pytest.mark.parametrize("spans", [[[5, 9], [7, 12]], [[5, 9], [1, 3]], [[4, 4]]])
def test_spans_to_mask_spans_that_do_not_alternate_are_refused(spans: list[list[int]]) -> None:
    with pytest.raises(ValueError, match="sorted and disjoint"):
        spans_to_mask(np.array([[0, 3], [3, 6]]), np.array(spans))


def test_spans_to_mask_random_texts_equal_the_loop_over_tokens() -> None:
    rng = np.random.default_rng(0)
    for _ in range(1000):
        cuts = np.unique(rng.integers(0, 60, rng.integers(2, 14)))
        spans_S2 = cuts[: len(cuts) // 2 * 2].reshape(-1, 2)
        starts = np.sort(rng.integers(0, 60, 25))
        offsets_T2 = np.stack([starts, starts + rng.integers(0, 5, 25)], axis=1)
        loop = [any(s < end and e > start for start, end in spans_S2) for s, e in offsets_T2]
        assert spans_to_mask(offsets_T2, spans_S2).tolist() == loop
