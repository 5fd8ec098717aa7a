"""Writer openai-batch: the data set of openai, paid once whatever happens in between."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from mmcr_dataset.build_settings import BuildSettings
from mmcr_dataset.endpoint.client import Endpoint, EndpointUnusable
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.writer_settings import BatchSettings, WriterSettings
from mmcr_dataset.pipeline import build
from mmcr_dataset.stage.stages import StageCount
from tests.conftest import image_bytes
from tests.fake_batch_api import BatchPlan
from tests.fake_chat_server import Answer, FakeChatServer
from tests.mmcr_dataset.test_pipeline import contents, good_reply

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """Twelve single images with text."""
    folder = tmp_path / "source"
    folder.mkdir()
    for number in range(12):
        (folder / f"{number}.png").write_bytes(image_bytes(number))
        (folder / f"{number}.txt").write_text(f"This is the field number {number}. It has a long fence.")
    return folder


def build_by(writer: str, source: Path, out: Path, server: FakeChatServer, **settings: Any) -> list[StageCount]:
    endpoint = Endpoint(server.base_url, settings.pop("model", "fake"), max_cost_usd=settings.pop("max_cost_usd", None))
    batches = BatchSettings(**settings)
    return build(
        BuildSettings(str(source), out, writer=WriterSettings(writer, endpoint, batches=batches), matcher="none")
    )


def texts(server: FakeChatServer) -> list[str]:
    return sorted(request["messages"][0]["content"][0]["text"] for request in server.batches.requests())


def test_batch_gives_the_same_bytes_as_single_requests_and_asks_none(source: Path, tmp_path: Path) -> None:
    with FakeChatServer(good_reply) as server:
        build_by("openai", source, tmp_path / "a" / "set", server)
    with FakeChatServer(good_reply) as server:
        build_by("openai-batch", source, tmp_path / "b" / "set", server, max_requests=5)
        build_by("openai-batch", source, tmp_path / "b" / "set", server)
        assert len(server.batches.batches) == 3
        assert server.requests == []
        assert len(set(texts(server))) == len(texts(server)) == 12
    assert contents(tmp_path / "a" / "set") == contents(tmp_path / "b" / "set")
    assert not list((tmp_path / "b" / "set.work" / "batches").glob("*.jsonl"))


def test_batch_files_keep_the_limits_of_size_and_number(source: Path, tmp_path: Path) -> None:
    with FakeChatServer(good_reply) as server:
        build_by("openai-batch", source, tmp_path / "set", server, max_size_bytes=60_000)
        sizes = [len(server.batches.files[batch["input_file_id"]]) for batch in server.batches.batches.values()]
        assert len(sizes) > 1
        assert max(sizes) <= 60_000


def test_batch_expired_or_forgotten_requests_are_asked_again_and_only_they(source: Path, tmp_path: Path) -> None:
    plans = [BatchPlan(answered=7), BatchPlan(forgotten=2), BatchPlan()]
    with FakeChatServer(good_reply) as server:
        server.batches.plan = lambda number: plans[number]
        counts = build_by("openai-batch", source, tmp_path / "set", server)
        sent = [server.batches.files[batch["input_file_id"]] for batch in server.batches.batches.values()]
        assert [len(lines.splitlines()) for lines in sent] == [12, 5, 2]
    assert counts[-1].num_kept == 12


def test_batch_failures_have_the_reasons_of_single_requests(source: Path, tmp_path: Path) -> None:
    asked: list[str] = []

    def reply(request: dict[str, Any]) -> str | Answer:
        text = request["messages"][0]["content"][0]["text"]
        asked.append(text)
        if "number 0." in text:
            return Answer("no", status=400, code="content_policy_violation")
        if "number 1." in text:
            return Answer("busy", status=500) if asked.count(text) == 1 else good_reply(request)
        if "number 2." in text and request["max_tokens"] == 4096:
            return Answer("cut", finish_reason="length")
        return Answer(None, refusal="I would rather not.") if "number 3." in text else good_reply(request)

    with FakeChatServer(reply) as server:
        counts = build_by("openai-batch", source, tmp_path / "set", server)
        assert len(server.batches.batches) == 2
    assert counts[1].removed == {"content_filter": 1, "refusal": 1}
    assert counts[1].num_kept == 10


def test_batch_server_that_wants_the_newer_name_of_the_limit_gets_it(source: Path, tmp_path: Path) -> None:
    def reply(request: dict[str, Any]) -> str | Answer:
        refusal = Answer("use the other", status=400, code="unsupported_parameter", param="max_tokens")
        return refusal if "max_tokens" in request else good_reply(request)

    with FakeChatServer(reply) as server:
        assert build_by("openai-batch", source, tmp_path / "set", server)[-1].num_kept == 12
        assert len(server.batches.batches) == 2


def test_batch_costs_half_and_never_crosses_the_limit(source: Path, tmp_path: Path) -> None:
    with FakeChatServer(good_reply) as server:
        with pytest.raises(EndpointUnusable, match="stopped before crossing --max_cost_usd"):
            build_by(
                "openai-batch", source, tmp_path / "set", server, model="gpt-4o", max_requests=3, max_cost_usd=0.075
            )
        num_sent = len(texts(server))
        assert 0 < num_sent < 12
    with Ledger(tmp_path / "set.work" / "ledger.sqlite") as ledger:
        assert ledger.totals().usd == pytest.approx(num_sent * 0.5 * (1000 * 2.5 + 100 * 10) / 1e6)


def test_batch_refused_by_validation_says_why_and_queue_that_is_full_waits(source: Path, tmp_path: Path) -> None:
    with FakeChatServer(good_reply) as server:
        server.batches.plan = lambda number: BatchPlan(refused="invalid_json_line")
        with pytest.raises(EndpointUnusable, match=r"refused a batch of 12 requests: refused: invalid_json_line"):
            build_by("openai-batch", source, tmp_path / "set", server)
        server.batches.plan = lambda number: BatchPlan(looks=4 if number == 1 else 0, refused=refusals.get(number))
        refusals = {2: "token_limit_exceeded"}
        counts = build_by("openai-batch", source, tmp_path / "set", server, max_requests=6)
        assert len(texts(server)) == 12
    assert counts[-1].num_kept == 12


def test_batch_made_although_the_connection_broke_is_found_and_not_made_twice(source: Path, tmp_path: Path) -> None:
    with FakeChatServer(good_reply) as server:
        server.batches.plan = lambda number: BatchPlan(lost_reply=number == 0)
        build_by("openai-batch", source, tmp_path / "set", server)
        assert len(server.batches.batches) == 1


def start_build(source: Path, out: Path, url: str) -> subprocess.Popen[bytes]:
    program = (
        "import sys; from pathlib import Path\n"
        "from mmcr_dataset.endpoint.client import Endpoint; from mmcr_dataset.pipeline import build\n"
        "from mmcr_dataset.build_settings import BuildSettings; from mmcr_dataset.generate.writer_settings import *\n"
        "source, out, url = sys.argv[1:]\n"
        "writer = WriterSettings('openai-batch', Endpoint(url, 'fake'), batches=BatchSettings(max_requests=4))\n"
        "build(BuildSettings(source, Path(out), writer=writer, matcher='none'))\n"
    )
    return subprocess.Popen([sys.executable, "-c", program, str(source), str(out), url], cwd=ROOT)


@pytest.mark.parametrize("moment", ["uploaded", "made, not heard of", "looked at"])
def test_batch_killed_between_any_two_steps_pays_once(moment: str, source: Path, tmp_path: Path) -> None:
    with FakeChatServer(good_reply) as server:
        calm = server.batches
        build_by("openai-batch", source, tmp_path / "calm" / "set", server)
        assert len(calm.batches) == 1
    with FakeChatServer(good_reply) as server:
        batches, victim = server.batches, []

        def kill(*_: object) -> None:
            os.kill(victim[0].pid, signal.SIGKILL)
            time.sleep(0.2)

        step = {"uploaded": "upload", "made, not heard of": "create", "looked at": "look"}[moment]
        whole = getattr(batches, step)
        calls: list[int] = []

        def step_and_kill(*arguments: Any) -> Any:
            done = whole(*arguments)
            calls.append(1)
            if len(calls) == 2:
                kill()
            return done

        setattr(batches, step, step_and_kill)
        victim.append(start_build(source, tmp_path / "set", server.base_url))
        assert victim[0].wait() == -signal.SIGKILL
        assert start_build(source, tmp_path / "set", server.base_url).wait() == 0
        assert len(batches.batches) == 3
        assert len(set(texts(server))) == len(texts(server)) == 12
    assert contents(tmp_path / "set") == contents(tmp_path / "calm" / "set")
