"""A judge on replies of known truth: what is right, what is wrong, what the tables say of judges that see or not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmcr_bench.__main__ import main
from mmcr_bench.exact.build import build_exact
from mmcr_bench.exact.exact_set import read_exact, solve_from
from mmcr_bench.exact.judge_items import RIGHT, WRONG, JudgeItem, make_items
from mmcr_bench.exact.settings import ExactSettings
from mmcr_bench.judge.detection import Share, auc, corrected_share, mean_of, win_rate
from mmcr_bench.judge.rubric import DIMENSIONS
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.trust.test_judge_trust import material_of

KEYS = [dimension.key for dimension in DIMENSIONS]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twelve dialogues with their pairs."""
    place = tmp_path_factory.mktemp("judge") / "set"
    build_exact(place, ExactSettings(num_dialogues=12, style="plain", domains=("shapes",), sides=(2,), guesses="none"))
    return place


@pytest.fixture(scope="module")
def items(folder: Path) -> list[JudgeItem]:
    """Their replies."""
    return list(make_items(read_exact(folder), 0))


def test_right_replies_hold_every_true_answer_and_wrong_ones_do_not(items: list[JudgeItem]) -> None:
    assert {item.kind for item in items} == {*RIGHT, *WRONG}
    for item in items:
        held = [true in reply for true, reply in zip(item.dialogue.references, item.replies, strict=True)]
        assert len(item.replies) == len(item.dialogue.turns)
        assert all(held) == (item.kind in RIGHT) or item.kind == "carried_on"
        if item.kind == "one_wrong":
            assert sum(reply != true for reply, true in zip(item.replies, item.dialogue.references, strict=True)) == 1
        if item.kind == "long":
            assert all(len(reply) > 2 * len(true) for true, reply in zip(item.dialogue.references, item.replies))  # noqa: B905


def test_errors_are_carried_on_by_the_dialogues_own_logic(folder: Path, items: list[JudgeItem]) -> None:
    linked = {item.dialogue.id: item for item in read_exact(folder) if item.role == "linked"}
    carried = [item for item in items if item.kind == "carried_on"]
    assert carried
    for item in carried:
        references = item.dialogue.references
        wrong = [turn for turn, reply in enumerate(item.replies) if reply != references[turn]]
        assert len(wrong) >= 2  # the error, and at least one that follows from it
        assert len(solve_from(linked[item.dialogue.id], [None] * len(references))) == len(references)


def test_replies_are_the_same_for_the_same_seed(folder: Path, items: list[JudgeItem]) -> None:
    assert list(make_items(read_exact(folder), 0)) == items
    assert list(make_items(read_exact(folder), 1)) != items


def ask(folder: Path, tmp_path: Path, answer: Callable[[dict[str, Any]], str], *more: str) -> int:
    with FakeChatServer(answer) as server:
        spec = f"api:{server.base_url}#m"
        return main(["exact", "judge", str(folder), "--judge", spec, "--ledger", str(tmp_path / "ledger"), *more])


def verdict(score: int) -> str:
    return json.dumps({"Explanation": "-"} | dict.fromkeys(KEYS, score))


def sees(request: dict[str, Any]) -> str:
    said = material_of(request)
    return verdict(9 if all(t.strip() in r for t, r in zip(said["T"], said["R"], strict=True)) else 3)


def test_command_prints_what_a_judge_sees(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert ask(folder, tmp_path, sees, "--figure", str(tmp_path / "judge.png")) == 0
    shown = capsys.readouterr().out
    assert "judge m: AUC 1.00 [1.00, 1.00] of right against wrong replies" in shown
    assert "long words add +0.00" in shown
    assert "sensitivity 1.00 (24 of 24)" in shown
    assert (tmp_path / "judge.png").stat().st_size > 1000


def test_command_shows_a_judge_that_sees_nothing(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(folder, tmp_path, lambda request: verdict(8)) == 0
    assert "judge m: AUC 0.50" in capsys.readouterr().out


def test_all_verdicts_unread_is_an_error_with_the_counts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(folder, tmp_path, lambda request: "no") == 2
    assert "verdicts are unread ({'no_verdict': " in capsys.readouterr().err


def test_a_limit_that_cannot_be_kept_stops_before_anything_is_asked(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeChatServer(sees) as server:
        arguments = ["exact", "judge", str(folder), "--judge", f"api:{server.base_url}#m", "--max_cost_usd", "1"]
        assert main([*arguments, "--ledger", str(tmp_path / "ledger")]) == 2
        assert "its price is unknown" in capsys.readouterr().err
        assert not server.requests
        assert main([*arguments, "--ledger", str(tmp_path / "ledger"), "--allow_unknown_price"]) == 0


def test_auc_is_the_mann_whitney_statistic_with_an_interval_by_dialogue() -> None:
    assert win_rate([3, 2], [1, 2]) == pytest.approx(0.875)
    rng = np.random.default_rng(0)
    covered = 0
    for _ in range(200):
        shift = rng.normal(0, 1, 30)
        right = [[float(one + 1 + rng.normal())] for one in shift]
        wrong = [[float(one + rng.normal())] for one in shift]
        interval = auc(right, wrong).interval(0, 1)
        covered += interval.low <= 0.6915 <= interval.high  # P(N(1, 2 x 2) > 0)
    assert covered >= 180


def test_corrected_share_covers_the_truth() -> None:
    rng = np.random.default_rng(1)
    covered, sensitivity, specificity = 0, 0.85, 0.75
    for _ in range(400):
        right = rng.random(300) < 0.6
        passed = np.where(right, rng.random(300) < sensitivity, rng.random(300) > specificity)
        known = Share(int(rng.binomial(80, sensitivity)), 80), Share(int(rng.binomial(80, specificity)), 80)
        found = corrected_share(Share(int(passed.sum()), 300), *known)
        covered += found is not None and found.low <= 0.6 <= found.high
    assert 370 <= covered <= 398
    assert corrected_share(Share(5, 10), Share(1, 10), Share(1, 10)) is None


def test_mean_of_one_cluster_has_no_bound() -> None:
    assert mean_of([1.0]).half_width(0.05) == float("inf")
    assert mean_of([1.0, 1.0]).half_width(0.05) == 0.0
