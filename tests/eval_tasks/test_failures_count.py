"""No failure raises a score or makes one: of the model, of the judge, of the data."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.__main__ import main
from eval_tasks.registry import find_tasks, load_task
from eval_tasks.scoring import to_entry
from eval_tasks.task import Failure, Sample, Scored
from mmcr_bench.judge.rubric import NAMES
from mmcr_dataset.record.dialogue import Dialogue, Turn
from tests.conftest import image_bytes
from tests.fake_chat_server import Answer, FakeChatServer

Write = Callable[..., str]


def questions(path: Path, count: int = 10, **changed: Any) -> Path:
    """Questions of MMStar; the right answer is B."""
    row = {"A": "a dog", "B": "a cat", "C": "a horse", "D": "a bird", "answer": "B"}
    row["image"] = base64.b64encode(image_bytes(1)).decode()
    rows = [{**row, "index": n, "question": f"What is in {n}?", **changed} for n in range(count)]
    path.write_text("\n".join(json.dumps(one) for one in rows))
    return path


def entry_of(folder: Path, task: str = "mmstar") -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((folder / "results.json").read_text())["tasks"][task]
    return entry


def test_a_judge_that_refuses_does_not_raise_the_accuracy(tmp_path: Path, write_script: Write) -> None:
    data = questions(tmp_path / "MMStar.jsonl")
    said = write_script({str(n): "B" if n < 5 else "hard to tell from here" for n in range(10)})
    ask = ["--model", said, "--tasks=mmstar", f"--data={data}"]
    assert main([*ask, f"--out={tmp_path}/strict"]) == 0
    with FakeChatServer(lambda body: Answer(None, refusal="no")) as server:
        assert main([*ask, f"--out={tmp_path}/judged", f"--judge=api:{server.base_url}#j"]) == 0
    strict, judged = (entry_of(tmp_path / name) for name in ("strict", "judged"))
    assert strict["totals"]["accuracy"]["value"] == judged["totals"]["accuracy"]["value"] == 50.0
    assert (strict["num_unread"], judged["num_unread"], judged["unjudged"]) == (5, 0, {"refusal": 5})
    assert judged["totals"]["accuracy"]["judged_only"] == {"value": 100.0, "num": 5}


@pytest.mark.parametrize("task", ["mmcr_bench", "mmvet", "visdial", "mmdu"])
@pytest.mark.parametrize("lost", ["failure", "unjudged"])
def test_a_lost_sample_is_worth_nothing_in_every_judged_total(task: str, lost: str) -> None:
    one = Dialogue("d0", (Turn(("Hm?",), "Yes."), Turn(("And?",), "No.")))
    target = {"capabilities": ["rec"], "num_turns": 2}
    points = dict.fromkeys(NAMES, 80.0) | {"grade": 0.8, "accuracy": 1.0, "judged_turns": 2.0}
    right = Scored(Sample(one, target, "a"), ("Yes.", "No."), points)
    other = Sample(Dialogue("d1", one.turns), target, "b")
    missing = Scored(other, (), **{lost: Failure("gone", "")})  # type: ignore[arg-type]
    rules = load_task(find_tasks()[task]).rules[0]
    whole, half = (to_entry(load_task(find_tasks()[task]), found, rules, {}) for found in ([right], [right, missing]))
    for metric, total in whole["totals"].items():
        assert half["totals"][metric]["value"] == pytest.approx(total["value"] / 2)


@pytest.mark.parametrize("task", ["mmstar", "mmbench", "mme", "hallusion_bench", "mathvista", "mmmu", "ocrbench"])
def test_a_lost_sample_is_worth_nothing_in_every_read_total(task: str) -> None:
    one = Dialogue("d0", (Turn(("Hm?",), "Yes."),))
    target = {"answer": "B", "options": {}, "l2_category": "x", "category": "x", "sub": "s", "task": "t"}
    target |= {"answers": ["B"], "split": "validation", "figure": "f", "question": "q"}
    rules = load_task(find_tasks()[task]).rules[0]
    right = Scored(Sample(one, target, "a"), ("B",), {"accuracy": 1.0})
    lost_target = target | {"figure": "g", "question": "r"}
    missing = [Scored(Sample(Dialogue("d1", one.turns), lost_target, "b"), (), unjudged=Failure("gone", ""))]
    whole, half = (to_entry(load_task(find_tasks()[task]), found, rules, {}) for found in ([right], [right, *missing]))
    main_metric = next(iter(whole["totals"]))
    total = half["totals"][main_metric]
    assert total["value"] == pytest.approx(whole["totals"][main_metric]["value"] / 2)
    assert half["unjudged"] == {"gone": 1}


def test_a_run_without_a_reply_has_no_score_and_no_verdict(
    tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    data = questions(tmp_path / "MMStar.jsonl")
    ask = ["--tasks=mmstar", f"--data={data}"]
    assert main([*ask, "--model", write_script({"*": "B"}), f"--out={tmp_path}/good"]) == 0
    failing = write_script({"*": {"failure": "timeout"}}, "bad.json")
    assert main([*ask, "--model", failing, f"--out={tmp_path}/bad"]) == 1
    assert "mmstar: no score: nothing was answered (timeout 10)" in capsys.readouterr().out
    assert entry_of(tmp_path / "bad")["totals"]["accuracy"] == {"value": None, "low": None, "high": None}
    assert main(["score", f"{tmp_path}/bad"]) == 1
    capsys.readouterr()
    assert main(["compare", f"{tmp_path}/bad", f"{tmp_path}/good"]) == 0
    said = capsys.readouterr().out
    assert "| no score | 100.00 | - | no verdict: no score |" in said
    assert "failed 10 (timeout 10) of 10" in said
    assert main(["report", f"{tmp_path}/bad", f"{tmp_path}/good"]) == 0
    assert "no score; failed 10 (timeout 10) of 10" in capsys.readouterr().out


def test_runs_that_lost_other_samples_get_no_verdict(
    tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    data = questions(tmp_path / "MMStar.jsonl", 20)
    scripts = {
        "a": {"*": "B"},
        "b": {"*": "A", "3": {"failure": "timeout"}},
        "c": {"*": "B", "3": {"failure": "oom"}},
    }
    for name, script in scripts.items():
        model = write_script(script, f"{name}.json")
        assert main(["--model", model, "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/{name}"]) == 0
    capsys.readouterr()
    assert main(["compare", f"{tmp_path}/a", f"{tmp_path}/b"]) == 0
    said = capsys.readouterr().out
    assert "no verdict: 1 samples lost in one run only" in said
    assert "failed 1 (timeout 1) of 20" in said
    assert main(["compare", f"{tmp_path}/b", f"{tmp_path}/c"]) == 0
    assert "| significant |" in capsys.readouterr().out  # both lost the same sample


def test_runs_with_other_gold_answers_are_not_compared(
    tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, gold in (("a", "B"), ("b", "C")):
        data = questions(tmp_path / "MMStar.jsonl", answer=gold)
        ask = ["--model", write_script({"*": "B"}), "--tasks=mmstar", f"--data={data}"]
        assert main([*ask, f"--out={tmp_path}/{name}"]) == 0
    assert main(["compare", f"{tmp_path}/a", f"{tmp_path}/b"]) == 2
    assert "differ in the gold answers of sample '0'" in capsys.readouterr().err


def test_a_reply_at_the_token_limit_is_kept_scored_and_counted(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = questions(tmp_path / "MMStar.jsonl", 4)
    with FakeChatServer(lambda body: Answer("B, because", finish_reason="length")) as server:
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
        assert main(ask) == 0
        assert main(ask) == 0
        assert len(server.requests) == 4  # kept: not asked again
    entry = entry_of(tmp_path / "run")
    assert (entry["totals"]["accuracy"]["value"], entry["num_truncated"], entry["failures"]) == (100.0, 4, {})
    assert main(["report", f"{tmp_path}/run"]) == 0
    assert "truncated 4 of 4" in capsys.readouterr().out


def test_a_local_reply_at_the_token_limit_is_counted_alike(tmp_path: Path, tiny_ovis2: Path) -> None:
    data = questions(tmp_path / "MMStar.jsonl", 2)
    ask = [f"--model=hf:{tiny_ovis2}", "--tasks=mmstar", f"--data={data}", "--max_new_tokens=2"]
    assert main([*ask, f"--out={tmp_path}/run"]) == 0
    entry = entry_of(tmp_path / "run")
    assert (entry["num_truncated"], entry["failures"]) == (2, {})


@pytest.mark.parametrize("num_right", [0, 1, 9, 10])
def test_an_interval_stays_inside_the_scale(num_right: int, tmp_path: Path, write_script: Write) -> None:
    data = questions(tmp_path / "MMStar.jsonl")
    model = write_script({str(n): "B" if n < num_right else "A" for n in range(10)})
    assert main(["--model", model, "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]) == 0
    total = entry_of(tmp_path / "run")["totals"]["accuracy"]
    assert 0 <= total["low"] <= total["value"] <= total["high"] <= 100
