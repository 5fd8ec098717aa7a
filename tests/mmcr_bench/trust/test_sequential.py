"""The sequential comparison: its error rate when looked at after every topic, its power, what it leaves out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray

from mmcr_bench.judge.judgement import Judgement
from mmcr_bench.judge.rubric import NAMES
from mmcr_bench.trust.runs import Run
from mmcr_bench.trust.sequential import ALPHA, EProcess, compare_sequentially
from mmcr_dataset.record.dialogue import Dialogue
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue

NUM_TOPICS = 40


def ever_clear(differences: NDArray[np.float64]) -> int | None:
    """Topics until the evidence suffices, None if it never does."""
    evidence = EProcess()
    for number, difference in enumerate(differences, start=1):
        evidence.add(float(difference))
        if evidence.value >= 1 / ALPHA:
            return number
    return None


@pytest.mark.parametrize("kind", ["normal", "rounded", "heavy", "one_odd_topic", "mostly_zero"])
def test_equal_models_get_a_verdict_in_at_most_5_percent_looked_at_after_every_topic(kind: str) -> None:
    rng = np.random.default_rng(7)
    num_false = 0
    for _ in range(1500):
        drawn = rng.normal(0, 0.6, NUM_TOPICS)
        if kind == "rounded":
            drawn = np.round(drawn)
        elif kind == "heavy":
            drawn = rng.standard_t(2, NUM_TOPICS)
        elif kind == "one_odd_topic":
            drawn[rng.integers(NUM_TOPICS)] *= 30
        elif kind == "mostly_zero":
            drawn *= rng.random(NUM_TOPICS) < 0.2
        num_false += ever_clear(drawn) is not None
    assert num_false / 1500 <= ALPHA


def test_clear_difference_stops_early_and_a_small_one_late() -> None:
    rng = np.random.default_rng(8)
    stops = {mean: [ever_clear(rng.normal(mean, 0.5, NUM_TOPICS)) for _ in range(300)] for mean in (1.0, 0.35)}
    large, small = ([stop for stop in stops[mean] if stop is not None] for mean in (1.0, 0.35))
    assert len(large) == 300
    assert np.mean(large) < 12
    assert len(small) / 300 > 0.8
    assert np.mean(small) > np.mean(large)


class ScriptedJudge:
    name, is_offline, names = "scripted", False, NAMES

    def __init__(self, silent_on: str = "") -> None:
        self.silent_on = silent_on
        self.num_asked = 0

    def describe(self) -> dict[str, object]:
        return {"judge": self.name}

    def estimate_usd(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> float | None:
        return 0.0

    def score(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> list[Judgement]:
        self.num_asked += len(dialogues)
        return [
            Judgement(None, "timeout") if d.id == self.silent_on else Judgement(dict.fromkeys(NAMES, float(given[0])))
            for d, given in zip(dialogues, replies, strict=True)
        ]


def run_of(name: str, score: str, num_topics: int = 20, without: str = "") -> Run:
    dialogues = [
        patchwork_dialogue(f"t{topic}_{n}", [patchwork(topic)], topic=f"t{topic}")
        for topic in range(num_topics)
        for n in range(2)
    ]
    kept = tuple(dialogue for dialogue in dialogues if dialogue.id != without)
    return Run(name, kept, tuple((score,) * len(d.turns) for d in kept), {}, 0)


def test_comparison_stops_asking_and_says_what_it_saved() -> None:
    judge = ScriptedJudge()
    found = compare_sequentially(run_of("old", "5"), run_of("new", "7"), judge)
    assert found.better == "new"
    assert judge.num_asked == 2 * found.num_judged < 2 * 40
    assert f"{2 * (40 - found.num_judged)} saved" in found.show()
    assert compare_sequentially(run_of("old", "7"), run_of("new", "5"), judge).better == "old"


def test_equal_replies_are_judged_to_the_end_without_a_verdict() -> None:
    found = compare_sequentially(run_of("old", "5"), run_of("new", "5"), ScriptedJudge())
    assert (found.better, found.num_judged, found.e_value) == (None, 40, 1.0)
    assert "no verdict" in found.show()


def test_lost_dialogues_give_no_verdict_and_are_counted() -> None:
    unpaired = compare_sequentially(run_of("old", "5", without="t3_0"), run_of("new", "7"), ScriptedJudge())
    assert unpaired.better is None
    assert "1 answered by one run only" in unpaired.show()
    topics = compare_sequentially(run_of("old", "5"), run_of("new", "7"), ScriptedJudge()).num_topics
    assert topics < 20
    every = [f"t{topic}_0" for topic in range(20)]
    silent = [compare_sequentially(run_of("a", "5"), run_of("b", "7"), ScriptedJudge(name)) for name in every]
    assert any(found.num_unjudged == 1 and found.better is None for found in silent)


def test_too_few_topics_are_an_error() -> None:
    with pytest.raises(ValueError, match="share 4 topics"):
        compare_sequentially(run_of("a", "5", 4), run_of("b", "7", 4), ScriptedJudge())
