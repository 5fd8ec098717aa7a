"""The client and the ledger against a real local server: what is asked again, what never, what is paid once."""

from __future__ import annotations

import asyncio
import sqlite3
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmcr_dataset.endpoint.client import ChatClient, Endpoint, EndpointUnusable, Reply, RequestFailed
from mmcr_dataset.endpoint.ledger import Ledger, LedgerError, to_asked
from mmcr_dataset.endpoint.prices import find_price
from mmcr_dataset.endpoint.reply import InputRefused
from tests.fake_chat_server import Answer, FakeChatServer

ASK = [{"role": "user", "content": "Hello?"}]


def ask_all(server: FakeChatServer, path: Path, texts: list[str], **settings: Any) -> list[Reply | Exception]:
    """Ask each text at once; replies or failures in order."""

    async def run() -> list[Any]:
        endpoint = Endpoint(server.base_url, settings.pop("model", "fake"), **settings)
        with Ledger(path) as ledger:
            async with ChatClient(endpoint, ledger) as client:
                asked = (client.ask([{"role": "user", "content": text}], max_tokens=100) for text in texts)
                return await asyncio.gather(*asked, return_exceptions=True)

    return asyncio.run(run())


def test_ask_same_request_is_paid_once_and_a_changed_one_again(tmp_path: Path) -> None:
    with FakeChatServer(lambda request: f"echo {request['messages'][0]['content']}") as server:
        first = ask_all(server, tmp_path / "l.sqlite", ["a", "b"])
        again = ask_all(server, tmp_path / "l.sqlite", ["a", "b", "c"])
        assert len(server.requests) == 3
    assert [reply.text for reply in again if isinstance(reply, Reply)] == ["echo a", "echo b", "echo c"]
    assert [reply.from_ledger for reply in again if isinstance(reply, Reply)] == [True, True, False]
    assert isinstance(first[0], Reply)
    assert first[0].model == "fake-vlm-2026-01-01"
    assert first[0].date == "2025-10-09"
    assert first[0].prompt_tokens == 1000


def test_ask_busy_server_is_asked_again_after_the_time_it_names(tmp_path: Path) -> None:
    answers = iter([Answer(status=429, headers={"Retry-After-Ms": "5"}), Answer(status=503), Answer("done")])
    with FakeChatServer(lambda _: next(answers)) as server:
        (reply,) = ask_all(server, tmp_path / "l.sqlite", ["a"])
        assert len(server.requests) == 3
    assert isinstance(reply, Reply)


@pytest.mark.parametrize(
    ("answer", "reason", "num_requests"),
    [
        (Answer("half a sen", finish_reason="length"), "length", 1),
        (Answer("...", finish_reason="content_filter"), "content_filter", 1),
        (Answer(None, refusal="I would rather not."), "refusal", 1),
        (Answer("  "), "empty_reply", 1),
        (Answer("bad image", status=400), "http_400", 1),
        (Answer("blocked", status=400, code="content_filter"), "content_filter", 1),
        (Answer("blocked", status=400, code="content_policy_violation"), "content_filter", 1),
        (Answer("down", status=500, headers={"Retry-After": "0"}), "http_500", 2),
        (Answer(raw=b"<html>", status=200), "bad_reply", 2),
        (Answer(raw=b'{"choices": []}', status=200), "no_choice", 1),
    ],
)
def test_ask_failure_has_a_reason_and_is_asked_again_next_time(
    answer: Answer, reason: str, num_requests: int, tmp_path: Path
) -> None:
    with FakeChatServer(lambda _: answer) as server:
        (failure,) = ask_all(server, tmp_path / "l.sqlite", ["a"], max_attempts=2)
        assert isinstance(failure, RequestFailed)
        assert failure.reason == reason
        assert len(server.requests) == num_requests
    with Ledger(tmp_path / "l.sqlite") as ledger:
        stored = num_requests if reason == "bad_reply" else 1  # each of those may have been paid
        assert (ledger.totals().num_answered, ledger.totals().num_failed) == (0, stored)
    with FakeChatServer(lambda _: "now it works") as server:
        (reply,) = ask_all(server, tmp_path / "l.sqlite", ["a"])
    assert isinstance(reply, Reply)


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        (Answer("bad key", status=401), "set OPENAI_API_KEY"),
        (Answer("no such model", status=404), "check the address and the model's name"),
        (Answer("quota", status=429, code="insufficient_quota"), "quota is used up"),
        (Answer("pay first", status=402), "quota is used up"),
    ],
)
def test_ask_hopeless_endpoint_stops_the_run_at_once(answer: Answer, said: str, tmp_path: Path) -> None:
    with FakeChatServer(lambda _: answer) as server:
        (failure,) = ask_all(server, tmp_path / "l.sqlite", ["a"])
        assert len(server.requests) == 1
    assert isinstance(failure, EndpointUnusable)
    assert said in str(failure)


