"""One try of one call against real local servers: Azure, proxies, broken and endless answers, many at once."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from mmcr_dataset.endpoint.client import ChatClient, Endpoint, Reply
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.transport import HttpResponse, RequestFailed, Transport
from tests.fake_chat_server import Answer, FakeChatServer, completion_of
from tests.local_server import Handler, LocalServer

Act = Callable[[Handler], None]


def server_that(act: Act) -> tuple[LocalServer, list[tuple[str, dict[str, str]]]]:
    """A server that answers GET and POST by `act`, and the list of paths and headers that it sees."""
    seen: list[tuple[str, dict[str, str]]] = []

    class Any_(Handler):
        def do_POST(self) -> None:
            seen.append((self.path, {name.lower(): value for name, value in self.headers.items()}))
            self.rfile.read(int(self.headers.get("Content-Length") or 0))
            act(self)

        do_GET = do_POST

    return LocalServer(Any_), seen


def send(handler: Handler, status: int, body: bytes, **headers: str) -> None:
    handler.send_response(status)
    for name, value in {"Content-Length": str(len(body)), **headers}.items():
        handler.send_header(name.replace("_", "-"), value)
    handler.end_headers()
    handler.wfile.write(body)


def send_completion(handler: Handler) -> None:
    send(handler, 200, json.dumps(completion_of("hello", "m")[1]).encode())


def post(url: str, timeout_s: float = 5.0, **azure: str) -> HttpResponse:
    async def run() -> HttpResponse:
        wire = Transport(url, "key", timeout_s, **azure)
        try:
            return await wire.post_json("/chat/completions", b'{"model": "m"}')
        finally:
            await wire.close()

    return asyncio.run(run())


def test_ask_azure_gets_its_path_version_and_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "not-for-azure")
    monkeypatch.setenv("AZURE_OPENAI_API_KEY", "azure-secret")

    async def ask(url: str) -> Reply:
        endpoint = Endpoint(url, "my-gpt", api_version="2024-10-21")
        with Ledger(tmp_path / "l.sqlite") as ledger:
            async with ChatClient(endpoint, ledger) as client:
                return await client.ask([{"role": "user", "content": "Hello?"}])

    server, seen = server_that(send_completion)
    with server:
        assert asyncio.run(ask(server.url)).text == "hello"
    ((path, headers),) = seen
    assert path == "/openai/deployments/my-gpt/chat/completions?api-version=2024-10-21"
    assert headers["api-key"] == "azure-secret"
    assert "not-for-azure" not in headers.values()


def test_wire_azure_files_and_batches_belong_to_the_resource() -> None:
    async def look(url: str) -> None:
        wire = Transport(url, "key", 5.0, api_version="2024-10-21", deployment="my-gpt")
        await wire.get("/batches/b1")
        await wire.close()

    server, seen = server_that(lambda handler: send(handler, 200, b"{}"))
    with server:
        asyncio.run(look(server.url))
    assert seen[0][0] == "/openai/batches/b1?api-version=2024-10-21"
    assert seen[0][1]["api-key"] == "key"


@pytest.mark.parametrize("status", [400, 429, 500, 503])
def test_wire_gives_every_status_with_headers_and_body_and_tries_once(status: int) -> None:
    server, seen = server_that(lambda handler: send(handler, status, b"<html>no JSON", Retry_After="7"))
    with server:
        answered = post(server.url)
    assert (answered.status, answered.body, answered.headers["retry-after"]) == (status, b"<html>no JSON", "7")
    assert len(seen) == 1


def hang_up(handler: Handler) -> None:
    handler.close_connection = True


def break_off(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    handler.wfile.write(b'{"choices": [')
    handler.close_connection = True


@pytest.mark.parametrize("act", [hang_up, break_off])
def test_wire_broken_connection_is_no_timeout(act: Act) -> None:
    server, _ = server_that(act)
    with server, pytest.raises(RequestFailed) as failure:
        post(server.url)
    assert failure.value.reason == "connection"


def drip(handler: Handler) -> None:
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(40):
        handler.wfile.write(b" ")
        time.sleep(0.05)


def test_wire_timeout_is_for_the_whole_try_not_for_each_byte() -> None:
    server, _ = server_that(drip)
    with server:
        start = time.monotonic()
        with pytest.raises(RequestFailed) as failure:
            post(server.url, timeout_s=0.4)
        assert time.monotonic() - start < 1.9
    assert failure.value.reason == "timeout"


def test_wire_takes_the_proxy_of_the_environment_and_heeds_no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    proxy, seen = server_that(send_completion)
    with proxy, FakeChatServer(lambda _: "direct") as server:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        for name in ("no_proxy", "NO_PROXY"):
            monkeypatch.setenv(name, "127.0.0.1")
        assert b"hello" in post("http://model.example/v1").body
        assert seen[0][0] == "http://model.example/v1/chat/completions"
        assert b"direct" in post(server.base_url).body
    assert len(seen) == 1


def test_wire_has_no_limit_of_connections_of_its_own(tmp_path: Path) -> None:
    async def ask(url: str) -> list[Any]:
        with Ledger(tmp_path / "l.sqlite") as ledger:
            async with ChatClient(Endpoint(url, "m", max_in_flight=130), ledger) as client:
                asked = (client.ask([{"role": "user", "content": str(number)}]) for number in range(130))
                return await asyncio.gather(*asked)

    with FakeChatServer(lambda _: Answer("ok", delay_s=2.0)) as server:
        asyncio.run(ask(server.base_url))
        assert server.most_in_flight > 100
