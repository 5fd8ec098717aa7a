"""The loss mask: character spans of the assistant's answers -> token positions. Vectorized.

Shapes: T tokens, S spans (answers), R image placeholders that the processor expands.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

Ints = npt.NDArray[np.int64]
NO_LOSS = -100  # ignore_index of torch's cross entropy


def shift_spans(spans_S2: Ints, replacements: Sequence[dict[str, Any]]) -> Ints:
    """Character spans of the rendered text -> spans of the text with its image placeholders expanded.

    Args:
        spans_S2: start and end (exclusive) of each answer in the rendered text.
        replacements: output of a processor: `span` before and `new_span` after the expansion, in order.
    """
    if not replacements:
        return spans_S2
    ends_R = np.array([replacement["span"][1] for replacement in replacements])
    gained = np.array([0, *(r["new_span"][1] - r["span"][1] for r in replacements)])
    shifted: Ints = spans_S2 + gained[np.searchsorted(ends_R, spans_S2, side="right")]
    return shifted


def spans_to_mask(offsets_T2: Ints, spans_S2: Ints) -> npt.NDArray[np.bool_]:
    """True for each token that overlaps a span.

    A token overlaps a span if more spans start before its end than end at or before its start.

    Args:
        offsets_T2: start and end character of each token.
        spans_S2: start and end (exclusive) of each answer in the same text.

    Raises:
        ValueError: the spans overlap or are out of order: the template does not alternate.
    """
    if np.any(spans_S2[:, 0] >= spans_S2[:, 1]) or np.any(spans_S2[1:, 0] < spans_S2[:-1, 1]):
        raise ValueError(f"answers at {spans_S2.tolist()}: spans must be non-empty, sorted and disjoint")
    begun_T = np.searchsorted(spans_S2[:, 0], offsets_T2[:, 1], side="left")
    ended_T = np.searchsorted(spans_S2[:, 1], offsets_T2[:, 0], side="right")
    mask_T: npt.NDArray[np.bool_] = begun_T > ended_T
    return mask_T