def test_ask_server_that_hangs_is_a_timeout_and_one_that_is_gone_a_connection(tmp_path: Path) -> None:
    with FakeChatServer(lambda _: Answer("late", delay_s=1.0)) as server:
        (failure,) = ask_all(server, tmp_path / "l.sqlite", ["a"], timeout_s=0.2, max_attempts=1)
    assert isinstance(failure, RequestFailed)
    assert failure.reason == "timeout"
    (failure,) = ask_all(server, tmp_path / "l.sqlite", ["a"], max_attempts=1)
    assert isinstance(failure, RequestFailed)
    assert failure.reason == "connection"


def test_ask_never_more_at_once_than_allowed(tmp_path: Path) -> None:
    with FakeChatServer(lambda _: Answer("ok", delay_s=0.05)) as server:
        ask_all(server, tmp_path / "l.sqlite", [str(n) for n in range(12)], max_in_flight=3)
        assert server.most_in_flight == 3


def test_ask_cost_limit_stops_before_the_line_and_counts_what_is_in_flight(tmp_path: Path) -> None:
    usage = {"prompt_tokens": 1, "completion_tokens": 100}
    with FakeChatServer(lambda _: Answer("ok", delay_s=0.05, usage=usage)) as server:
        texts = [str(n) for n in range(10)]
        results = ask_all(server, tmp_path / "l.sqlite", texts, model="gpt-4o-x", max_cost_usd=0.0045)
        sent = len(server.requests)
        again = ask_all(server, tmp_path / "l.sqlite", texts, model="gpt-4o-x", max_cost_usd=0.0045)
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert 0 < ledger.totals().usd <= 0.0045
    stopped = [result for result in results if isinstance(result, EndpointUnusable)]
    assert sent + len(stopped) == 10
    assert "raise the limit and run the same command again" in str(stopped[0])
    assert sum(isinstance(result, Reply) for result in again) >= sent


def test_ask_cost_limit_holds_with_many_in_flight_and_is_nearly_used_up(tmp_path: Path) -> None:
    """64 at once, each far cheaper than it could be: near the limit they go out a few at a time instead of stopping."""
    usage = {"prompt_tokens": 10, "completion_tokens": 20}  # 0.000225 USD, at most 0.0010275
    with FakeChatServer(lambda _: Answer("ok", delay_s=0.02, usage=usage)) as server:
        texts = [f"{number}" for number in range(300)]
        settings = {"model": "gpt-4o-x", "max_cost_usd": 0.03, "max_in_flight": 64}
        results = ask_all(server, tmp_path / "l.sqlite", texts, **settings)
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert 0.03 - 0.00103 - 0.000225 < ledger.totals().usd <= 0.03
    assert sum(isinstance(result, Reply) for result in results) == len(server.requests)


def test_ask_timeout_and_missing_usage_count_as_if_they_were_paid(tmp_path: Path) -> None:
    with FakeChatServer(lambda _: Answer("late", delay_s=0.5)) as server:
        ask_all(server, tmp_path / "l.sqlite", ["a"], model="gpt-4o-x", timeout_s=0.1, max_attempts=2)
    with FakeChatServer(lambda _: Answer("ok", usage={})) as server:
        ask_all(server, tmp_path / "l.sqlite", ["b"], model="gpt-4o-x")
    with Ledger(tmp_path / "l.sqlite") as ledger:
        assert ledger.totals().usd == pytest.approx(3 * (1 * 2.5 + 100 * 10) / 1e6)


def test_ask_same_request_at_the_same_time_is_sent_once(tmp_path: Path) -> None:
    with FakeChatServer(lambda _: Answer("ok", delay_s=0.1)) as server:
        results = ask_all(server, tmp_path / "l.sqlite", ["a", "a", "a", "b"])
        assert len(server.requests) == 2
    assert all(isinstance(result, Reply) for result in results)


def test_ask_retry_after_stops_all_requests_not_only_the_one(tmp_path: Path) -> None:
    moments: list[float] = []

    def reply(request: dict[str, Any]) -> str | Answer:
        moments.append(time.monotonic())
        return Answer(status=429, headers={"Retry-After": "0.5"}) if len(moments) == 1 else "ok"

    with FakeChatServer(reply) as server:
        results = ask_all(server, tmp_path / "l.sqlite", [str(n) for n in range(8)], max_in_flight=1)
    assert all(isinstance(result, Reply) for result in results)
    assert moments[1] - moments[0] >= 0.5


