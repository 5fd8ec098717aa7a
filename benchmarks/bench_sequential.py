"""python -m benchmarks.bench_sequential: `compare --sequential` beside the comparison of everything, on the same draws.

Differences of two models on G topics of N dialogues: a topic's part and the dialogue's own, both of the kind named,
with a given share of the variance between topics. First the false verdicts where the mean difference is 0, then the
right ones and the share of judgements asked where the mean is 0.3 or 0.5 of 10 (SD of a dialogue 1, of whose variance
5 % or 20 % is between topics). `more` is what the sequential comparison adds, in points; at most 1 is the aim.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from functools import cache

import numpy as np
from numpy.typing import NDArray

from mmcr_bench.intervals import paired_difference
from mmcr_bench.trust.alpha_spending import nominal_levels
from mmcr_bench.trust.sequential import ALPHA
from mmcr_bench.trust.sequential_looks import difference_at_look, plan_looks
from mmcr_dataset.publish.markdown_table import to_table

Draw = Callable[[np.random.Generator, tuple[int, int]], NDArray[np.float64]]


def _ceiling(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
    """Scores of mean 9 and SD 2 that end at 10, less their mean."""
    scores: NDArray[np.float64] = np.minimum(10, rng.normal(9, 2, shape))
    return scores - 8.604407


def _rare(share: float) -> Draw:
    """-1 nearly always, and so much more in a few that the mean is 0; in units of the standard deviation."""

    def draw(rng: np.random.Generator, shape: tuple[int, int]) -> NDArray[np.float64]:
        found = np.where(rng.random(shape) < share, (1 - share) / share, -1.0)
        return np.asarray(found * np.sqrt(share / (1 - share)))

    return draw


KINDS: Mapping[str, Draw] = {
    "normal": lambda rng, shape: rng.normal(0, 1, shape),
    "rounded normal": lambda rng, shape: np.round(rng.normal(0, 1, shape)),
    "Student's t, 2 degrees": lambda rng, shape: rng.standard_t(2, shape),
    "exponential": lambda rng, shape: rng.exponential(1, shape) - 1,
    "lognormal": lambda rng, shape: (rng.lognormal(0, 1, shape) - np.exp(0.5)) / 2.16,
    "one in ten": _rare(0.1),
    "one in twenty": _rare(0.05),
    "ceiling": _ceiling,
}
SIZES = ((8, 15), (20, 15), (40, 15), (8, 40), (40, 5))
SHARES = (0.0, 0.2, 1.0)


def draw_differences(kind: str, size: tuple[int, int], between: float, seed: int) -> NDArray[np.float64]:
    """Differences [G, N] of a mean of 0; `between` is the share of the variance between topics."""
    rng, draw = np.random.default_rng(seed), KINDS[kind]
    of_topics, own = draw(rng, (size[0], 1)), draw(rng, size)
    return np.asarray(np.sqrt(between) * of_topics + np.sqrt(1 - between) * own)


@cache
def levels_at(ends: tuple[int, ...]) -> list[float]:
    """The levels of looks at these numbers of dialogues."""
    return nominal_levels([end / ends[-1] for end in ends], ALPHA)


def compare_both(differences: NDArray[np.float64], plan: list[list[str]]) -> tuple[int, int, float]:
    """The verdicts (-1, 0, 1) of everything and of the looks on differences [G, N], and the share that was asked."""
    num_each = differences.shape[1]
    ends = np.cumsum([len(part) for part in plan])
    order = [int(id_) for part in plan for id_ in part]
    values, topics = differences.ravel()[order].tolist(), [str(place // num_each) for place in order]
    whole = paired_difference(values, [0.0] * len(values), topics)
    levels = levels_at(tuple(ends.tolist()))
    for end, level in zip(ends, levels, strict=True):
        mean, p_value = difference_at_look(values[:end], topics[:end], bool(end < ends[-1]))
        if p_value < level:
            break
    sequential = int(np.sign(mean)) if p_value < level else 0
    return int(np.sign(whole.mean)) * whole.significant, sequential, float(end / ends[-1])


def measure(kind: str, size: tuple[int, int], between: float, effect: float, num: int) -> NDArray[np.float64]:
    """Shares of comparisons with a verdict (with an effect: a right one) by everything and by looks; share asked."""
    topic_of = {f"{place:06}": str(place // size[1]) for place in range(size[0] * size[1])}
    found = []
    for seed in range(num):
        drawn = draw_differences(kind, size, between, seed) + effect
        whole, looks, asked = compare_both(drawn, plan_looks(topic_of, seed))
        found.append((whole > 0, looks > 0, asked) if effect else (whole != 0, looks != 0, asked))
    return np.asarray(found, dtype=np.float64).mean(axis=0)


def to_summary(kind: str, rows: list[list[str]]) -> list[str]:
    """Smallest and largest share of false verdicts of a kind, and the most that the sequential comparison adds."""
    whole, looks, more = ([float(row[column]) for row in rows if row[0] == kind] for column in (3, 4, 5))
    return [kind, f"{min(whole)} to {max(whole)}", f"{min(looks)} to {max(looks)}", f"{max(more):+.1f}"]


def main() -> None:
    """Simulate and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--comparisons", type=int, default=2000)
    num = parser.parse_args().comparisons
    rows = []
    for kind in KINDS:
        for size in SIZES:
            for between in SHARES:
                whole, looks, asked = 100 * measure(kind, size, between, 0.0, num)
                cells = [f"{whole:.1f}", f"{looks:.1f}", f"{looks - whole:+.1f}", f"{asked:.0f}"]
                rows.append([kind, f"{size[0]} x {size[1]}", f"{100 * between:.0f} %", *cells])
    shown = ["kind", "topics x dialogues", "between topics", "everything", "sequential", "more", "asked %"]
    print(f"False verdicts in % of {num} comparisons of equal models\n")
    print(to_table(shown, rows))
    print(f"\nThe same, the {len(rows) // len(KINDS)} lines of each kind in one\n")
    print(to_table(["kind", "everything", "sequential", "more, at most"], [to_summary(kind, rows) for kind in KINDS]))
    rows = []
    for effect in (0.3, 0.5):
        for size in SIZES:
            for between in (0.05, 0.2):
                whole, looks, asked = 100 * measure("normal", size, between, effect, num // 4)
                cells = [f"{whole:.1f}", f"{looks:.1f}", f"{asked:.0f}"]
                rows.append([f"+{effect} of 10", f"{size[0]} x {size[1]}", f"{100 * between:.0f} %", *cells])
    print(f"\nRight verdicts in % of {num // 4} comparisons, SD of a dialogue 1\n")
    print(to_table(["difference", *shown[1:3], "everything", "sequential", "asked %"], rows))


if __name__ == "__main__":
    main()
