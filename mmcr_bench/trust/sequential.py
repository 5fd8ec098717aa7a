"""Compare two models with a judge that is asked no longer than needed, with an error rate that holds at every stop.

Topics are judged one after another in a random order. For their mean differences d (B minus A) the e-process is the
mean over g of the products of exp(x) / cosh(x), x = g * d / s, s the root mean square of d so far. Where both models
are equally good, a sign is as likely as the other whatever the size of d. So each product is a martingale and exceeds
1 / alpha with a probability of at most alpha, looked at after every topic (Ville's inequality).
Differences that are skewed with a mean of 0 are not covered: the bound is for models that are interchangeable.
"""

from __future__ import annotations

import math
import random
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from statistics import fmean

from mmcr_bench.intervals import MIN_CLUSTERS
from mmcr_bench.judge.judgement import Judge
from mmcr_bench.trust.runs import Run
from mmcr_dataset.record.dialogue import Dialogue

ALPHA = 0.05
BETS = (0.25, 0.5, 1.0, 2.0)  # |g|: for small effects that need many topics, and for large ones

Replies = tuple[str, ...]


class EProcess:
    """Evidence against equal models; `value` may be compared with 1 / alpha after any number of differences."""

    def __init__(self) -> None:
        self._logs = dict.fromkeys([sign * bet for bet in BETS for sign in (-1, 1)], 0.0)
        self._squares = 0.0
        self.num_seen = 0

    def add(self, difference: float) -> None:
        """The next topic's mean difference; 0 tells nothing."""
        self.num_seen += 1
        self._squares += difference * difference
        if difference == 0:
            return
        size = math.sqrt(self._squares / self.num_seen)
        for bet in self._logs:
            x = bet * difference / size
            self._logs[bet] += x - (abs(x) + math.log1p(math.exp(-2 * abs(x))) - math.log(2))

    @property
    def value(self) -> float:
        """The e-value, 1 before the first difference."""
        top = max(self._logs.values())
        return math.exp(min(top, 700.0)) * fmean(math.exp(one - top) for one in self._logs.values())


@dataclass(frozen=True, slots=True)
class SequentialResult:
    """Result of a sequential comparison.

    Attributes:
        name_a: run A.
        name_b: run B.
        num_topics: topics judged.
        all_topics: topics there are.
        num_judged: dialogues judged, of each run.
        all_dialogues: dialogues that both runs have answered.
        difference: mean over the judged topics, B minus A, on the scale of 10.
        e_value: evidence at the stop.
        num_unjudged: dialogues judged in one run only, or in none: left out.
        num_unpaired: dialogues that only one run has answered: left out.
    """

    name_a: str
    name_b: str
    num_topics: int
    all_topics: int
    num_judged: int
    all_dialogues: int
    difference: float
    e_value: float
    num_unjudged: int
    num_unpaired: int

    @property
    def better(self) -> str | None:
        """The better run, None where the evidence doesn't decide or the runs have lost different dialogues."""
        if self.e_value < 1 / ALPHA or self.num_unpaired or self.num_unjudged:
            return None
        return self.name_b if self.difference > 0 else self.name_a

    def show(self) -> str:
        """Verdict, evidence, what was saved, and what was left out."""
        saved = self.all_dialogues - self.num_judged
        verdict = f"{self.better} is better" if self.better else "no verdict"
        lines = [
            f"{verdict}: overall {self.difference:+.2f} of 10 ({self.name_b} minus {self.name_a}) over "
            f"{self.num_topics} of {self.all_topics} topics, e-value {self.e_value:.3g} (needed {1 / ALPHA:.0f}: at "
            f"most {ALPHA:.0%} false verdicts on interchangeable models, at any stop; not for skewed differences)",
            f"asked for {2 * self.num_judged} of {2 * self.all_dialogues} judgements, {2 * saved} saved "
            f"({saved / self.all_dialogues:.0%})",
            "The difference at an early stop is too large on average; judge everything for a number to report.",
        ]
        lost = self.num_unjudged + self.num_unpaired
        if lost:
            lines.append(
                f"left out: {self.num_unjudged} dialogues without both verdicts, {self.num_unpaired} answered by one "
                "run only. The runs have lost different samples, so there is no verdict; run or score them again"
            )
        return "\n".join(lines)


def compare_sequentially(run_a: Run, run_b: Run, judge: Judge, seed: int = 0) -> SequentialResult:
    """Judge topic by topic until the verdict is clear or nothing is left.

    Raises:
        ValueError: fewer than MIN_CLUSTERS topics (or dialogues, where there are no topics) are shared, the runs were
            asked different questions, or the judge gives no overall score.
    """
    if "overall" not in judge.names:
        raise ValueError(f"judge {judge.name} gives no overall score; name an api: judge")
    of_a, of_b = _by_id(run_a), _by_id(run_b)
    shared = sorted(of_a.keys() & of_b.keys())
    changed = [id_ for id_ in shared if of_a[id_][0].turns != of_b[id_][0].turns]
    if changed:
        raise ValueError(f"{run_a.name} and {run_b.name}: {len(changed)} dialogues differ, {changed[0]!r} for example")
    topics: dict[str, list[str]] = {}
    for id_ in shared:
        topics.setdefault(of_a[id_][0].topic or id_, []).append(id_)
    if len(topics) < MIN_CLUSTERS:
        raise ValueError(
            f"{run_a.name} and {run_b.name} share {len(topics)} topics, expected at least {MIN_CLUSTERS}; compare "
            "without --sequential"
        )
    order = sorted(topics)
    random.Random(seed).shuffle(order)  # noqa: S311  (not for secrets)
    evidence, means, num_judged, num_unjudged = EProcess(), list[float](), 0, 0
    for topic in order:
        differences = _judge_topic(judge, [of_a[id_] for id_ in topics[topic]], [of_b[id_] for id_ in topics[topic]])
        given = [difference for difference in differences if difference is not None]
        num_judged += len(differences)
        num_unjudged += len(differences) - len(given)
        if given:
            means.append(fmean(given))
            evidence.add(means[-1])
        if evidence.value >= 1 / ALPHA:
            break
    if not means:
        raise ValueError(f"judge {judge.name} gave no verdict on any of {num_judged} dialogues; is its endpoint right?")
    unpaired = len(of_a.keys() ^ of_b.keys())
    size = (len(means), len(topics), num_judged, len(shared))
    return SequentialResult(run_a.name, run_b.name, *size, fmean(means), evidence.value, num_unjudged, unpaired)


def _by_id(run: Run) -> Mapping[str, tuple[Dialogue, Replies]]:
    return {dialogue.id: (dialogue, given) for dialogue, given in zip(run.dialogues, run.replies, strict=True)}


def _judge_topic(
    judge: Judge, of_a: Iterable[tuple[Dialogue, Replies]], of_b: Iterable[tuple[Dialogue, Replies]]
) -> list[float | None]:
    """Overall of B minus overall of A by dialogue, None where a verdict is missing; both are asked at once."""
    asked = [*of_a, *of_b]
    found = judge.score([dialogue for dialogue, _ in asked], [given for _, given in asked])
    overall = [None if one.scores is None else one.scores.get("overall") for one in found]
    half = len(asked) // 2
    return [None if a is None or b is None else b - a for a, b in zip(overall[:half], overall[half:], strict=True)]
