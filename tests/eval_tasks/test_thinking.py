"""Reasoning models, endpoints with manners of their own, several answers a sample."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.__main__ import main
from tests.eval_tasks.test_failures_count import entry_of, questions
from tests.fake_chat_server import Answer, FakeChatServer

Write = Callable[..., str]


def records_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text().splitlines()]


def completion(message: dict[str, Any], **more: Any) -> Answer:
    """An answer with this message."""
    choice = {"finish_reason": "stop", "message": {"role": "assistant", **message}}
    return Answer(raw=json.dumps({"model": "m", "created": 1, "choices": [choice], **more}).encode())


THINKING = [
    {"content": "<think>A or C?</think>\n\nB"},
    {"content": "A or C?</think>\n\nB"},
    {"content": "B", "reasoning_content": "A or C?"},
    {"content": "B", "reasoning": "A or C?"},
    {
        "content": [
            {"type": "thinking", "thinking": [{"type": "text", "text": "A or C?"}]},
            {"type": "text", "text": "B"},
        ]
    },
]


@pytest.mark.parametrize("message", THINKING)
def test_thoughts_are_in_no_score_and_no_history_and_whole_in_the_journal(
    message: dict[str, Any], tmp_path: Path, bench_folder: Path
) -> None:
    with FakeChatServer(lambda body: completion(message)) as server:
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmstar", f"--data={questions(tmp_path / 'MMStar.jsonl')}"]
        assert main([*ask, f"--out={tmp_path}/run"]) == 0
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmcr_bench", f"--data={bench_folder}", "--limit=1"]
        assert main([*ask, f"--out={tmp_path}/turns"]) == 0
        history = [m["content"] for m in server.requests[-1]["messages"] if m["role"] == "assistant"]
    entry = entry_of(tmp_path / "run")
    assert (entry["totals"]["accuracy"]["value"], entry["num_thinking"]) == (100.0, 10)
    assert records_of(tmp_path / "run")[0]["thoughts"] == {"1": "A or C?"}
    assert "A or C?" in (tmp_path / "run" / "journal.jsonl").read_text()
    assert set(history) == {"B"}


def test_thoughts_are_kept_where_that_is_asked(tmp_path: Path, write_script: Write) -> None:
    data = questions(tmp_path / "MMStar.jsonl", 2)
    model = write_script({"*": "<think>a dog</think>B"})
    ask = ["--model", model, "--tasks=mmstar", f"--data={data}", "--thinking=keep", f"--out={tmp_path}/run"]
    assert main(ask) == 0
    assert records_of(tmp_path / "run")[0]["replies"] == ["<think>a dog</think>B"]


def test_thoughts_without_an_end_are_no_answer(tmp_path: Path) -> None:
    said = completion({"content": None, "reasoning_content": "It must be B, or"})
    said = Answer(raw=said.raw.replace(b'"stop"', b'"length"') if said.raw else None)
    with FakeChatServer(lambda body: said) as server:
        data = questions(tmp_path / "MMStar.jsonl", 3)
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
        assert main(ask) == 0
    entry = entry_of(tmp_path / "run")
    assert (entry["totals"]["accuracy"]["value"], entry["num_truncated"], entry["num_unread"]) == (0.0, 3, 3)


def test_thoughts_are_switched_off_by_the_template(tmp_path: Path) -> None:
    with FakeChatServer(lambda body: "B") as server:
        data = questions(tmp_path / "MMStar.jsonl", 1)
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
        assert main([*ask, "--thinking=off", "--max_thinking_tokens=100"]) == 0
        body = server.requests[0]
    assert (body["chat_template_kwargs"], body["max_tokens"]) == ({"enable_thinking": False}, 1124)


def test_settings_reach_the_server_and_are_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with FakeChatServer(lambda body: "B") as server:
        data = questions(tmp_path / "MMStar.jsonl", 1)
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
        more = ["--gen_kwargs=temperature=0.6,top_p=0.95,max_new_tokens=7", "--system_prompt=Be brief."]
        assert main([*ask, *more, '--extra_body={"top_k": 20}']) == 0
        body = server.requests[0]
    assert {name: body[name] for name in ("temperature", "top_p", "top_k", "max_tokens")} == {
        "temperature": 0.6,
        "top_p": 0.95,
        "top_k": 20,
        "max_tokens": 7,
    }
    assert body["messages"][0] == {"role": "system", "content": "Be brief."}
    assert main(ask) == 2
    assert "choose another --output_dir" in capsys.readouterr().err


def test_several_answers_a_sample_give_their_mean_and_pass_at_k(
    tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    data = questions(tmp_path / "MMStar.jsonl", 5)
    model = write_script({"0": "B", "1": {"repeats": ["B", "A", "A", "A"]}, "*": "A"})
    ask = ["--model", model, "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run", "--num_samples=4"]
    assert main(ask) == 0
    totals = {name: total["value"] for name, total in entry_of(tmp_path / "run")["totals"].items()}
    assert totals["accuracy"] == pytest.approx(100 * (1 + 0.25) / 5)
    assert totals["accuracy pass@2"] == pytest.approx(100 * (1 + 0.5) / 5)
    assert totals["accuracy pass@4"] == pytest.approx(40)
    entry = entry_of(tmp_path / "run")
    assert (entry["num_samples"], entry["answers_per_sample"]) == (5, 4)
    assert "| 5 x 4 |" in capsys.readouterr().out
    assert main(["score", f"{tmp_path}/run"]) == 0
    assert main(["compare", f"{tmp_path}/run", f"{tmp_path}/run"]) == 0


def test_several_greedy_answers_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    ask = ["--model=api:http://127.0.0.1:1/v1#m", "--tasks=mmstar", "--num_samples=4", f"--out={tmp_path}/run"]
    assert main(ask) == 2
    assert "greedy decoding gives the same reply each time" in capsys.readouterr().err


def refusing(*names: str, param: bool = True) -> Callable[[dict[str, Any]], Answer]:
    """A server whose model doesn't take these fields."""

    def answer(body: dict[str, Any]) -> Answer:
        for name in names:
            if name in body:
                text = f"Unsupported parameter: '{name}' is not supported with this model."
                return Answer(text, status=400, code="unsupported_parameter", param=name if param else None)
        return Answer("0.5" if "The grade:" in str(body["messages"]) else "B")

    return answer