def test_ask_server_that_takes_fewer_at_once_gets_fewer(tmp_path: Path) -> None:
    """Takes 8 at once and refuses the others: all are answered in the end, most without a refusal."""
    out: list[int] = []

    def reply(request: dict[str, Any]) -> str | Answer:
        out.append(1)
        too_many = len(out) > 8
        time.sleep(0.01)
        out.pop()
        return Answer("too many", status=429) if too_many else "ok"

    with FakeChatServer(reply) as server:
        texts = [str(n) for n in range(400)]
        results = ask_all(server, tmp_path / "l.sqlite", texts, max_in_flight=64, max_attempts=8)
        assert len(server.requests) < 2 * len(texts)
    assert all(isinstance(result, Reply) for result in results)


def test_ask_rate_limit_headers_slow_down_before_anything_is_refused(tmp_path: Path) -> None:
    """A bucket of 20 that fills by 100 a second; 16 at once would empty it."""
    state = {"left": 20.0, "at": time.monotonic()}
    lock = threading.Lock()

    def reply(request: dict[str, Any]) -> str | Answer:
        with lock:
            now = time.monotonic()
            state["left"] = min(20.0, state["left"] + 100 * (now - state["at"]))
            state["at"] = now
            refused = state["left"] < 1
            state["left"] -= 0 if refused else 1
            left = state["left"]
        headers = {
            "x-ratelimit-limit-requests": "20",
            "x-ratelimit-remaining-requests": str(int(left)),
            "x-ratelimit-reset-requests": f"{(20 - left) * 10:.0f}ms",
        }
        return Answer(status=429, headers=headers) if refused else Answer("ok", headers=headers)

    with FakeChatServer(reply) as server:
        results = ask_all(server, tmp_path / "l.sqlite", [str(n) for n in range(100)], max_in_flight=16)
        assert len(server.requests) <= 140  # without the headers it is about 190
    assert all(isinstance(result, Reply) for result in results)


def test_ask_server_that_wants_the_newer_name_of_the_limit_gets_it(tmp_path: Path) -> None:
    def reply(request: dict[str, Any]) -> str | Answer:
        refusal = Answer("use the other", status=400, code="unsupported_parameter", param="max_tokens")
        return refusal if "max_tokens" in request else "ok"

    with FakeChatServer(reply) as server:
        results = ask_all(server, tmp_path / "l.sqlite", [str(n) for n in range(20)])
        again = ask_all(server, tmp_path / "l.sqlite", [str(n) for n in range(20)])
    assert all(isinstance(result, Reply) for result in results)
    assert all(isinstance(result, Reply) and result.from_ledger for result in again)


def test_ask_dead_endpoint_ends_the_run_instead_of_failing_every_request(tmp_path: Path) -> None:
    with FakeChatServer(lambda _: Answer("no", status=400)) as server:
        results = ask_all(server, tmp_path / "l.sqlite", [str(n) for n in range(200)], max_in_flight=4)
        assert len(server.requests) < 40
    assert any(
        isinstance(result, EndpointUnusable) and "20 requests in a row failed" in str(result) for result in results
    )


OF_INPUTS = {
    "image": Answer("image of 12 megapixels, at most 8 are taken", status=400),
    "length": Answer("This model's maximum context length is 4096 tokens, you requested 5000", status=400),
    "param": Answer("invalid", status=400, param="messages[0].content[1].image_url"),
    "code": Answer("no", status=400, code="invalid_image_format"),
    "body": Answer("no", status=413),
    "detail": Answer(status=422, raw=b'{"detail": [{"loc": ["body", "messages", 0], "msg": "not a data URL"}]}'),
    "moderated": Answer("blocked", status=400, code="content_policy_violation"),
}
OF_EVERY_REQUEST = {
    "unnamed": Answer("no", status=400),
    "field": Answer("Unknown parameter: 'input_mode'", status=400, param="input_mode"),
    "extra": Answer(status=422, raw=b'{"detail": [{"loc": ["body", "x"], "msg": "Extra inputs are not permitted"}]}'),
    "model": Answer("Invalid model name passed in model=m", status=400),
    "value": Answer("max_tokens is above 4096", status=400),
    "forbidden": Answer("not for this key", status=403),
}


@pytest.mark.parametrize("kind", OF_INPUTS)
def test_ask_refusals_that_name_their_input_never_end_the_run(kind: str, tmp_path: Path) -> None:
    with FakeChatServer(lambda _: OF_INPUTS[kind]) as server:
        results = ask_all(server, tmp_path / "l.sqlite", [str(n) for n in range(60)], max_in_flight=4)
        assert len(server.requests) == 60
    assert {type(result) for result in results} == {InputRefused}


