"""The command line end to end: ask, resume, score again, compare, report."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.__main__ import main
from tests.eval_tasks.test_failures_count import questions
from tests.fake_chat_server import Answer, FakeChatServer

Write = Callable[..., str]


def run(*arguments: object) -> int:
    return main([str(one) for one in arguments])


def results_of(folder: Path) -> dict[str, Any]:
    return json.loads((folder / "results.json").read_text())


def records_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def journal_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "journal.jsonl").read_text().splitlines()]


def test_list_names_each_task_without_importing_any() -> None:
    program = (
        "import sys\nfrom eval_tasks.__main__ import main\nmain(['--list'])\n"
        "print([name for name in sys.modules if name.startswith('eval_tasks.tasks.') or name == 'numpy'])"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "mmcr_bench" in said
    assert said.splitlines()[-1] == "[]"


def test_wrong_task_name_is_answered_with_near_names(capsys: pytest.CaptureFixture[str]) -> None:
    assert run("--model", "scripted:x", "--tasks", "mmcr_bnech") == 2
    assert "did you mean mmcr_bench" in capsys.readouterr().err


def test_wrong_model_spec_names_the_three_forms(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert run("--model", "gpt-4o", "--tasks", "mme", "--out", tmp_path) == 2
    assert "hf:FOLDER_OR_HUB_ID, api:URL#NAME" in capsys.readouterr().err


def test_missing_data_folder_is_a_clear_error(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, write_script: Write
) -> None:
    said = ("--model", write_script({}), "--out", tmp_path / "r", "--data", tmp_path / "nothing")
    assert run(*said, "--tasks", "mmcr_bench") == 2
    assert "no such folder" in capsys.readouterr().err
    assert run(*said, "--tasks", "mme") == 2
    assert "no such file or folder" in capsys.readouterr().err


def test_perfect_replies_overlap_wholly_and_never_carry_the_names_of_real_scores(
    tmp_path: Path, bench_folder: Path, write_script: Write
) -> None:
    out = tmp_path / "run"
    assert (
        run(
            "--model",
            write_script({"*": "$reference"}),
            "--tasks",
            "mmcr_bench",
            "--data",
            bench_folder,
            "--out",
            out,
        )
        == 0
    )
    entry = results_of(out)["tasks"]["mmcr_bench"]
    assert {metric: total["value"] for metric, total in entry["totals"].items()} == {"reference_overlap": 100.0}
    assert entry["judge"]["name"] == "offline"


def test_a_failed_turn_is_counted_gets_no_points_and_is_asked_again(
    tmp_path: Path, bench_folder: Path, write_script: Write
) -> None:
    out = tmp_path / "run"
    said = {"*": "$reference", "d1-1-4": ["$reference", "$reference"]}
    ask = ("--tasks", "mmcr_bench", "--data", bench_folder, "--out", out)
    assert run("--model", write_script(said), *ask) == 0
    entry = results_of(out)["tasks"]["mmcr_bench"]
    assert entry["failures"] == {"not_in_script": 1}
    assert entry["totals"]["reference_overlap"]["value"] == pytest.approx(75.0)
    failed = next(record for record in records_of(out) if record["id"] == "d1-1-4")
    assert failed["failure"]["reason"] == "not_in_script"
    assert len(failed["replies"]) == 2


def test_killed_inside_a_dialogue_the_next_run_goes_on_inside_it(tmp_path: Path, bench_folder: Path) -> None:
    out = tmp_path / "run"
    with FakeChatServer(lambda body: f"reply {len(body['messages'])}") as server:
        ask = [f"--model=api:{server.base_url}#vlm", "--tasks=mmcr_bench", f"--data={bench_folder}", f"--out={out}"]
        assert run(*ask) == 0
        assert len(server.requests) == 20
        first = records_of(out)
        lines = (out / "journal.jsonl").read_bytes().splitlines(keepends=True)
        (out / "journal.jsonl").write_bytes(b"".join(lines[:9]) + lines[9][:25])  # torn by the kill
        for name in ("ledger.sqlite3", "results.json", "samples.jsonl"):
            (out / name).unlink()
        assert run(*ask) == 0
        assert len(server.requests) == 20 + 11
        assert records_of(out) == first
        assert len({entry["key"] for entry in journal_of(out)}) == 20


def test_own_replies_are_the_history_and_images_come_at_their_turn(tmp_path: Path, bench_folder: Path) -> None:
    with FakeChatServer(lambda body: f"own {len(body['messages'])}") as server:
        run(f"--model=api:{server.base_url}#vlm", "--tasks=mmcr_bench", f"--data={bench_folder}", f"--out={tmp_path}/r")
        longest = max(server.requests, key=lambda body: len(body["messages"]))
    assert [m["content"] for m in longest["messages"] if m["role"] == "assistant"] == [
        f"own {n}" for n in range(1, 14, 2)
    ]
    shown = [sum(b["type"] == "image_url" for b in m["content"]) for m in longest["messages"] if m["role"] == "user"]
    assert shown == [1, 1, 1, 0, 0, 0, 0, 0]
    assert longest["messages"][0]["content"][0] == {"type": "text", "text": "Image_1: "}


def test_an_endpoint_that_refuses_one_question_fails_that_sample_only(tmp_path: Path, bench_folder: Path) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        asked = json.dumps(body["messages"])
        return Answer("", refusal="no") if "of dialogue 2" in asked and "Question 3" in asked else Answer("fine")

    with FakeChatServer(answer) as server:
        ask = (f"--model=api:{server.base_url}#vlm", "--tasks=mmcr_bench", f"--data={bench_folder}")
        assert run(*ask, f"--out={tmp_path}/r") == 0
    assert results_of(tmp_path / "r")["tasks"]["mmcr_bench"]["failures"] == {"refusal": 1}


def test_an_unusable_endpoint_stops_the_run_with_its_reason(
    tmp_path: Path, bench_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeChatServer(lambda body: Answer("bad key", status=401)) as server:
        ask = (f"--model=api:{server.base_url}#vlm", "--tasks=mmcr_bench", f"--data={bench_folder}")
        assert run(*ask, f"--out={tmp_path}/r") == 2
    assert "OPENAI_API_KEY" in capsys.readouterr().err


def test_scored_again_with_a_judge_asks_no_model(tmp_path: Path, bench_folder: Path, write_script: Write) -> None:
    out = tmp_path / "run"
    run("--model", write_script({"*": "$reference"}), "--tasks=mmcr_bench", "--data", bench_folder, "--out", out)
    verdict = dict.fromkeys(("Precision", "Consistency", "Logical", "Clarity", "Redundancy", "Overall Score"), 8)
    with FakeChatServer(lambda body: "Why: fine.\n" + json.dumps(verdict)) as server:
        assert run("score", out, f"--judge=api:{server.base_url}#judge") == 0
        assert len(server.requests) > 4  # the canaries, too; `perfect` is what the model said
    totals = results_of(out)["tasks"]["mmcr_bench"]["totals"]
    assert totals["overall"]["value"] == 80.0
    assert "reference_overlap" not in totals


def test_compare_tells_a_difference_from_noise(
    tmp_path: Path, bench_folder: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ("--tasks", "mmcr_bench", "--data", bench_folder)
    run("--model", write_script({"*": "$reference"}), *ask, "--out", tmp_path / "good")
    run("--model", write_script({"*": "nothing"}, "bad.json"), *ask, "--out", tmp_path / "bad")
    run("--model", write_script({"*": "$reference"}, "same.json"), *ask, "--out", tmp_path / "same")
    capsys.readouterr()
    assert run("compare", tmp_path / "good", tmp_path / "bad") == 0
    said = capsys.readouterr().out
    assert "-100.00 [-100.00, -100.00] | no verdict: 4 clusters" in said  # four dialogues decide nothing
    assert run("compare", tmp_path / "good", tmp_path / "same") == 0
    assert "| significant" not in capsys.readouterr().out
    assert run("report", tmp_path / "good", tmp_path / "bad") == 0
    assert "100.00 [100.00, 100.00] | 0.00 [0.00, 0.00]" in capsys.readouterr().out


def test_a_folder_of_another_model_is_not_overwritten(
    tmp_path: Path, bench_folder: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    ask = ("--tasks", "mmcr_bench", "--data", bench_folder, "--out", tmp_path / "run")
    run("--model", write_script({"*": "one"}), *ask)
    assert run("--model", write_script({"*": "two"}, "two.json"), *ask) == 2
    assert "choose another --out" in capsys.readouterr().err


def test_the_benchmark_that_the_guide_adds_runs_as_it_stands(tmp_path: Path, write_script: Write) -> None:
    guide = (Path(__file__).resolve().parents[2] / "docs" / "guides" / "add_benchmark.md").read_text(encoding="utf-8")
    (tmp_path / "colours.py").write_text(guide.split("```python\n")[2].split("```")[0])
    rows = [{"question": "Which colour?", "answer": colour} for colour in ("red", "blue")]
    (tmp_path / "colours.jsonl").write_text("\n".join(json.dumps(row) for row in rows))
    said = ("--model", write_script({"*": "It is red."}), "--tasks", "colours", "--tasks_from", tmp_path / "colours.py")
    said += ("--data", tmp_path / "colours.jsonl", "--out", tmp_path / "r")
    assert run(*said) == 0
    assert results_of(tmp_path / "r")["tasks"]["colours"]["totals"]["accuracy"]["value"] == 50.0
    assert run(*said, "--rules", "official") == 2


def test_kill_minus_nine_loses_at_most_what_was_in_flight(tmp_path: Path, bench_folder: Path) -> None:
    asked = threading.Event()
    seen: list[int] = []

    def answer(body: dict[str, Any]) -> Answer:
        seen.append(len(body["messages"]))
        if len(seen) >= 9:
            asked.set()
        return Answer(f"reply {len(body['messages'])}", delay_s=0.05)

    with FakeChatServer(answer) as server:
        ask = [f"--model=api:{server.base_url}#vlm", "--tasks=mmcr_bench", f"--data={bench_folder}", "--batch_size=2"]
        ask.append(f"--out={tmp_path}/run")
        process = subprocess.Popen([sys.executable, "-m", "eval_tasks", *ask], stdout=subprocess.DEVNULL)
        assert asked.wait(400)
        process.kill()
        process.wait()
        assert run(*ask) == 0
        assert len(server.requests) <= 20 + 2
    assert results_of(tmp_path / "run")["tasks"]["mmcr_bench"]["failures"] == {}
    assert len({entry["key"] for entry in journal_of(tmp_path / "run")}) == 20


@pytest.mark.parametrize("as_mapping", [False, True])
def test_a_file_of_settings_names_the_data_of_several_tasks(
    as_mapping: bool, tmp_path: Path, write_script: Callable[..., str]
) -> None:
    for name in ("MMStar", "AI2D"):
        questions(tmp_path / f"{name}.jsonl", 2)
    places = {"mmstar": f"{tmp_path}/MMStar.jsonl", "ai2d": f"{tmp_path}/AI2D.jsonl"}
    data = places if as_mapping else [f"{task}={place}" for task, place in places.items()]
    settings = {
        "model": write_script({"*": "B"}),
        "tasks": "mmstar,ai2d",
        "data": data,
        "output_dir": f"{tmp_path}/run",
    }
    (tmp_path / "run.yaml").write_text(json.dumps(settings))
    assert main(["--tasks_config", f"{tmp_path}/run.yaml"]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert {task: entry["num_samples"] for task, entry in results["tasks"].items()} == {"mmstar": 2, "ai2d": 2}
