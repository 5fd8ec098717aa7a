"""A judged run judges the anchors of its bench again, adds a point to the judge's chart, and says so."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.__main__ import main
from mmcr_bench.__main__ import main as bench_main
from mmcr_bench.trust.drift import read_history
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from tests.fake_chat_server import Answer, FakeChatServer
from tests.mmcr_bench.conftest import patchwork
from tests.mmcr_bench.trust.test_judge_trust import WORDS, verdict

Write = Callable[..., str]
NUM = 6


class Judge:
    """Verdicts that vary with the text that is judged, by `shift` lower."""

    def __init__(self) -> None:
        self.shift = 0

    def __call__(self, request: dict[str, Any]) -> str:
        return verdict(5 + len(json.dumps(request["messages"])) % 3 - self.shift)


@pytest.fixture
def bench(tmp_path: Path, write_script: Write) -> Path:
    """A bench with anchors: the replies of a model `old`."""
    write_dataset([dialogue_of(number) for number in range(NUM)], tmp_path / "bench", split="test")
    data = tmp_path / "bench" / "single"
    assert main(["--model", write_script({"*": "A tower."}), *task(data), "--out", str(tmp_path / "old")]) == 0
    assert bench_main(["anchors", str(data), "--run", str(tmp_path / "old")]) == 0
    return data


def dialogue_of(number: int) -> Dialogue:
    """Four turns about an image of its own."""
    turns = tuple(
        Turn(introduce([1] if n == 0 else [], f"What else is in image 1 of {number}?"), f"{words} ({number}).")
        for n, words in enumerate(WORDS[number % 3])
    )
    return Dialogue(f"t{number}", turns, (DialogueImage(patchwork(number)),))


def task(data: Path) -> list[str]:
    return ["--tasks", "mmcr_bench", "--data", str(data)]


def drift_of(run: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run / "results.json").read_text())["tasks"]["mmcr_bench"]["drift"]
    return found


def test_each_judged_run_adds_a_point_and_a_changed_judge_is_called_out_of_control(
    tmp_path: Path, bench: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    judge = Judge()
    with FakeChatServer(judge) as server:

        def evaluate(name: str, *more: str) -> tuple[str, str]:
            model = write_script({"*": f"A boat, says {name}."}, f"{name}.json")
            asked = ["--model", model, *task(bench), "--judge", f"api:{server.base_url}#fake"]
            capsys.readouterr()
            assert main([*asked, "--out", str(tmp_path / name), *more]) == 0
            return capsys.readouterr()

        shown, told = evaluate("first")
        assert f"for {2 * NUM} dialogues judged by fake, less what its ledger holds; {NUM} of them are anchors" in told
        assert "mmcr_bench: drift of the judge: the first check" in shown
        shown, _ = evaluate("second")
        assert "mmcr_bench: the judge is in control: shift +0.00 of 10" in shown
        num_asked = len(server.requests)
        again, _ = evaluate("second")
        assert len(server.requests) == num_asked  # nothing was asked, so no point is added
        assert "the judge is in control" in again
        judge.shift = 3
        shown, _ = evaluate("third")
        assert "mmcr_bench: JUDGE OUT OF CONTROL" in shown
        assert "| fake (JUDGE UNFIT) (JUDGE OUT OF CONTROL) |" in shown
        off, _ = evaluate("fourth", "--no_drift")
        assert "mmcr_bench: drift of the judge not checked: --no_drift" in off
        (folder,) = (path for path in bench.with_name("single.anchors").iterdir() if path.is_dir())
        assert [len(check.overall) for check in read_history(folder)] == [NUM] * 3
    assert drift_of(tmp_path / "third")["shift"] == -3
    assert main(["compare", str(tmp_path / "second"), str(tmp_path / "third")]) == 0
    compared = capsys.readouterr().out
    assert "third: mmcr_bench: JUDGE OUT OF CONTROL" in compared
    verdicts = {
        row.split("|")[2].strip(): row.split("|")[6].strip() for row in compared.splitlines() if "| mmcr_" in row
    }
    assert verdicts["overall"] == "no verdict: JUDGE OUT OF CONTROL and JUDGE UNFIT"
    assert not verdicts["replies: words"].startswith("no verdict: JUDGE")
    page = tmp_path / "report.html"
    assert main(["report", str(tmp_path / "third"), "--html", str(page)]) == 0
    assert "Drift of the judge" in page.read_text()
    assert "<td>OUT</td>" in page.read_text()
    assert page.read_text().count("<rect x=") >= 3
    assert "check 3: -3.00, limit 0.00" in page.read_text()


def test_bench_without_anchors_says_how_to_get_them(
    tmp_path: Path, bench: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    bench.with_name("single.anchors").rename(tmp_path / "away")
    with FakeChatServer(Judge()) as server:
        asked = ["--model", write_script({"*": "A boat."}), *task(bench), "--judge", f"api:{server.base_url}#fake"]
        assert main([*asked, "--out", str(tmp_path / "run")]) == 0
    assert f"`python -m mmcr_bench anchors {bench} --run RUN` makes them, once" in capsys.readouterr().out
    assert drift_of(tmp_path / "run")["in_control"] is None


def test_anchors_are_within_the_limit_of_the_run_and_their_failure_leaves_its_scores(
    tmp_path: Path, bench: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    price = {"of an anchor": 10_000_000}

    def answer(request: dict[str, Any]) -> Answer:
        is_anchor = "A tower." in json.dumps(request)
        tokens = price["of an anchor"] if is_anchor else 100
        return Answer(Judge()(request), usage={"prompt_tokens": 1000, "completion_tokens": tokens})

    with FakeChatServer(answer) as server:
        asked = ["--model", write_script({"*": "A boat."}), *task(bench), "--judge", f"api:{server.base_url}#gpt-4o"]
        asked += ["--out", str(tmp_path / "run"), "--max_cost_usd"]
        assert main([*asked, "50"]) == 0
        said = capsys.readouterr().out
        assert "mmcr_bench: drift of the judge not checked: " in said
        assert "--max_cost_usd" in said
        of_anchors = [request for request in server.requests if "A tower." in json.dumps(request)]
        assert 1 <= len(of_anchors) < NUM
        assert json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]["mmcr_bench"]["totals"]["overall"]
        price["of an anchor"] = 100
        assert main([*asked, "5000"]) == 0  # goes on with the check
        num_anchors = sum("A tower." in json.dumps(request) for request in server.requests)
    assert num_anchors == NUM
    assert drift_of(tmp_path / "run")["number"] == 1


def test_anchors_are_written_once_and_need_a_run_of_the_bench(
    tmp_path: Path, bench: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    again = ["anchors", str(bench), "--run", str(tmp_path / "old")]
    assert bench_main(again) == 2
    assert "holds anchors" in capsys.readouterr().err
    bench.with_name("single.anchors").rename(tmp_path / "away")
    assert bench_main([*again, "--limit", "3"]) == 2
    assert "3 answered dialogues (--limit 3), expected 5 or more" in capsys.readouterr().err
    write_dataset([dialogue_of(number) for number in range(10, 16)], tmp_path / "other", split="test")
    assert bench_main(["anchors", str(tmp_path / "other" / "single"), "--run", str(tmp_path / "old")]) == 2
    assert "lacks an image" in capsys.readouterr().err


def test_damaged_anchors_end_a_run_before_anything_is_paid(
    tmp_path: Path, bench: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    (bench.with_name("single.anchors") / "samples.jsonl").write_text("no JSON\n")
    with FakeChatServer(Judge()) as server:
        asked = ["--model", write_script({"*": "A boat."}), *task(bench), "--judge", f"api:{server.base_url}#fake"]
        assert main([*asked, "--out", str(tmp_path / "run")]) == 2
        assert not server.requests
        assert "pass --no_drift" in capsys.readouterr().err
        assert main([*asked, "--out", str(tmp_path / "run"), "--no_drift"]) == 0
