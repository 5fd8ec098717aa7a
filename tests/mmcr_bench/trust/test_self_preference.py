"""Judges that favour their own family, and judges that don't, with a family that is simply better."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks.bench_self_preference import simulate_study
from mmcr_bench.__main__ import main
from mmcr_bench.judge.judge import open_judge
from mmcr_bench.trust.runs import read_run
from mmcr_bench.trust.self_preference import Member, Study, study_self_preference
from mmcr_dataset.record.dialogue import to_json
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue
from tests.mmcr_bench.trust.test_judge_trust import verdict

QUALITY = {"ape": 4, "bee": 6}  # bee's replies are better, whoever judges


def write_run(folder: Path, model: str, count: int = 12) -> Path:
    folder.mkdir()
    lines = []
    for number in range(count):
        dialogue = patchwork_dialogue(f"d{number}", [patchwork(number)])
        replies = [f"{model} says grey {number}."] * 4
        lines.append(
            {"task": "mmcr_bench", "id": dialogue.id, "replies": replies, "points": {}}
            | {"dialogue": to_json(dialogue)}
        )
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def scores_with(bonus: dict[str, int]) -> Any:
    """A server whose judge of a family gives that family's replies a bonus, on top of quality and scatter."""

    def answer(request: dict[str, Any]) -> str:
        content, judge = request["messages"][1]["content"], request["model"]
        model = "ape" if "ape says" in content else "bee"
        scatter = hashlib.sha256(f"{judge}{content}".encode()).digest()[0] % 3 - 1
        return verdict(QUALITY[model] + scatter + (bonus.get(judge, 0) if judge == model else 0))

    return answer


def study(tmp_path: Path, bonus: dict[str, int]) -> Study:
    runs = {Member(name, name): read_run(write_run(tmp_path / name, name)) for name in QUALITY}
    with FakeChatServer(scores_with(bonus)) as server:
        judges = {
            Member(name, name): open_judge(f"api:{server.base_url}#{name}", tmp_path / "ledger")
            for name in ("ape", "bee", "cat")
        }
        return study_self_preference(runs, judges)


def test_better_family_is_no_preference(tmp_path: Path) -> None:
    found = study(tmp_path, {})
    assert (
        found.means[Member("cat", "cat")][Member("bee", "bee")]
        > found.means[Member("cat", "cat")][Member("ape", "ape")]
    )
    assert [bias.judge.family for bias in found.biases] == ["ape", "bee"]
    assert all(bias.corrected_p > 0.05 for bias in found.biases)
    assert "0 of 2 models are of its family cat" in found.skipped["cat"]


def test_preference_for_the_own_family_is_measured(tmp_path: Path) -> None:
    found = study(tmp_path, {"ape": 2})
    ape, bee = found.biases
    assert ape.difference.low > 0
    assert ape.difference.mean == pytest.approx(17, abs=6)  # 12 dialogues shrink it
    assert ape.corrected_p < 0.05
    assert ape.num_dialogues == 12
    assert abs(bee.difference.mean) < 6  # ape, who is biased against bee, is not its measure


def test_command_prints_the_table(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folders = {name: write_run(tmp_path / name, name) for name in QUALITY}
    with FakeChatServer(scores_with({"ape": 3})) as server:
        arguments = ["self-preference", "--generator", "bee", "--ledger", str(tmp_path / "ledger")]
        for name, folder in folders.items():
            arguments += ["--run", f"{name}={folder}", "--judge", f"{name}=api:{server.base_url}#{name}"]
        arguments += ["--judge", f"cat=api:{server.base_url}#cat"]
        assert main(arguments) == 0
        num_asked = len(server.requests)
        assert main(arguments) == 0
        assert len(server.requests) == num_asked == 72
    shown = capsys.readouterr().out
    assert "bee (bee*)" in shown
    assert "significant" in shown
    assert "family bee wrote the references" in shown


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["--run", "ape", "--judge", "ape=offline"], "expected FAMILY="),
        (["--run", "ape=missing", "--judge", "ape=offline"], "no finished run"),
    ],
)
def test_mistakes_are_named(arguments: list[str], part: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["self-preference", *arguments]) == 2
    assert part in capsys.readouterr().err


def test_study_needs_two_of_each_and_real_judges(tmp_path: Path) -> None:
    run = read_run(write_run(tmp_path / "ape", "ape", count=2))
    offline = open_judge("offline")
    with pytest.raises(ValueError, match="at least two"):
        study_self_preference({Member("a", "a"): run}, {Member("a", "a"): offline})
    with pytest.raises(ValueError, match="no rubric"):
        study_self_preference(
            {Member("a", "a"): run, Member("b", "b"): run}, {Member("a", "a"): offline, Member("b", "b"): offline}
        )


@pytest.mark.parametrize(
    "how",
    [
        {"gap": 0.0, "bonus": 0.5},
        {"gap": 1.0, "scale": 1.3},
        {"gap": 1.0, "noise": 2.0},
        {"gap": 1.0, "shift": 3.0},
        {"gap": -2.0, "shift": -2.0},
        {"num": 120, "num_topics": 8, "bonus": 0.5},
    ],
    ids=["biased", "wide", "noisy", "ceiling", "floor", "8 topics"],
)
def test_innocent_judges_are_blamed_in_at_most_five_percent_of_studies(how: dict[str, Any]) -> None:
    num_blamed = 0
    for seed in range(20):
        found = simulate_study(seed, **how)
        fair = [bias for bias in found.biases if not (how.get("bonus") and bias.judge.family == "a")]
        num_blamed += any(bias.corrected_p < 0.05 for bias in fair)
    assert num_blamed <= 4  # of 20 at 5 %: 4 or fewer in 99.7 % of draws


def test_planted_preference_is_found_and_its_size_is_right() -> None:
    found = [simulate_study(seed, bonus=0.5).biases[0] for seed in range(10)]
    assert all(bias.corrected_p < 0.05 for bias in found)
    assert np.mean([bias.difference.mean for bias in found]) == pytest.approx(5, abs=1)
    assert all(1 < bias.difference.detectable < 4 for bias in found)
