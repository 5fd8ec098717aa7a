"""Drift: the judge is asked anew in every check, and a shift beyond the limits is found."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from mmcr_bench.__main__ import main
from mmcr_bench.judge.rubric import NAMES
from mmcr_bench.trust.drift import Check, measure_shift, read_history
from mmcr_dataset.record.dialogue import to_json
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue
from tests.mmcr_bench.trust.test_judge_trust import verdict


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "anchors"
    folder.mkdir()
    lines = [
        {
            "task": "mmcr_bench",
            "dialogue": to_json(patchwork_dialogue(f"d{n}", [patchwork(n)])),
            "replies": [f"reply {n}"] * 4,
            "points": dict.fromkeys(NAMES, 50.0),
        }
        for n in range(8)
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_drift_asks_anew_charts_the_shift_and_fails_out_of_limits(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state: dict[str, Any] = {"score": 6, "asked": 0}

    def answer(request: dict[str, Any]) -> str:
        state["asked"] += 1
        return verdict(state["score"] + state["asked"] % 2) if state["score"] else "no verdict"

    with FakeChatServer(answer) as server:
        asked = ["drift", str(tmp_path / "drift"), "--run", str(run), "--judge", f"api:{server.base_url}#fake"]
        assert main(asked) == 0
        assert main(asked) == 0
        assert state["asked"] == 16
        state["score"] = 3
        assert main(asked) == 1
        assert main([*asked, "--limit", "6"]) == 2  # other anchors
        state["score"] = 0
        assert main(asked) == 2  # no verdicts: nothing is stored
    said = capsys.readouterr()
    assert "OUT" in said.out
    assert "other anchors" in said.err
    assert "0 verdicts on 8 anchors" in said.err
    history = read_history(tmp_path / "drift")
    assert [len(check.overall) for check in history] == [8, 8, 8]


def check(*scores: float) -> Check:
    return Check(0.0, "j", "x", {f"d{n}": score for n, score in enumerate(scores)}, len(scores))


def test_shift_is_the_mean_of_pairs_with_three_standard_errors() -> None:
    shift = measure_shift(check(5, 5, 5, 5, 5), check(5, 6, 5, 6, 5, 9))
    assert shift is not None
    assert (shift.mean, shift.num_pairs) == (pytest.approx(0.4), 5)
    assert shift.limit == pytest.approx(3 * (0.3**0.5) / 5**0.5)
    assert not shift.is_out
    assert measure_shift(check(5, 5), check(5, 5)) is None


def test_drift_says_the_cost_before_and_stops_where_a_limit_cannot_be_kept(
    run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeChatServer(lambda request: verdict(6)) as server:
        asked = ["drift", str(tmp_path / "drift"), "--run", str(run), "--judge", f"api:{server.base_url}#fake"]
        assert main([*asked, "--max_cost_usd", "1"]) == 2
        assert "its price is unknown" in capsys.readouterr().err
        assert not server.requests
        assert not read_history(tmp_path / "drift")
        assert main([*asked, "--max_cost_usd", "1", "--allow_unknown_price"]) == 0
        priced = [*asked[:-1], f"api:{server.base_url}#gpt-4o"]
        assert main([*priced, "--max_cost_usd", "0"]) == 2
        assert "history is of judge fake" in capsys.readouterr().err
        priced[1] = str(tmp_path / "other")
        assert main([*priced, "--max_cost_usd", "0"]) != 0
        said = capsys.readouterr().err
        assert "USD for 8 dialogues judged by gpt-4o" in said
        assert "--max_cost_usd" in said
        assert len(server.requests) == 8
        assert not read_history(tmp_path / "other")
