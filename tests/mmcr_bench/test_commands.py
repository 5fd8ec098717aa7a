"""The command line of review, agreement, canaries and bridge, end to end on small input."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from mmcr_bench.__main__ import main
from mmcr_bench.judge.rubric import DIMENSIONS, NAMES
from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.rounds import Event
from mmcr_bench.trust.runs import read_run
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import to_json
from mmcr_dataset.record.images import decode_rgb
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue
from tests.mmcr_bench.trust.test_judge_trust import careful_judge, material_of, told_dialogue, verdict


@pytest.fixture
def review(tmp_path: Path) -> Path:
    bench = tmp_path / "mmcr-bench"
    write_dataset([patchwork_dialogue(f"i{n}", [patchwork(n)], topic="fields") for n in range(4)], bench, split="test")
    path = tmp_path / "review.sqlite3"
    assert main(["review", "start", str(path), str(bench), "--experts", "2"]) == 0
    return path


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A run as `python -m eval_tasks` leaves it: 12 answered dialogues that a kind judge has scored, one failed."""
    folder = tmp_path / "run"
    folder.mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for number in range(13):
        dialogue = patchwork_dialogue(f"d{number}", [patchwork(number)])
        points = {name: 10.0 * int(rng.integers(3, 10)) for name in NAMES}
        replies = [f"Grey, {number}."] * (4 if number else 2)
        record = {"task": "mmcr_bench", "id": dialogue.id, "replies": replies, "points": points if number else {}}
        lines.append(record | {"dialogue": to_json(dialogue)})
    lines.append({"task": "mme", "id": "other"})
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def test_review_from_bench_to_agreement(
    review: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("ann", "bob"):
        monkeypatch.setattr("sys.stdin", io.StringIO("correct horse\n"))
        assert main(["review", "account", str(review), name]) == 0
    log = ReviewLog(review)
    for item in log.items():
        for name in ("ann", "bob"):
            log.append(Event("marked", item, 1, name, 0.0, ("clarity",) if (item, name) == ("i0", "ann") else ()))
    capsys.readouterr()
    assert main(["review", "status", str(review)]) == 0
    shown = capsys.readouterr().out
    assert "passed     3" in shown
    assert "marked by ann: 4 of 4" in shown
    assert main(["agreement", str(review)]) == 0
    shown = capsys.readouterr().out
    assert "| clarity | 4 | 12.5% | 0.75" in shown
    assert "bob 0.0%" in shown


def test_review_rewrite_offline_gives_flagged_items_a_new_version(
    review: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "mmcr-310k"
    write_dataset([patchwork_dialogue("new", [patchwork(50)], topic="fields")], dataset)
    log = ReviewLog(review)
    two = patchwork_dialogue("two", [patchwork(20), patchwork(21)], topic="fields")
    log.add_dialogue(Event("opened", "two", 1, "build", 0.0), two)
    for item in ("i0", "two"):
        for name in ("ann", "bob"):
            log.append(Event("marked", item, 1, name, 0.0, ("clarity",), "too terse"))
    arguments = ["review", "rewrite", str(review), "--dataset", str(dataset), "--endpoint"]
    assert main([*arguments, "offline"]) == 0
    assert "2 items regenerated, 0 redrawn" in capsys.readouterr().out
    for item, num_turns in (("i0", 4), ("two", 8)):
        found = ReviewLog(review).items()[item]
        dialogue = ReviewLog(review).dialogue(found)
        assert (found.version, found.status(2), len(dialogue.turns)) == (2, "open", num_turns)
        assert dialogue.generation.writer == "offline"
        assert "too terse" not in str(dialogue.turns)
    assert main([*arguments, "http://127.0.0.1:9/v1"]) == 2
    assert "expected URL#MODEL, or offline" in capsys.readouterr().err


def test_review_export_and_import(review: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["review", "export", str(review), str(tmp_path / "review.jsonl")]) == 0
    copy = tmp_path / "copy.sqlite3"
    assert main(["review", "import", str(copy), str(tmp_path / "review.jsonl"), "--experts", "2"]) == 0
    assert ReviewLog(copy).items() == ReviewLog(review).items()
    assert main(["review", "import", str(copy), str(tmp_path / "review.jsonl")]) == 2
    assert "already holds a review" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["review", "status", "missing"], "no review found"),
        (["review", "start", "new.sqlite3", "missing"], "no bench found"),
        (["agreement", "missing"], "no review found"),
        (["agreement"], "give a REVIEW"),
        (["agreement", "--run", "missing", "--experts", "x"], "no finished run"),
        (["bridge", "--old", "missing", "--new", "offline"], "no finished run"),
    ],
)
def test_missing_input_is_named(
    arguments: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert part in capsys.readouterr().err


def test_run_is_read_with_its_scores_and_failures(run_folder: Path) -> None:
    run = read_run(run_folder)
    assert (len(run.dialogues), run.num_failed, len(run.scores)) == (12, 1, 12)
    assert run.replies[0] == ("Grey, 1.",) * 4
    assert all(3 <= score <= 9 for given in run.scores.values() for score in given.values())


def test_run_with_a_broken_line_names_it(run_folder: Path) -> None:
    path = run_folder / "samples.jsonl"
    text = path.read_text()
    for broken in ("{", "[]", '{"task": "mmcr_bench"}'):
        path.write_text(text + broken + "\n")
        with pytest.raises(ValueError, match="line 15"):
            read_run(run_folder)


def test_bridge_measures_the_new_judge_on_the_same_replies(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The new judge is one point stricter on everything."""
    old = read_run(run_folder).scores

    def answer(request: dict[str, Any]) -> str:
        content = request["messages"][1]["content"]
        number = content.split("R1| Grey, ")[1].split(".")[0]
        given = old[f"d{number}"]
        return json.dumps({"Explanation": "."} | {d.key: int(given[d.name]) - 1 for d in DIMENSIONS})

    with FakeChatServer(answer) as server:
        arguments = ["bridge", "--old", str(run_folder), "--new", f"api:{server.base_url}#new"]
        arguments += ["--ledger", str(tmp_path / "ledger"), "--out", str(tmp_path / "bridge.json")]
        assert main(arguments) == 0
        assert main(arguments) == 0
        assert len(server.requests) == 12
    assert "12 of 12 dialogues scored by new" in capsys.readouterr().out
    found = json.loads((tmp_path / "bridge.json").read_text())
    for name in NAMES:
        assert found["dimensions"][name]["shift"] == {"mean": -1.0, "low": -1.0, "high": -1.0}
        assert found["dimensions"][name]["kendall"]["mean"] == pytest.approx(1.0)
    assert found["new"]["prompt_sha256"]


def test_bridge_to_a_judge_that_sees_needs_the_bench_and_shows_its_images(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bench = tmp_path / "bench"
    write_dataset([patchwork_dialogue(f"d{n}", [patchwork(n)]) for n in range(13)], bench, split="test")
    other = tmp_path / "other"
    write_dataset([patchwork_dialogue(f"d{n}", [patchwork(n)]) for n in range(5)], other, split="test")
    with FakeChatServer(lambda request: verdict(7)) as server:
        arguments = ["bridge", "--old", str(run_folder), "--new", f"api:{server.base_url}#new?images=yes"]
        arguments += ["--ledger", str(tmp_path / "ledger"), "--out", str(tmp_path / "bridge.json")]
        assert main(arguments) == 2
        assert "(--bench)" in capsys.readouterr().err
        assert main([*arguments, "--bench", str(other)]) == 2
        assert "lacks an image" in capsys.readouterr().err
        assert not server.requests
        assert main([*arguments, "--bench", str(bench)]) == 0
        kinds = [block["type"] for block in server.requests[0]["messages"][-1]["content"]]
    assert kinds == ["text", "image_url"]


def test_penalties_show_whether_the_judge_takes_them_off(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    lines = []
    for number in range(40):
        dialogue = patchwork_dialogue(f"d{number}", [patchwork(number)])
        too_long = number % 2
        replies = [f"{turn.assistant}{' and so on' * 30 * too_long}" for turn in dialogue.turns]
        points = dict.fromkeys(NAMES, 80.0) | {"precision": 80.0 - 10 * too_long + number % 3}
        record = {"task": "mmcr_bench", "id": dialogue.id, "replies": replies, "points": points}
        lines.append(json.dumps(record | {"dialogue": to_json(dialogue)}) + "\n")
    (folder / "samples.jsonl").write_text("".join(lines))
    assert main(["penalties", str(folder)]) == 0
    length, repetition = capsys.readouterr().out.splitlines()[2:]
    assert length.startswith("| length | precision | 20 of 40 |")
    mean = float(length.split("|")[6].split("[")[0])
    low, high = (float(value) for value in length.split("[")[1].split("]")[0].split(","))
    assert low <= mean <= high
    assert mean == pytest.approx(-1.0, abs=0.1)
    assert length.endswith("| -1.00 |")
    assert repetition == "| repetition | redundancy | 20 of 40 | 8.00 | 8.00 | +0.00 [+0.00, +0.00] | -3.00 |"


def test_bridge_to_the_offline_judge_is_refused(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bridge", "--old", str(run_folder), "--new", "offline"]) == 2
    assert "no rubric" in capsys.readouterr().err


def test_judge_against_experts(run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    experts = tmp_path / "experts.jsonl"
    given = read_run(run_folder).scores
    lines = [
        {"id": id_, "expert": name, "scores": {"overall": max(1, scores["overall"] - shift)}}
        for id_, scores in given.items()
        for name, shift in (("ann", 1), ("bob", 2))
    ]
    experts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    figure = tmp_path / "calibration.png"
    assert main(["agreement", "--run", str(run_folder), "--experts", str(experts), "--figure", str(figure)]) == 0
    assert decode_rgb(figure.read_bytes()).width > 600
    shown = capsys.readouterr().out
    assert "| overall | 12 | -1.50 [-1.50, -1.50] | 1.00" in shown
    experts.write_text(json.dumps({"id": "d1", "scores": {"overall": 11}}) + "\n")
    assert main(["agreement", "--run", str(run_folder), "--experts", str(experts)]) == 2
    assert "line 1: overall is 11" in capsys.readouterr().err


def test_canaries_of_the_controlled_world_are_facts_whose_truth_is_known(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_dataset([told_dialogue(n) for n in range(3)], tmp_path / "told", split="test")
    built = ["exact", "build", "--dialogues", "20", "--guesses", "none", "--style", "plain", "--telling", "linked"]
    assert main([*built, "--output_dir", str(tmp_path / "world")]) == 0
    for answer, code in ((careful_judge, 0), (blind_to_short_facts, 1)):
        with FakeChatServer(answer) as server:
            arguments = ["canaries", str(tmp_path / "told" / "single"), "--judge", f"api:{server.base_url}#m"]
            arguments += ["--world", str(tmp_path / "world"), "--limit", "8", "--ledger", str(tmp_path / str(code))]
            capsys.readouterr()
            assert main(arguments) == code
        shown = capsys.readouterr().out
        assert "changed facts of the controlled world: AUC" in shown
        assert ("FAIL world facts" in shown) == (code == 1), shown
        assert "made of dialogues 3 with one image, 0 with several" in shown


def blind_to_short_facts(request: dict[str, Any]) -> str:
    """Follows the rubric, and gives the best score where references are single words."""
    references = material_of(request)["T"]
    return verdict(9) if any(len(text.split()) < 3 for text in references) else careful_judge(request)


def test_canaries_exit_code_says_whether_the_judge_is_fit(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_dataset([told_dialogue(n) for n in range(3)], tmp_path / "told", split="test")
    for answer, code in ((careful_judge, 0), (lambda request: verdict(8), 1)):
        with FakeChatServer(answer) as server:
            spec = f"api:{server.base_url}#m"
            arguments = ["canaries", str(tmp_path / "told" / "single"), "--judge", spec]
            assert main([*arguments, "--ledger", str(tmp_path / str(code))]) == code
    assert "UNFIT" in capsys.readouterr().out
