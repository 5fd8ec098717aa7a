"""One odd answer never ends a run, is never published as whole, and counts as money where it may have been billed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from mmcr_dataset.build_settings import BuildSettings
from mmcr_dataset.endpoint.client import Endpoint, EndpointUnusable, RequestFailed
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.reply import read_reply, read_usage
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.pipeline import build
from mmcr_dataset.record.load import load_dialogues
from mmcr_dataset.stage.stages import StageCount
from tests.conftest import image_bytes
from tests.fake_chat_server import Answer, FakeChatServer
from tests.local_server import Handler, LocalServer

WHOLE = "\n".join(
    f"< Human {n} >: {'<image 1> ' if n == 1 else ''}What is told in part {n}?\n"
    f"< Assistant {n} >: In image 1 part {n} shows a kite on a wall, and a river that runs behind it."
    for n in range(1, 5)
)


def raw_of(**parts: Any) -> dict[str, Any]:
    choice = {"message": {"content": "hello"}, "finish_reason": "stop"}
    return {"model": "m", "created": 1750000000, "choices": [choice], "usage": {}} | parts


@pytest.mark.parametrize(
    ("ended", "reason"),
    [
        *((why, "length") for why in ("length", "MAX_TOKENS", "model_length", "max_output_tokens")),
        *((why, "content_filter") for why in ("content_filter", "SAFETY", "sensitive")),
        *((why, "unfinished") for why in ("error", "abort", "insufficient_system_resource", "network_error")),
        *((why, "unfinished") for why in ("tool_calls", "a name of tomorrow", ["stop"], {"stop": 1}, 7)),
        *((why, None) for why in ("stop", "STOP", None, "")),
    ],
)
def test_only_whole_answers_are_read(ended: Any, reason: str | None) -> None:
    raw = raw_of(choices=[{"message": {"content": "hello"}, "finish_reason": ended}])
    if reason is None:
        assert read_reply(raw, False).text == "hello"
        return
    with pytest.raises(RequestFailed) as failure:
        read_reply(raw, False)
    assert failure.value.reason == reason


@pytest.mark.parametrize(
    ("parts", "text"),
    [
        ({"created": "yesterday"}, "hello"),
        ({"created": 1e300}, "hello"),
        ({"created": [1]}, "hello"),
        ({"created": None, "model": 7, "usage": "many"}, "hello"),
        ({"usage": {"prompt_tokens": "12", "completion_tokens": -4}}, "hello"),
        ({"usage": [1, 2]}, "hello"),
        ({"choices": {"message": {"content": "hello"}}}, "hello"),
        ({"choices": [{"message": "hello"}]}, "hello"),
        ({"choices": [{"text": "hello"}]}, "hello"),
        ({"choices": [{"message": {"content": ["hel", {"type": "text", "text": "lo"}]}}]}, "hello"),
        ({"choices": [{"message": {"content": [{"type": "thinking", "text": "hm"}, {"text": "hello"}]}}]}, "hello"),
        ({"choices": [{"message": {"content": {"type": "text", "text": "hello"}}}]}, "hello"),
        ({"choices": [{"message": {"content": 5}}]}, "empty_reply"),
        ({"choices": [{"message": None}]}, "empty_reply"),
        ({"choices": ["hello"]}, "no_choice"),
        ({"choices": "hello"}, "no_choice"),
        ({"choices": None}, "no_choice"),
        ({"choices": [{"message": {"content": None, "refusal": ["no"]}}]}, "refusal"),
    ],
)
def test_odd_types_are_read_leniently_or_fail_by_name(parts: dict[str, Any], text: str) -> None:
    raw = raw_of(**parts)
    assert all(0 <= count < 2**31 for count in read_usage(raw).values())
    if text == "hello":
        assert read_reply(raw, False).text == text
        return
    with pytest.raises(RequestFailed) as failure:
        read_reply(raw, False)
    assert failure.value.reason == text


def write_documents(folder: Path, words: list[str]) -> str:
    folder.mkdir()
    for number, word in enumerate(words):
        (folder / f"{number:02}.png").write_bytes(image_bytes(number))
        (folder / f"{number:02}.txt").write_text(f"{word}: a red kite rests on the old stone wall beside the river.")
    return str(folder)


def build_with(url: str, tmp_path: Path, words: list[str], **endpoint: Any) -> list[StageCount]:
    source = str(tmp_path / "p") if (tmp_path / "p").exists() else write_documents(tmp_path / "p", words)
    writer = WriterSettings("openai", Endpoint(url, **{"model": "m", "max_attempts": 2, **endpoint}))
    return build(BuildSettings(source, tmp_path / "set", writer=writer, matcher="none"))


def of(request: dict[str, Any]) -> str:
    return json.dumps(request)


MODERATED = json.dumps({"error": {"code": 403, "message": "no", "metadata": {"flagged_input": "x", "reasons": ["y"]}}})


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        (Answer(status=403, raw=MODERATED.encode()), "content_filter"),
        (Answer("Input data may contain inappropriate content", 400, code="data_inspection_failed"), "content_filter"),
        (Answer("not for you", status=403), "http_403"),
        (Answer("bad image", status=400), "http_400"),
        (Answer("too large", status=413), "http_413"),
        (Answer("half", finish_reason="error"), "unfinished"),
        (Answer(raw=b'{"choices": [{"message": 5}], "created": "x", "usage": 7}'), "empty_reply"),
        (Answer(raw=b"[" * 100_000), "bad_reply"),
    ],
)
def test_documents_that_are_refused_fail_by_name_and_the_others_are_published(
    answer: Answer, reason: str, tmp_path: Path
) -> None:
    words = ["calm", "quiet", *["FLAGGED"] * 45, "mild"]
    with FakeChatServer(lambda request: answer if "FLAGGED" in of(request) else WHOLE) as server:
        counts = build_with(server.base_url, tmp_path, words if reason.startswith(("http", "c")) else words[-5:])
    assert counts[1].num_kept == (3 if len(words) == counts[1].num_in else 1)
    assert set(counts[1].removed) == {reason}


def test_a_key_that_may_not_use_the_model_ends_the_run(tmp_path: Path) -> None:
    with FakeChatServer(lambda _: Answer("no access", status=403)) as server:
        with pytest.raises(EndpointUnusable, match="set OPENAI_API_KEY"):
            build_with(server.base_url, tmp_path, [f"calm {n}" for n in range(40)], max_in_flight=2)
        assert len(server.requests) < 30


def test_an_unreadable_reply_is_asked_for_once_more_and_counted(tmp_path: Path) -> None:
    asked: Counter[str] = Counter()

    def answer(request: dict[str, Any]) -> str:
        asked[of(request)] += 1
        mended = "mends" in of(request) and asked[of(request)] > 1
        return WHOLE if mended else f"```\n{WHOLE}\n```" if "fenced" in of(request) else "no dialogue"

    words = ["mends", "fenced", "never"]
    with FakeChatServer(answer) as server:
        counts = build_with(server.base_url, tmp_path, words)
        assert sorted(asked.values()) == [1, 2, 2]
        again = build_with(server.base_url, tmp_path, words)
        assert sorted(asked.values()) == [1, 2, 2], "neither answer is paid twice"
    assert counts[1] == again[1]
    assert (counts[1].num_kept, counts[1].removed) == (2, {"no_turns": 1})
    assert counts[1].mended == {"asked_again": 1, "fence": 1}
    assert all(one.references[-1].endswith("behind it.") for one in load_dialogues(str(tmp_path / "set")))


class _Cutting(Handler):
    """Answers with a part of its body, or hangs up, or gives up as a gateway does."""

    how = "body"
    num_made = 0

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        type(self).num_made += 1
        if self.how == "gateway":
            self.send_response(504)
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        if self.how == "body":
            self.send_response(200)
            self.send_header("Content-Length", "9000")
            self.end_headers()
            self.wfile.write(b'{"choices": [')
        self.close_connection = True


@pytest.mark.parametrize("how", ["body", "nothing", "gateway"])
def test_what_may_have_been_billed_counts_against_the_limit(
    how: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(_Cutting, "how", how)
    monkeypatch.setattr(_Cutting, "num_made", 0)
    made_usd = 1000 * 2.5e-6 + 4000 * 10e-6
    with LocalServer(_Cutting) as server, pytest.raises(EndpointUnusable, match="max_cost_usd"):
        build_with(f"{server.url}/v1", tmp_path, ["calm"] * 6, model="gpt-4o", max_cost_usd=0.15, max_attempts=6)
    assert 0 < _Cutting.num_made * made_usd <= 0.15
    with Ledger(tmp_path / "set.work" / "ledger.sqlite") as ledger:
        assert 0 < ledger.totals().usd <= 0.15


def test_a_server_that_is_not_there_costs_nothing(tmp_path: Path) -> None:
    with LocalServer(_Cutting) as server:
        url = f"{server.url}/v1"
    with pytest.raises(ValueError, match="none of 2 requests was answered"):
        build_with(url, tmp_path, ["calm"] * 2, model="gpt-4o", max_cost_usd=1.0)
    with Ledger(tmp_path / "set.work" / "ledger.sqlite") as ledger:
        assert ledger.totals().usd == 0


def test_documents_that_must_be_dropped_are_not_paid_for(tmp_path: Path) -> None:
    source, bench = Path(write_documents(tmp_path / "p", ["calm", "quiet", "mild", "grey"])), tmp_path / "bench"
    bench.mkdir()
    (bench / "q.png").write_bytes((source / "01.png").read_bytes())
    (source / "09.png").write_bytes((source / "00.png").read_bytes())
    (source / "09.txt").write_text("Another text about the same image of a red kite.")
    (source / "02.txt").write_text("A red kite rests on the \ufffd\ufffd stone wall.")
    with FakeChatServer(lambda _: WHOLE) as server:
        writer = WriterSettings("openai", Endpoint(server.base_url, "m"))
        settings = BuildSettings(str(source), tmp_path / "set", writer=writer, matcher="none", evaluation_sets=(bench,))
        counts = build(settings)
        assert len(server.requests) == 2
        dropped = {"in_evaluation_set": 1, "repeated_images": 1, "unclear_text": 1}
        assert (counts[1].num_in, counts[1].num_kept, counts[1].removed) == (5, 2, dropped)
        counts = build(BuildSettings(str(source), tmp_path / "set", writer=writer, matcher="none"))
        assert (counts[1].num_kept, len(server.requests)) == (3, 3), "a set that is no longer named drops nothing"