@pytest.mark.parametrize("param", [True, False])
@pytest.mark.parametrize("names", [("temperature",), ("max_tokens",), ("temperature", "max_tokens", "seed")])
def test_a_model_and_a_judge_that_refuse_fields_are_asked_without_them(
    names: tuple[str, ...], param: bool, tmp_path: Path, write_script: Write
) -> None:
    data = questions(tmp_path / "MMStar.jsonl", 3)
    vet = questions(tmp_path / "MMVet.jsonl", 3, answer="x", category="rec")
    with FakeChatServer(refusing(*names, param=param)) as server:
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmstar", f"--data={data}"]
        assert main([*ask, f"--out={tmp_path}/run"]) == 0
        ask = ["--model", write_script({"*": "x"}), "--tasks=mmvet", f"--data={vet}", f"--out={tmp_path}/judged"]
        assert main([*ask, f"--judge=api:{server.base_url}#j?temperature=none"]) == 0
    assert entry_of(tmp_path / "run")["failures"] == {}
    assert entry_of(tmp_path / "judged", "mmvet")["totals"]["score"]["value"] == 50.0


def test_a_limit_that_is_too_large_is_an_error_not_a_refusal(tmp_path: Path) -> None:
    refusal = Answer("max_tokens is too large: 1024", status=400, code="invalid_value", param="max_tokens")
    with FakeChatServer(lambda body: refusal) as server:
        data = questions(tmp_path / "MMStar.jsonl", 2)
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
        assert main(ask) == 1
        assert all("max_tokens" in body for body in server.requests)


