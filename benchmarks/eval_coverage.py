"""Coverage of our 95 % intervals on simulated benches: python -m benchmarks.eval_coverage [--num_benches 1000].

A bench has G topics of 15 dialogues; a dialogue's score is its topic's shift plus its own noise, with an intraclass
correlation of 0.05, as large as that of judged dialogues. Nominal and measured coverage of `mean_interval`, of the
percentile bootstrap by topic and of an interval that ignores topics; and how often `paired_difference` calls nothing
significant (nominal 5 %). No verdict counts as not significant.
"""

from __future__ import annotations

import argparse

import numpy as np
from numpy.typing import NDArray

from mmcr_bench.intervals import mean_interval, paired_difference
from mmcr_dataset.publish.markdown_table import to_table

NUM_DIALOGUES = 15  # of a topic
TOPIC_SD, NOISE_SD = 0.22, 0.97  # intraclass correlation 0.05
KINDS = ("equal", "unequal sizes", "skewed")


def draw_bench(num_topics: int, kind: str, seed: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Scores [N] with a true mean of 0, and the topic of each [N]."""
    rng = np.random.default_rng(seed)
    sizes = np.full(num_topics, NUM_DIALOGUES)
    if kind == "unequal sizes":
        sizes = rng.integers(3, 2 * NUM_DIALOGUES - 2, num_topics)
    topics = np.repeat(np.arange(num_topics), sizes)
    shifts = rng.normal(0, TOPIC_SD, num_topics)
    if kind == "skewed":
        shifts = TOPIC_SD * (rng.exponential(1, num_topics) - 1)
    scores: NDArray[np.float64] = shifts[topics] + rng.normal(0, NOISE_SD, len(topics))
    return scores, topics


def bootstrap_by_topic(scores: NDArray[np.float64], topics: NDArray[np.int64], seed: int) -> tuple[float, float]:
    """The percentile bootstrap of whole topics, whatever their number."""
    sums, counts = np.bincount(topics, weights=scores), np.bincount(topics)
    drawn = np.random.default_rng(seed).integers(len(sums), size=(1000, len(sums)))
    low, high = np.quantile(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1), [0.025, 0.975])
    return float(low), float(high)


def to_row(num_topics: int, kind: str, num_benches: int) -> list[str]:
    """Shares in percent of benches whose interval covers the true mean, and of false verdicts."""
    hits = np.zeros((4, num_benches))
    for seed in range(num_benches):
        scores, topics = draw_bench(num_topics, kind, seed)
        ours = mean_interval(scores.tolist(), topics.tolist(), seed, 1000)
        low, high = bootstrap_by_topic(scores, topics, seed)
        half = 1.96 * scores.std(ddof=1) / np.sqrt(len(scores))
        found = paired_difference(scores.tolist(), [0.0] * len(scores), topics.tolist(), seed, 1000)
        hits[:, seed] = ours.low <= 0 <= ours.high, low <= 0 <= high, abs(scores.mean()) <= half, found.significant
    return [str(num_topics), kind, *(f"{100 * share:.1f}" for share in hits.mean(axis=1))]


def main() -> None:
    """Simulate and print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--num_benches", type=int, default=1000)
    parser.add_argument("--topics", type=int, nargs="+", default=[5, 6, 10, 20, 40, 60])
    args = parser.parse_args()
    rows = [to_row(topics, "equal", args.num_benches) for topics in args.topics]
    rows += [to_row(max(args.topics), kind, args.num_benches) for kind in KINDS[1:]]
    header = ["topics", "kind", "ours", "bootstrap by topic", "without topics", "false verdicts"]
    print("Coverage of nominal 95 % intervals, in percent; false verdicts: nominal 5 %\n")
    print(to_table(header, rows))


if __name__ == "__main__":
    main()
