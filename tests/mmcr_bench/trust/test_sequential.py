"""The sequential comparison: levels of the looks, error rate and power, what it saves, records and leaves out."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import norm

from benchmarks.bench_sequential import KINDS, measure
from eval_tasks.__main__ import main
from mmcr_bench.judge.judgement import Judgement
from mmcr_bench.judge.rubric import NAMES
from mmcr_bench.trust.alpha_spending import nominal_levels
from mmcr_bench.trust.runs import Run
from mmcr_bench.trust.sequential import SequentialResult, compare_sequentially
from mmcr_bench.trust.sequential_looks import MIN_EARLY, difference_at_look, plan_looks
from mmcr_dataset.record.dialogue import Dialogue, to_json
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue
from tests.mmcr_bench.trust.test_judge_trust import verdict


def test_levels_are_the_published_boundaries_of_lan_and_demets() -> None:
    of_four = [float(norm.isf(level / 2)) for level in nominal_levels([0.25, 0.5, 0.75, 1], 0.05)]
    assert of_four == pytest.approx([4.333, 2.963, 2.359, 2.014], abs=1e-3)
    of_five = [float(norm.isf(level / 2)) for level in nominal_levels([0.2, 0.4, 0.6, 0.8, 1], 0.05)]
    assert of_five == pytest.approx([4.877, 3.357, 2.680, 2.290, 2.031], abs=1e-3)
    assert nominal_levels([1], 0.05) == pytest.approx([0.05])
    with pytest.raises(ValueError, match="increasing shares"):
        nominal_levels([0.5, 0.5, 1], 0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_false_verdicts_are_those_of_everything_and_a_point_more_at_most(kind: str) -> None:
    for size, between in (((40, 15), 0.0), ((20, 15), 0.2), ((40, 5), 1.0)):
        whole, looks, asked = measure(kind, size, between, 0.0, 300)
        assert looks <= whole + 0.01, (size, between)
        assert asked > 0.9


def test_power_is_kept_and_judgements_are_saved() -> None:
    whole, looks, asked = measure("normal", (40, 15), 0.05, 0.5, 100)
    assert (whole, looks) == (1, 1)
    assert asked < 0.5
    whole, looks, asked = measure("normal", (20, 15), 0.2, 0.3, 200)
    assert whole - 0.06 < looks < 1
    assert 0.6 < asked < 0.95


def test_each_look_has_the_same_share_of_every_topic_and_no_early_one_is_small() -> None:
    topic_of = {f"{topic}_{n}": f"t{topic}" for topic in range(40) for n in range(15)}
    parts = plan_looks(topic_of, seed=3)
    assert [len(part) for part in parts] == [120] * 5
    assert all(sum(topic_of[id_] == topic for id_ in part) == 3 for part in parts for topic in set(topic_of.values()))
    assert sorted(id_ for part in parts for id_ in part) == sorted(topic_of)
    assert parts != plan_looks(topic_of, seed=4)
    of_one = {str(n): str(n) for n in range(99)}  # a part of them would lack topics
    assert len(plan_looks(of_one, 0)) == 1
    uneven = {f"{topic}_{n}": f"t{topic}" for topic in range(30) for n in range(1 + topic)}
    sizes = [len(part) for part in plan_looks(uneven, 0)]
    assert sum(sizes) == 465
    assert sizes[0] >= MIN_EARLY


def test_early_verdict_must_stand_against_one_dialogue_more() -> None:
    topics = [str(n % 20) for n in range(120)]
    even = np.random.default_rng(1).normal(0.5, 1, 120).tolist()
    late, early = (difference_at_look(even, topics, is_early) for is_early in (False, True))
    assert early[0] == late[0] == pytest.approx(np.mean(even))
    assert late[1] < early[1] < 0.01
    just_above_0 = [0.1, -0.1] * 59 + [0.5, 0.3]
    assert difference_at_look(just_above_0, topics, is_early=False)[1] < 1
    assert difference_at_look(just_above_0, topics, is_early=True)[1] > 0.5
    assert difference_at_look([0.0] * 120, topics, is_early=True) == (0.0, 1.0)


class ScriptedJudge:
    name, is_offline, names = "scripted", False, NAMES

    def __init__(self, *silent_on: tuple[str, str], name: str = "scripted") -> None:
        self.silent_on, self.name = silent_on, name
        self.num_asked = 0

    def describe(self) -> dict[str, object]:
        return {"judge": self.name}

    def estimate_usd(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> float | None:
        return 0.0

    def score(self, dialogues: Sequence[Dialogue], replies: Sequence[Sequence[str]]) -> list[Judgement]:
        self.num_asked += len(dialogues)
        return [
            Judgement(None, "timeout")
            if (d.id, given[0]) in self.silent_on
            else Judgement(dict.fromkeys(NAMES, float(given[0])))
            for d, given in zip(dialogues, replies, strict=True)
        ]


IMAGE = patchwork(1)
DIALOGUES = [patchwork_dialogue(f"t{topic}_{n}", [IMAGE], topic=f"t{topic}") for topic in range(20) for n in range(15)]


def run_of(name: str, score: str, num: int = 300, without: str = "") -> Run:
    kept = tuple(dialogue for dialogue in DIALOGUES[:num] if dialogue.id != without)
    return Run(name, kept, tuple((score,) * len(d.turns) for d in kept), {}, 0)


def test_comparison_stops_asking_and_says_what_it_saved() -> None:
    judge = ScriptedJudge()
    found = compare_sequentially(run_of("old", "5"), run_of("new", "7"), judge)
    assert (found.better, found.num_asked, found.planned) == ("new", 120, (120, 180, 240, 300))
    assert judge.num_asked == 240
    assert "asked for 240 of 600 judgements, 360 saved (60%)" in found.show()
    assert "new is better: overall +2.00 of 10 (new minus old)" in found.show()
    assert compare_sequentially(run_of("old", "7"), run_of("new", "5"), judge).better == "old"


def test_equal_replies_are_judged_to_the_end_without_a_verdict() -> None:
    found = compare_sequentially(run_of("old", "5"), run_of("new", "5"), ScriptedJudge())
    assert (found.better, found.num_asked, [look.p_value for look in found.looks]) == (None, 300, [1.0] * 4)
    assert "no verdict" in found.show()


def test_small_bench_is_judged_whole_and_says_why() -> None:
    found = compare_sequentially(run_of("old", "5", 90), run_of("new", "7", 90), ScriptedJudge())
    assert (found.better, found.num_asked) == ("new", 90)
    assert "No early look: it needs 100 dialogues" in found.show()


def test_looks_are_recorded_and_never_taken_twice(tmp_path: Path) -> None:
    record = tmp_path / "ledger.looks.jsonl"
    equal = (run_of("old", "5"), run_of("new", "5"))
    compare_sequentially(*equal, ScriptedJudge(), record=record)
    lines = record.read_text().splitlines()
    assert [json.loads(line)["look"]["number"] for line in lines] == [1, 2, 3, 4]
    again = ScriptedJudge()
    assert compare_sequentially(*equal, again, record=record).better is None
    assert again.num_asked == 0
    record.write_text("\n".join(lines[:2]) + "\n")  # killed after the second look
    assert len(compare_sequentially(*equal, again, record=record).looks) == 4
    assert record.read_text().splitlines() == lines
    with pytest.raises(ValueError, match="begun with --seed 0"):
        compare_sequentially(*equal, again, seed=1, record=record)
    other_judge = compare_sequentially(*equal, ScriptedJudge(name="other"), seed=1, record=record)
    assert len(other_judge.looks) == 4


def test_recorded_verdict_holds_whichever_run_is_named_first(tmp_path: Path) -> None:
    record, judge = tmp_path / "ledger.looks.jsonl", ScriptedJudge()
    old, new = run_of("old", "5"), run_of("new", "7")
    first = compare_sequentially(old, new, judge, record=record)
    swapped = compare_sequentially(new, old, judge, record=record)
    assert judge.num_asked == 240
    assert (first.better, swapped.better, swapped.looks[-1].difference) == ("new", "new", -2.0)


def lost(*silent_on: tuple[str, str]) -> SequentialResult:
    return compare_sequentially(run_of("old", "5"), run_of("new", "7"), ScriptedJudge(*silent_on))


def test_lost_dialogues_give_no_verdict_and_are_counted(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"1 dialogues are answered by one run only, 't3_0'"):
        compare_sequentially(run_of("old", "5", without="t3_0"), run_of("new", "7"), ScriptedJudge())
    in_first_part = plan_looks({d.id: d.topic or "" for d in DIALOGUES}, 0)[0][0]
    apart = lost((in_first_part, "7"))
    assert (apart.better, apart.lost_apart, apart.looks) == (None, 1, ())
    assert "1 dialogues with a verdict in one run only" in apart.show()
    both = lost((in_first_part, "5"), (in_first_part, "7"))
    assert (both.better, both.lost_in_both) == ("new", 1)
    assert "1 dialogues without a verdict in both runs count as equal" in both.show()
    with pytest.raises(ValueError, match="no verdict on 240 dialogues"):
        lost(*((d.id, score) for d in DIALOGUES for score in "57"))


def test_too_few_topics_are_an_error() -> None:
    with pytest.raises(ValueError, match="share 4 topics"):
        compare_sequentially(run_of("a", "5", 60), run_of("b", "7", 60), ScriptedJudge())


def test_command_stops_early_and_repeats_its_verdict_without_asking(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dialogues = [patchwork_dialogue(f"t{n % 8}_{n}", [IMAGE], topic=f"t{n % 8}") for n in range(160)]
    for name in ("old", "new"):
        (tmp_path / name).mkdir()
        lines = [
            {"task": "mmcr_bench", "dialogue": to_json(d), "replies": [f"by {name}"] * 4, "points": {}}
            for d in dialogues
        ]
        (tmp_path / name / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    with FakeChatServer(lambda request: verdict(8 if "by new" in json.dumps(request) else 5)) as server:
        judge = ["--judge", f"api:{server.base_url}#fake", "--ledger", str(tmp_path / "ledger.sqlite3")]
        asked = ["compare", str(tmp_path / "old"), str(tmp_path / "new"), "--sequential", *judge]
        assert main(asked) == 0
        assert len(server.requests) == 2 * 128
        first = capsys.readouterr().out
        (tmp_path / "ledger.sqlite3").unlink()
        assert main(asked) == 0
        assert len(server.requests) == 2 * 128
        (tmp_path / "other").mkdir()
        shutil.copytree(tmp_path / "new", tmp_path / "other" / "old")
        same_name = [*asked[:2], str(tmp_path / "other" / "old"), *asked[3:]]
        second = capsys.readouterr().out
        assert main(same_name) == 0
        assert f"{tmp_path / 'other' / 'old'} is better" in capsys.readouterr().out
    assert second == first
    assert "new is better: overall +3.00 of 10" in first
    assert "64 saved (20%)" in first