@pytest.mark.parametrize("kind", OF_EVERY_REQUEST)
def test_ask_refusals_of_every_request_end_the_run(kind: str, tmp_path: Path) -> None:
    with FakeChatServer(lambda _: OF_EVERY_REQUEST[kind]) as server:
        results = ask_all(server, tmp_path / "l.sqlite", [str(n) for n in range(60)], max_in_flight=4)
        assert len(server.requests) < 40
    assert any(isinstance(result, EndpointUnusable) for result in results)


def test_ask_sends_what_the_vendors_client_sends(tmp_path: Path) -> None:
    import openai

    decoding: dict[str, Any] = {"max_tokens": 100, "temperature": 0.5}
    content = [
        {"type": "text", "text": "Wie heißt das? 木"},
        {"type": "image_url", "image_url": {"url": "data:image/x"}},
    ]
    messages: Any = [{"role": "user", "content": content}]

    async def ask(url: str) -> None:
        with Ledger(tmp_path / "l.sqlite") as ledger:
            async with ChatClient(Endpoint(url, "fake", api_key="key"), ledger) as client:
                await client.ask(messages, **decoding)

    with FakeChatServer(lambda _: "ok") as server:
        client = openai.OpenAI(base_url=server.base_url, api_key="key")
        client.chat.completions.create(model="fake", messages=messages, **decoding)
        asyncio.run(ask(server.base_url))
        assert server.requests[0] == server.requests[1]
    for name in ("authorization", "content-type", "accept"):
        assert server.heads[0][name] == server.heads[1][name]


def test_client_cost_limit_without_a_known_price_is_refused(tmp_path: Path) -> None:
    with Ledger(tmp_path / "l.sqlite") as ledger, pytest.raises(EndpointUnusable, match=r"prices\.json"):
        ChatClient(Endpoint("http://127.0.0.1:1/v1", "unheard-of", max_cost_usd=1.0), ledger)


def test_find_price_longest_name_wins() -> None:
    mini, large = find_price("gpt-4o-mini-2024-07-18"), find_price("gpt-4o-2024-11-20")
    assert mini is not None
    assert large is not None
    assert mini.usd_per_m_in < large.usd_per_m_in
    assert find_price("no-such-model") is None


@pytest.mark.parametrize("url", ["", "localhost:8000/v1", "ftp://host/v1", "http:///v1"])
def test_endpoint_bad_address_says_what_is_expected(url: str) -> None:
    with pytest.raises(ValueError, match=r"expected an address such as http://127\.0\.0\.1:8000/v1"):
        Endpoint(url, "m")


def test_endpoint_never_shows_its_key() -> None:
    assert "secret" not in repr(Endpoint("http://a/v1", "m", api_key="secret"))


def test_request_key_depends_on_every_part_and_not_on_the_order() -> None:
    request = {"model": "m", "messages": ASK, "temperature": 0.0}
    assert to_asked(request).key == to_asked(dict(reversed(request.items()))).key
    changes: list[Callable[[dict[str, Any]], Any]] = [
        lambda r: r | {"model": "n"},
        lambda r: r | {"temperature": 0.1},
        lambda r: r | {"messages": [{"role": "user", "content": "Hello!"}]},
    ]
    assert len({to_asked(change(request)).key for change in changes} | {to_asked(request).key}) == 4


def test_ledger_does_not_keep_image_data(tmp_path: Path) -> None:
    url = "data:image/png;base64," + "A" * 50_000
    content = [{"type": "image_url", "image_url": {"url": url}}]
    with Ledger(tmp_path / "l.sqlite") as ledger:
        request = {"model": "m", "messages": [{"role": "user", "content": content}]}
        ledger.store(to_asked(request), '{"choices": []}').result()
        assert ledger.find(to_asked(request).key) == {"choices": []}
    stored = sqlite3.connect(tmp_path / "l.sqlite").execute("SELECT request FROM answered").fetchone()[0]
    assert len(stored) < 300
    assert "data:sha256," in stored


def test_ledger_corrupt_or_foreign_file_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "bad.sqlite").write_bytes(b"this is not a database, it is a long enough text to be read as a page" * 20)
    with pytest.raises(LedgerError, match="not a usable ledger"):
        Ledger(tmp_path / "bad.sqlite")
    newer = sqlite3.connect(tmp_path / "newer.sqlite")
    newer.execute("PRAGMA user_version=99")
    newer.close()
    with pytest.raises(LedgerError, match="ledger format 99, this program writes 3"):
        Ledger(tmp_path / "newer.sqlite")
