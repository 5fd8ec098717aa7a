"""python -m benchmarks.bench_self_preference: whom a study of self-preference blames, and what it finds.

Three families, one model and one judge each. Judge `a` differs from the other two as the row says; where it "favours"
it adds points for its own family, else all three judges are fair. `blamed` counts the studies in which the bias of any
fair judge is significant after Holm's correction: 5 in 100 at most should be.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mmcr_bench.judge.judgement import Judgement
from mmcr_bench.judge.rubric import NAMES
from mmcr_bench.trust.self_preference import SIGNIFICANT, Member, Study, study_self_preference
from mmcr_dataset.publish.markdown_table import to_table

SCENARIOS: dict[str, dict[str, float]] = {
    "all alike": {},
    "favours its family": {"bonus": 0.5},
    "wide scale, better family": {"scale": 1.6, "gap": 0.8},
    "narrow scale, better family": {"scale": 0.6, "gap": 0.8},
    "at the ceiling, favours": {"shift": 2.5, "gap": 0.5, "bonus": 1.0},
    "at the floor, better family": {"shift": -3.0, "gap": 0.8},
    "noisy, better family": {"noise": 2.0, "gap": 0.8},
    "even numbers only, wide": {"step": 2.0, "scale": 1.4, "gap": 0.8},
    "skewed quality, wide": {"skew": 1.0, "scale": 1.5, "gap": 0.8},
    "models differ by topic": {"topic_sd": 0.7, "gap": 0.5},
    "8 topics, wide": {"num_topics": 8, "scale": 1.6, "gap": 0.8},
    "8 topics of 15, favours": {"num": 120, "num_topics": 8, "bonus": 0.5},
    "100 dialogues, wide": {"num": 100, "num_topics": 20, "scale": 1.6, "gap": 0.8},
}


class SimulatedJudge:
    """A judge of a family: the worth of a reply on its own scale, with noise, and a bonus for its own family."""

    is_offline = False

    def __init__(
        self,
        family: str,
        worth: Mapping[str, NDArray[np.float64]],
        rng: np.random.Generator,
        how: Mapping[str, float],
    ) -> None:
        self.family, self.name, self.worth, self.rng, self.how = family, f"judge {family}", worth, rng, how

    def score(self, dialogues: Any, replies: Any) -> list[Judgement]:
        """Scores 1..10 of the replies, whose text is their family."""
        family, how = replies[0][0], self.how
        worth = 6 + how.get("scale", 1.0) * (self.worth[family] - 6) + how.get("shift", 0.0)
        worth = worth + (how.get("bonus", 0.0) if family == self.family else 0.0)
        noisy = worth + self.rng.normal(0, how.get("noise", 1.0), len(dialogues))
        step = how.get("step", 1.0)
        scores = np.clip(step * np.round(noisy / step), 1, 10)
        return [Judgement(dict.fromkeys(NAMES, float(value))) for value in scores]


def simulate_study(seed: int, num: float = 600, num_topics: float = 40, gap: float = 0.0, **how: float) -> Study:
    """A study of `num` dialogues; the model of family `a` is better by `gap`, its judge differs in `how`."""
    rng, count = np.random.default_rng(seed), int(num)
    topics = np.arange(count) % int(num_topics)
    dialogues = [SimpleNamespace(id=str(n), topic=f"t{topic}") for n, topic in enumerate(topics)]
    worth = {}
    for family in "abc":
        scatter = 1 - rng.exponential(1, count) if how.get("skew") else rng.normal(0, 1, count)
        by_topic = how.get("topic_sd", 0.0) * rng.normal(0, 1, int(num_topics))
        worth[family] = 6 + (gap if family == "a" else 0) + scatter + by_topic[topics]
    runs: Any = {Member(f, f"m{f}"): SimpleNamespace(dialogues=dialogues, replies=[(f,)] * count) for f in "abc"}
    judges: Any = {Member(f, f"j{f}"): SimulatedJudge(f, worth, rng, how if f == "a" else {}) for f in "abc"}
    return study_self_preference(runs, judges)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--studies", type=int, default=500)
    num = parser.parse_args().studies
    rows = []
    for place, (name, how) in enumerate(SCENARIOS.items()):
        studies = [simulate_study(place * num + number, **how) for number in range(num)]
        blamed = found = 0
        for study in studies:
            told = {bias.judge.family for bias in study.biases if bias.corrected_p < SIGNIFICANT}
            blamed += bool(told - ({"a"} if "bonus" in how else set()))
            found += "a" in told
        error = 100 * math.sqrt(blamed * (num - blamed) / num) / num
        favours = f"{100 * found / num:.1f} %" if "bonus" in how else ""
        means = [
            np.mean([bias.difference.mean for bias in study.biases if bias.judge.family == "a"]) for study in studies
        ]
        rows.append([name, f"{100 * blamed / num:.1f} % (SE {error:.1f})", favours, f"{np.mean(means):+.1f}"])
    print(to_table(["judge a", "blamed", "found", "judge a's bias, mean of 100"], rows))


if __name__ == "__main__":
    main()
