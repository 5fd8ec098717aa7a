"""The human ceiling: how well one expert agrees with the mean of the others, beside the judge against the same mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from statistics import fmean

import numpy as np

from mmcr_bench.trust.score_pairs import Scores, kendall, pearson
from mmcr_dataset.publish.markdown_table import to_table

_MIN_PAIRS = 3


def show_ceiling(judge: Scores, experts: Mapping[str, Scores], names: Sequence[str]) -> str:
    """A table by dimension, or why there is none.

    Expert and judge are compared with the same thing: the mean of all experts but one, over the dialogues that this one
    has scored, then the mean over the experts left out. So neither is helped by scores of its own.

    Args:
        judge: the judge's scores.
        experts: scores by expert.
        names: dimensions.
    """
    if len(experts) < 2:
        return "\nNo human ceiling: it needs two experts who scored the same replies (`python -m mmcr_bench scoring`)."
    rows = []
    for name in names:
        found: dict[str, list[tuple[float | None, float | None]]] = {"expert": [], "judge": []}
        num_pairs = 0
        for left_out, own in experts.items():
            others = _mean_of([one for expert, one in experts.items() if expert != left_out], name)
            ids = sorted(id_ for id_ in own if id_ in others and name in own[id_] and name in judge.get(id_, {}))
            if len(ids) < _MIN_PAIRS:
                continue
            num_pairs += len(ids)
            for kind, scores in (("expert", own), ("judge", judge)):
                pairs = np.array([(others[id_], scores[id_][name]) for id_ in ids], dtype=np.float64)
                found[kind].append((pearson(pairs), kendall(pairs)))
        cells = [_mean_cell([one[place] for one in found[kind]]) for place in (0, 1) for kind in ("expert", "judge")]
        rows.append([name, num_pairs, *cells])
    header = ("dimension", "pairs", "r: an expert", "r: the judge", "tau-b: an expert", "tau-b: the judge")
    table = to_table(header, rows, right=range(1, 6))
    return f"\nAgainst the mean of the other experts (human ceiling, {len(experts)} experts):\n\n{table}"


def _mean_of(experts: Sequence[Scores], name: str) -> dict[str, float]:
    given: dict[str, list[float]] = {}
    for scores in experts:
        for id_, by_name in scores.items():
            if name in by_name:
                given.setdefault(id_, []).append(by_name[name])
    return {id_: fmean(values) for id_, values in given.items()}


def _mean_cell(values: Sequence[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{fmean(known):.2f}" if known else "-"