@pytest.mark.parametrize("said", ["<think>close enough</think>\n\n0.6", "close, so</think>0.6"])
def test_a_judge_that_thinks_aloud_is_read(said: str, tmp_path: Path, write_script: Write) -> None:
    data = questions(tmp_path / "MMVet.jsonl", 3, answer="x", category="rec")
    ask = ["--model", write_script({"*": "x"}), "--tasks=mmvet", f"--data={data}", f"--out={tmp_path}/run"]
    with FakeChatServer(
        lambda body: said if body["max_tokens"] > 128 else Answer("<think>", finish_reason="length")
    ) as s:
        assert main([*ask, f"--judge=api:{s.base_url}#j"]) == 0
    entry = entry_of(tmp_path / "run", "mmvet")
    assert (entry["unjudged"], entry["totals"]["score"]["value"]) == ({}, pytest.approx(60))


@pytest.mark.usefixtures("short_waits")
def test_a_full_server_that_names_no_time_is_waited_for(tmp_path: Path) -> None:
    start = time.monotonic()

    def answer(body: dict[str, Any]) -> Answer:
        return Answer("B") if time.monotonic() - start > 1.6 else Answer("slow down", status=429)

    data = questions(tmp_path / "MMStar.jsonl", 3)
    with FakeChatServer(answer) as server:
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
        assert main(ask) == 0
    assert entry_of(tmp_path / "run")["failures"] == {}


ODD: list[dict[str, Any]] = [
    {"created": 1_770_000_000_000},
    {"created": "2026-02-02T10:00:00Z"},
    {"created": "never"},
    {"usage": {"prompt_tokens": "12", "completion_tokens": "many"}},
    {"usage": "none"},
    {"usage": {"prompt_tokens": 10**30, "completion_tokens": -1}},
]


@pytest.mark.parametrize("odd", ODD)
def test_odd_metadata_of_a_reply_costs_nothing(odd: dict[str, Any], tmp_path: Path) -> None:
    with FakeChatServer(lambda body: completion({"content": "B"}, **odd)) as server:
        data = questions(tmp_path / "MMStar.jsonl", 2)
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
        assert main(ask) == 0
    assert entry_of(tmp_path / "run")["totals"]["accuracy"]["value"] == 100.0


def test_one_moderated_input_costs_one_sample(tmp_path: Path) -> None:
    def answer(body: dict[str, Any]) -> Answer:
        flagged = Answer("Your chosen model requires moderation and your input was flagged", status=403)
        return flagged if "in 1?" in str(body["messages"]) else Answer("B")

    with FakeChatServer(answer) as server:
        data = questions(tmp_path / "MMStar.jsonl", 4)
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
        assert main(ask) == 0
    assert entry_of(tmp_path / "run")["failures"] == {"content_filter": 1}


def test_a_thinking_server_killed_twice_loses_nothing(tmp_path: Path) -> None:
    """A hundred samples; each reply has its thoughts in another place, and the model takes no temperature."""
    data = questions(tmp_path / "MMStar.jsonl", 100)
    served: list[str] = []

    def answer(body: dict[str, Any]) -> Answer:
        if "temperature" in body:
            return Answer("temperature", status=400, code="unsupported_value", param="temperature")
        time.sleep(0.02)
        served.append(str(body["messages"]))
        return completion(THINKING[len(served) % len(THINKING)])

    with FakeChatServer(answer) as server:
        ask = [f"--model=api:{server.base_url}#m", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
        for num_before_kill in (30, 60):
            process = subprocess.Popen([sys.executable, "-m", "eval_tasks", *ask], stderr=subprocess.DEVNULL)
            while len(served) < num_before_kill:
                assert process.poll() is None
                time.sleep(0.01)
            process.kill()
            process.wait()
        assert main(ask) == 0
        assert 100 <= len(served) <= 100 + 2 * 16  # at most what was in flight is asked again
    entry = entry_of(tmp_path / "run")
    assert (entry["num_samples"], entry["num_thinking"], entry["failures"]) == (100, 100, {})
    assert entry["totals"]["accuracy"]["value"] == 100.0
