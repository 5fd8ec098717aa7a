"""MMCR overlap: word F1 of the replies of a dialogue with its references, up to 100.

Load with `evaluate.load("eval_tasks/metrics/mmcr_overlap")`. The score of `--judge offline`, for checks without a
judge; it is not a score of MMCR-Bench.
"""

from __future__ import annotations

import evaluate
from datasets import Features, Sequence, Value

from mmcr_bench.judge.judge import word_f1
from mmcr_bench.judge.judgement import OVERLAP


class MMCROverlap(evaluate.Metric):  # type: ignore[misc]  # evaluate is not typed
    """Word F1 of each reply with its reference, mean over the turns of a dialogue, then over the dialogues."""

    def _info(self) -> evaluate.MetricInfo:
        turns = Sequence(Value("string"))
        features = Features({"predictions": turns, "references": turns})
        return evaluate.MetricInfo(description=__doc__ or "", citation="arXiv 2503.18533", features=features)

    def _compute(self, predictions: list[list[str]], references: list[list[str]]) -> dict[str, float]:
        means = []
        for number, (replies, expected) in enumerate(zip(predictions, references, strict=True)):
            if not expected or len(replies) != len(expected):
                raise ValueError(
                    f"dialogue {number}: {len(replies)} replies for {len(expected)} references; pass one per turn"
                )
            means.append(sum(map(word_f1, replies, expected)) / len(expected))
        return {OVERLAP: 100 * sum(means) / len(means)}
