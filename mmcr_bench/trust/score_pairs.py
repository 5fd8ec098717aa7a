"""Compare two scorers on the same replies (judge and experts, or two judges): shift, correlation, linear mapping.

Both scorers are noisy, so least squares would give too flat a line, and foretell too small a change of a model's mean.
The line is that of the true scores: with the noise of both from their repeats, or, where there are none, Deming's,
which takes both for equally noisy. Resamples draw whole topics.

Shapes: N dialogues.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from mmcr_bench.intervals import Interval, bootstrap_statistic, mean_interval
from mmcr_dataset.publish.markdown_table import to_table

Scores = Mapping[str, Mapping[str, float]]  # by dialogue id, then by dimension
Pairs = NDArray[np.float64]  # [N, 2]: first and second score


@dataclass(frozen=True, slots=True)
class Comparison:
    """One dimension, second scorer against the first.

    Attributes:
        num_dialogues: dialogues scored by both.
        shift: mean of second minus first.
        pearson: Pearson's r; None if a scorer's scores hardly vary.
        spearman: Spearman's rho, None as above.
        kendall: Kendall's tau-b, None as above.
        slope: slope of the line second = intercept + slope * first between true scores; None if the two don't agree.
        intercept: intercept of that line.
        valid: lowest and highest mean of the first that the line is good for: the middle 80 % of its scores.
        noise_source: `repeats` or `assumed equal`.
        calibration: first score (rounded) -> mean second score and number of dialogues.
    """

    num_dialogues: int
    shift: Interval
    pearson: Interval | None
    spearman: Interval | None
    kendall: Interval | None
    slope: Interval | None
    intercept: Interval | None
    calibration: Mapping[int, tuple[float, int]]
    valid: tuple[float, float] = (1.0, 10.0)
    noise_source: str = "assumed equal"


def compare_scorers(
    first: Scores,
    second: Scores,
    names: Sequence[str],
    num_resamples: int = 500,
    seed: int = 0,
    topics: Mapping[str, str] | None = None,
    noise: Mapping[str, tuple[float, float]] | None = None,
) -> dict[str, Comparison]:
    """Compare two scorers by dimension, over the dialogues scored by both; intervals by bootstrap over topics.

    Args:
        first: scores of the first.
        second: scores of the second.
        names: dimensions to compare.
        num_resamples: number of bootstrap resamples.
        seed: random seed.
        topics: topic by dialogue id; without it each dialogue is its own.
        noise: dimension -> variance of the noise of the first's and the second's scores, where repeats tell it.

    Raises:
        ValueError: fewer than three dialogues have both scores of a dimension.
    """
    found: dict[str, Comparison] = {}
    for name in names:
        shared = sorted(id_ for id_ in first.keys() & second.keys() if name in first[id_] and name in second[id_])
        if len(shared) < 3:
            raise ValueError(
                f"{name}: {len(shared)} dialogues are scored by both ({len(first)} by the first, {len(second)} by the "
                "second), at least 3 are needed; are both from the same dialogues?"
            )
        pairs = np.array([(first[id_][name], second[id_][name]) for id_ in shared], dtype=np.float64)
        groups = [(topics or {}).get(id_, id_) for id_ in shared]
        found[name] = _compare(pairs, groups, (noise or {}).get(name), num_resamples, seed)
    return found


def _compare(
    pairs: Pairs, groups: Sequence[str], noise: tuple[float, float] | None, num_resamples: int, seed: int
) -> Comparison:
    places: dict[str, list[int]] = defaultdict(list)
    for place, group in enumerate(groups):
        places[group].append(place)
    members = [np.array(of_group) for of_group in places.values()]

    def measured(statistic: Callable[[Pairs], float | None]) -> Interval | None:
        def of_groups(drawn: NDArray[np.int64]) -> float | None:
            return statistic(pairs[np.concatenate([members[group] for group in drawn])])

        return bootstrap_statistic(of_groups, len(members), seed, num_resamples)

    by_score: dict[int, list[float]] = defaultdict(list)
    for one, other in pairs:
        by_score[round(float(one))].append(float(other))
    return Comparison(
        num_dialogues=len(pairs),
        shift=mean_interval((pairs[:, 1] - pairs[:, 0]).tolist(), list(groups), seed=seed),
        pearson=measured(pearson),
        spearman=measured(spearman),
        kendall=measured(kendall),
        slope=measured(lambda drawn: slope(drawn, noise)),
        intercept=measured(lambda drawn: intercept(drawn, noise)),
        calibration={score: (float(np.mean(values)), len(values)) for score, values in sorted(by_score.items())},
        valid=(float(np.quantile(pairs[:, 0], 0.1)), float(np.quantile(pairs[:, 0], 0.9))),
        noise_source="assumed equal" if noise is None else "repeats",
    )


def pearson(pairs: Pairs) -> float | None:
    """Pearson's r, None if one scorer doesn't vary."""
    centred = pairs - pairs.mean(axis=0)
    scale = float(np.sqrt((centred**2).sum(axis=0).prod()))
    return float((centred[:, 0] * centred[:, 1]).sum()) / scale if scale > 1e-12 else None


def spearman(pairs: Pairs) -> float | None:
    """Spearman's rho: Pearson's r of the ranks, average ranks for ties."""
    from scipy.stats import rankdata

    return pearson(np.asarray(rankdata(pairs, axis=0), dtype=np.float64))


def kendall(pairs: Pairs) -> float | None:
    """Kendall's tau-b, None if one scorer doesn't vary."""
    from scipy.stats import kendalltau

    tau = float(kendalltau(pairs[:, 0], pairs[:, 1]).statistic)
    return None if np.isnan(tau) else tau


def slope(pairs: Pairs, noise: tuple[float, float] | None = None) -> float | None:
    """Slope of the line between the true scores, None if the two don't agree.

    Args:
        pairs: the scores.
        noise: variance of the noise in the first's and the second's scores; None takes both for equal (Deming).
    """
    (first, shared), (_, second) = np.cov(pairs, rowvar=False, bias=True).tolist()
    if abs(shared) <= 1e-12:
        return 0.0 if second <= 1e-12 < first else None
    if noise is not None:
        true = first - noise[0]
        return shared / true if true > 0.05 * first else None
    gap = second - first
    return float((gap + np.sqrt(gap**2 + 4 * shared**2)) / (2 * shared))


def intercept(pairs: Pairs, noise: tuple[float, float] | None = None) -> float | None:
    """Intercept of that line, None as above."""
    rise = slope(pairs, noise)
    return None if rise is None else float(pairs[:, 1].mean() - rise * pairs[:, 0].mean())


def show_comparisons(comparisons: Mapping[str, Comparison], first: str, second: str) -> str:
    """Markdown tables: one line per dimension, and the calibration."""

    def cell(interval: Interval | None) -> str:
        return "-" if interval is None else f"{interval.mean:.2f} [{interval.low:.2f}, {interval.high:.2f}]"

    header = ["", "dialogues", f"{second} - {first}", "Pearson", "Spearman", "Kendall", f"{second} = a + b x {first}"]
    rows = []
    for name, found in comparisons.items():
        agreement = [cell(value) for value in (found.shift, found.pearson, found.spearman, found.kendall)]
        line = f"a = {cell(found.intercept)}, b = {cell(found.slope)}, noise {found.noise_source}"
        line += f", for means {found.valid[0]:.1f} to {found.valid[1]:.1f}"
        rows.append([name, found.num_dialogues, *agreement, line])
    values = sorted({score for found in comparisons.values() for score in found.calibration})
    means = []
    for name, found in comparisons.items():
        cells = [found.calibration.get(score) for score in values]
        shown = [f"{mean:.1f} ({count})" if count else "-" for mean, count in (cell or (0.0, 0) for cell in cells)]
        means.append([name, *shown])
    title = f"\nMean {second} score (dialogues) where {first} gave:\n"
    return "\n".join([to_table(header, rows), title, to_table(["", *values], means)])
