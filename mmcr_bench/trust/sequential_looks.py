"""Looks of a sequential comparison: where they are, what each one tests, and the record of those taken.

Each part takes its share of the dialogues of every topic, so that all topics are known at the first look: with some of
the topics, rare ones that differ strongly would be missed. Early looks need MIN_EARLY dialogues, and their verdict must
stand against one more dialogue that differs as far as the farthest one and the other way: t tests of few skewed
differences call too much significant.
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from mmcr_bench.intervals import clustered_t
from mmcr_bench.judge.judgement import Judge
from mmcr_bench.trust.runs import Run
from mmcr_dataset.stage.stages import read_jsonl

NUM_LOOKS = 5
MIN_EARLY = 100  # dialogues of each run, and topics where not all are in


@dataclass(frozen=True, slots=True)
class Look:
    """A look at the evidence.

    Attributes:
        number: 1 for the first.
        num_judged: dialogues judged so far, of each run.
        difference: mean of the overall score, B minus A, on the scale of 10.
        p_value: two-sided, of the clustered t; at an early look against one more dialogue.
        level: the p-value below which there is a verdict.
    """

    number: int
    num_judged: int
    difference: float
    p_value: float
    level: float

    @property
    def is_clear(self) -> bool:
        """Whether the verdict is clear."""
        return self.p_value < self.level


def plan_looks(topic_of: Mapping[str, str], seed: int) -> list[list[str]]:
    """The ids that are added at each look: the same share of every topic, in a random order; the last look is at all.

    Args:
        topic_of: topic of each dialogue by id.
        seed: seed of the order.
    """
    topics: dict[str, list[str]] = {}
    for id_, topic in sorted(topic_of.items()):
        topics.setdefault(topic, []).append(id_)
    rng = random.Random(seed)  # noqa: S311  (not for secrets)
    placed: list[tuple[float, str, str]] = []
    for topic in sorted(topics):
        ids, offset = topics[topic], rng.random()
        rng.shuffle(ids)
        placed += [((place + offset) / len(ids), topic, id_) for place, id_ in enumerate(ids)]
    placed.sort()
    ends = []
    for number in range(1, NUM_LOOKS):
        seen = [topic for place, topic, _ in placed if place < number / NUM_LOOKS]
        if MIN_EARLY <= len(seen) < len(placed) and len(set(seen)) >= min(MIN_EARLY, len(topics)):
            ends.append(len(seen))
    ends.append(len(placed))
    return [[id_ for _, _, id_ in placed[a:b]] for a, b in zip([0, *ends[:-1]], ends, strict=True)]


def difference_at_look(differences: Sequence[float], topics: Sequence[str], is_early: bool) -> tuple[float, float]:
    """Mean difference and two-sided p-value; at an early look the larger one with and without a dialogue against it."""
    found = clustered_t(differences, topics)
    if not is_early or found.mean == 0:
        return found.mean, found.p_value
    against = max(map(abs, differences)) * (-1 if found.mean > 0 else 1)
    guarded = clustered_t([*differences, against], [*topics, "\x00"])
    stands = guarded.mean * found.mean > 0
    return found.mean, max(found.p_value, guarded.p_value) if stands else 1.0


class LookRecord:
    """The looks taken of one comparison in a file of several: a resumed or repeated one can't look more often."""

    def __init__(self, path: Path | None, run_a: Run, run_b: Run, judge: Judge, seed: int) -> None:
        self.path, self.seed = path, seed
        self.first, second = (
            _hash_of(sorted(zip((d.id for d in run.dialogues), run.replies, strict=True))) for run in (run_a, run_b)
        )
        self.comparison = _hash_of([judge.describe(), sorted((self.first, second))])

    def read(self) -> list[Look]:
        """The looks taken, whichever run was named first.

        Raises:
            ValueError: they were taken in another order of dialogues, or a line can't be read.
        """
        if self.path is None or not self.path.is_file():
            return []
        looks = []
        for number, line in enumerate(
            read_jsonl(self.path, "remove the line if a run was killed there, else restore it"), start=1
        ):
            if line.get("comparison") != self.comparison:
                continue
            if line.get("seed") != self.seed:
                raise ValueError(
                    f"{self.path} line {number}: this comparison was begun with --seed {line.get('seed')}; go on with "
                    "it: more looks in another order would give more false verdicts"
                )
            try:
                look = Look(**line["look"])
                sign = 1 if line["first"] == self.first else -1
                looks.append(replace(look, difference=sign * look.difference))
            except (KeyError, TypeError) as error:
                raise ValueError(f"{self.path} line {number}: not a look ({error!r}); restore the file") from error
        return looks

    def add(self, look: Look) -> None:
        """Store a look before anything is said about it."""
        if self.path is not None:
            line = {"comparison": self.comparison, "first": self.first, "seed": self.seed, "look": asdict(look)}
            with self.path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")


def _hash_of(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode("utf-8", "surrogatepass")).hexdigest()
