"""Every judged evaluation judges canaries too, and says so where the judge is unfit."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.__main__ import main
from mmcr_bench.trust.canaries import CANARIES, make_canaries
from mmcr_dataset.publish.parquet import write_dataset
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.trust.test_judge_trust import careful_judge, told_dialogue, verdict

Write = Callable[..., str]
NUM_ASKED = len(make_canaries([told_dialogue(number) for number in range(3)])[1])


@pytest.fixture
def told_bench(tmp_path: Path) -> Path:
    """A bench of three dialogues about different things."""
    write_dataset([told_dialogue(number) for number in range(3)], tmp_path / "bench", split="test")
    return tmp_path / "bench" / "single"


def canaries_of(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "results.json").read_text())["tasks"]["mmcr_bench"]["canaries"]
    return found


def test_fit_judge_is_stored_as_fit_and_its_canaries_are_paid_once(
    tmp_path: Path, told_bench: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    with FakeChatServer(careful_judge) as server:
        ask = ["--model", write_script({"*": "$reference"}), "--tasks", "mmcr_bench", "--data", str(told_bench)]
        ask += ["--judge", f"api:{server.base_url}#careful", "--out", str(out)]
        assert main(ask) == 0
        num_paid = len(server.requests)
        assert main(ask) == 0
        assert main(["score", str(out)]) == 0
        assert len(server.requests) == num_paid == NUM_ASKED  # the replies are those of the canary `perfect`
    found = canaries_of(out)
    assert (found["fit"], found["failed"]) == (True, [])
    assert {result["name"] for result in found["results"]} >= {canary.name for canary in CANARIES} | {"facts"}
    assert found["changed_facts"]["auc"] > 0.8
    shown, told = capsys.readouterr()
    assert "price unknown for 3 dialogues judged by careful, less what its ledger holds\n" in told
    assert f"price unknown for {NUM_ASKED} dialogues judged by careful" in told
    assert f"mmcr_bench: judge fit; canaries failed: none; {NUM_ASKED} of {NUM_ASKED} verdicts read" in shown
    assert "mmcr_bench: the judge tells changed facts from right ones: AUC " in shown
    assert "UNFIT" not in shown


def test_unfit_judge_is_marked_in_table_results_and_report(
    tmp_path: Path, told_bench: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    with FakeChatServer(lambda request: verdict(8)) as server:
        ask = ["--model", write_script({"*": "A boat."}), "--tasks", "mmcr_bench", "--data", str(told_bench)]
        assert main([*ask, "--judge", f"api:{server.base_url}#kind", "--out", str(out)]) == 0
    found = canaries_of(out)
    assert found["fit"] is False
    assert set(found["failed"]) == {canary.name for canary in CANARIES} | {"worthless", "facts"}
    shown = capsys.readouterr().out
    assert "| kind (JUDGE UNFIT) |" in shown
    assert "JUDGE UNFIT, its scores must not be used; canaries failed: worthless, empty, master_key" in shown
    page = tmp_path / "report.html"
    assert main(["report", str(out), "--html", str(page)]) == 0
    assert "| kind (JUDGE UNFIT) |" in capsys.readouterr().out
    assert "kind (JUDGE UNFIT)" in page.read_text()


@pytest.mark.parametrize(
    ("limit", "judge", "part"),
    [("3", "offline", "the offline judge compares words"), ("1", "api:{}#careful", "at least two")],
)
def test_canaries_that_cannot_be_run_leave_the_scores_and_say_why(
    limit: str,
    judge: str,
    part: str,
    tmp_path: Path,
    told_bench: Path,
    write_script: Write,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with FakeChatServer(careful_judge) as server:
        ask = ["--model", write_script({"*": "A boat."}), "--tasks", "mmcr_bench", "--data", str(told_bench)]
        ask += ["--limit", limit, "--judge", judge.format(server.base_url), "--out", str(tmp_path / "run")]
        assert main(ask) == 0
    assert canaries_of(tmp_path / "run")["fit"] is None
    assert part in canaries_of(tmp_path / "run")["why_not_run"]
    assert "mmcr_bench: canaries not run: " in capsys.readouterr().out


def images_seen(request: dict[str, Any]) -> int:
    content = request["messages"][-1]["content"]
    return 0 if isinstance(content, str) else sum(part["type"] == "image_url" for part in content)


def of_text(request: dict[str, Any]) -> str:
    """What the careful judge reads in a request with images."""
    content = request["messages"][-1]["content"]
    words = content if isinstance(content, str) else content[0]["text"]
    return careful_judge(request | {"messages": [*request["messages"][:-1], {"role": "user", "content": words}]})


def test_judge_that_sees_images_gets_them_after_asking_and_when_a_run_is_scored_again(
    tmp_path: Path, told_bench: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    ask = ["--model", write_script({"*": "A boat."}), "--tasks", "mmcr_bench", "--data", str(told_bench)]
    with FakeChatServer(of_text) as server:
        spec = f"api:{server.base_url}#careful?images=yes"
        assert main([*ask, "--judge", spec, "--out", str(out)]) == 0
        assert all(images_seen(request) for request in server.requests)
        num_paid = len(server.requests)
        assert main(["score", str(out)]) == 0
        assert len(server.requests) == num_paid
        moved = told_bench.rename(tmp_path / "moved")
        assert main(["score", str(out)]) == 2
        assert "--data" in capsys.readouterr().err
        assert main(["score", str(out), "--data", str(moved)]) == 0
        assert len(server.requests) == num_paid
    assert canaries_of(out)["fit"] is True


def test_images_of_other_data_are_refused(
    tmp_path: Path, told_bench: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "run"
    ask = ["--model", write_script({"*": "A boat."}), "--tasks", "mmcr_bench", "--data", str(told_bench)]
    assert main([*ask, "--out", str(out)]) == 0
    write_dataset([told_dialogue(0)], tmp_path / "other", split="test")
    judge = ["--judge", "api:http://127.0.0.1:1/v1#m?images=yes"]
    assert main(["score", str(out), "--data", str(tmp_path / "other" / "single"), *judge]) == 2
    assert "isn't in " in capsys.readouterr().err


def test_what_a_score_comes_from_stands_beside_it(tmp_path: Path, told_bench: Path, write_script: Write) -> None:
    ask = ["--model", write_script({"*": "A boat."}), "--tasks", "mmcr_bench", "--data", str(told_bench)]
    with FakeChatServer(lambda request: verdict(8), model="kind-2026-01-02") as server:
        assert main([*ask, "--judge", f"api:{server.base_url}#kind", "--out", str(tmp_path / "run")]) == 0
    for line in (tmp_path / "run" / "samples.jsonl").read_text().splitlines():
        judged = json.loads(line)["judged"]
        assert (judged["judge"], judged["model"], judged["reply"]) == ("kind", "kind-2026-01-02", verdict(8))
        assert judged.keys() >= {"prompt_sha256", "temperature", "penalties", "date", "prompt_tokens"}


def test_spread_between_repeats_is_shown(
    tmp_path: Path, told_bench: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    def answer(request: dict[str, Any]) -> str:
        return verdict(5 + 2 * request["seed"])

    with FakeChatServer(answer) as server:
        ask = ["--model", write_script({"*": "$reference"}), "--tasks", "mmcr_bench", "--data", str(told_bench)]
        assert main([*ask, "--judge", f"api:{server.base_url}#m?repeats=2", "--out", str(tmp_path / "run")]) == 0
    entry = json.loads((tmp_path / "run/results.json").read_text())["tasks"]["mmcr_bench"]
    assert entry["judge"]["spread"] == pytest.approx(1.0)
    assert "mmcr_bench: spread of the overall score between repeats or judges: SD 1.00 of 10" in capsys.readouterr().out
