"""Our benchmarks under inspect_ai, asked of a local server."""

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import image_bytes
from tests.fake_chat_server import Answer, FakeChatServer

inspect_ai = pytest.importorskip("inspect_ai", reason="needs pip install -e '.[inspect]'")


def say(text: str) -> Answer:
    return Answer(text, usage={"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2})


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A function (server, flags) -> the finished log."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MOCK_API_KEY", "none")

    def run(server: FakeChatServer, **flags: Any) -> Any:
        from eval_tasks.inspect_tasks import benchmark

        (log,) = inspect_ai.eval(
            benchmark(**flags),
            model="openai-api/mock/vlm",
            model_base_url=server.base_url,
            display="none",
            log_dir=str(tmp_path / "logs"),
        )
        assert log.status == "success", log.error
        return log

    return run


def test_one_turn_benchmark_gives_our_totals(tmp_path: Path, ask: Any) -> None:
    image = base64.b64encode(image_bytes(1)).decode()
    rows = [{"index": n, "question": f"Which, {n}?", "A": "a dog", "B": "a cat", "answer": "B"} for n in range(4)]
    (tmp_path / "MMStar.jsonl").write_text("\n".join(json.dumps({**row, "image": image}) for row in rows))
    with FakeChatServer(lambda body: say("A" if "Which, 3?" in json.dumps(body) else "B. a cat")) as server:
        log = ask(server, name="mmstar", data=str(tmp_path / "MMStar.jsonl"))
        content = server.requests[0]["messages"][-1]["content"]
    assert [block["type"] for block in content] == ["image_url", "text"]
    assert log.results.scores[0].metrics["accuracy"].value == 75.0


def test_dialogue_keeps_the_models_own_replies(bench_folder: Path, ask: Any) -> None:
    with FakeChatServer(lambda body: say(f"own {len(body['messages'])}")) as server:
        log = ask(server, name="mmcr_bench", data=str(bench_folder))
        longest = max((body["messages"] for body in server.requests), key=len)
    said = [message["content"] for message in longest if message["role"] == "assistant"]
    assert [one if isinstance(one, str) else one[0]["text"] for one in said] == [f"own {n}" for n in range(1, 14, 2)]
    assert len(server.requests) == 20
    assert "reference_overlap" in log.results.scores[0].metrics


def test_unknown_name_is_answered_with_near_names() -> None:
    from eval_tasks.inspect_tasks import benchmark

    with pytest.raises(ValueError, match="did you mean mmstar"):
        benchmark(name="mmsta")
