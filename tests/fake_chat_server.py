"""A real local HTTP server that speaks the chat-completions API: what tests ask instead of a paid endpoint.

`FakeChatServer(answer)` listens on 127.0.0.1 on a free port; `answer(request) -> str | Answer` decides each reply. It
counts what it was asked, so that a test can prove that nothing was asked twice.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.fake_batch_api import CREATED, FakeBatches
from tests.local_server import Handler, LocalServer


@dataclass(frozen=True)
class Answer:
    """One response: a normal completion by default, an error where status is not 200."""

    text: str | None = ""
    status: int = 200
    code: str | None = None
    param: str | None = None
    finish_reason: str = "stop"
    refusal: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay_s: float = 0.0
    usage: dict[str, int] = field(default_factory=lambda: {"prompt_tokens": 1000, "completion_tokens": 100})


def completion_of(given: str | Answer, model: str) -> tuple[int, dict[str, Any]]:
    """Status and JSON of an answer as the API gives it."""
    reply = Answer(given) if isinstance(given, str) else given
    if reply.status != 200:
        error = {"message": reply.text or "error", "code": reply.code, "type": "error", "param": reply.param}
        return reply.status, {"error": error}
    message = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
    completion = {"id": "c", "object": "chat.completion", "created": CREATED, "model": model}
    return 200, completion | {"choices": [choice], "usage": reply.usage}


class FakeChatServer(LocalServer):
    """The server; `.base_url` is what a client is given, `.requests` all bodies in the order of their arrival."""

    def __init__(self, answer: Callable[[dict[str, Any]], str | Answer], model: str = "fake-vlm-2026-01-01") -> None:
        self.requests: list[dict[str, Any]] = []
        self.heads: list[dict[str, str]] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._lock = threading.Lock()
        server = self

        self.batches = FakeBatches(lambda body: completion_of(answer(body), model))

        class Completions(Handler):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                place = parts.path.removeprefix("/v1/").split("/")
                if place[0] == "files" and place[-1] == "content":
                    self._send_bytes(*server.batches.content(place[1]), {})
                elif place == ["batches"]:
                    self._send(*server.batches.list(parse_qs(parts.query).get("after", [None])[0]), {})
                elif place[0] == "batches":
                    self._send(*server.batches.look(place[1]), {})
                else:
                    self._send(404, {"error": {"message": f"no route {self.path}", "code": None}}, {})

            def do_POST(self) -> None:
                data = self._read_body()
                if self.path == "/v1/files":
                    self._send(*server.batches.upload(self.headers["Content-Type"], data), {})
                elif self.path == "/v1/batches":
                    number = len(server.batches.batches)
                    made = server.batches.create(json.loads(data))
                    if server.batches.plan(number).lost_reply:
                        self.connection.close()
                        self.close_connection = True
                    else:
                        self._send(*made, {})
                elif self.path == "/v1/chat/completions":
                    self._complete(json.loads(data))
                else:
                    self._send(404, {"error": {"message": f"no route {self.path}", "code": None}}, {})

            def _read_body(self) -> bytes:
                if self.headers.get("Transfer-Encoding") != "chunked":
                    return self.rfile.read(int(self.headers["Content-Length"]))
                parts = []
                while size := int(self.rfile.readline(), 16):
                    parts.append(self.rfile.read(size))
                    self.rfile.readline()
                self.rfile.readline()
                return b"".join(parts)

            def _complete(self, body: dict[str, Any]) -> None:
                with server._lock:
                    server.requests.append(body)
                    server.heads.append({name.lower(): value for name, value in self.headers.items()})
                    server._in_flight += 1
                    server.most_in_flight = max(server.most_in_flight, server._in_flight)
                try:
                    given = answer(body)
                    reply = Answer(given) if isinstance(given, str) else given
                    time.sleep(reply.delay_s)
                finally:
                    with server._lock:
                        server._in_flight -= 1
                if reply.raw is not None:
                    self._send_bytes(reply.status, reply.raw, reply.headers)
                else:
                    self._send(*completion_of(reply, model), reply.headers)

            def _send(self, status: int, value: dict[str, Any], headers: dict[str, str]) -> None:
                self._send_bytes(status, json.dumps(value).encode(), headers)

            def _send_bytes(self, status: int, data: bytes, headers: dict[str, str]) -> None:
                try:
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(data)))
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(data)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True  # the client gave up waiting: its right

        super().__init__(Completions)
        self.base_url = f"{self.url}/v1"


class RevokedKey:
    """An answer function: one request is refused with 401 while others are in flight, which are answered after that.

    `.num_served` counts the answers that are paid: all but the refused one.
    """

    def __init__(self, is_refused: Callable[[dict[str, Any]], bool], num_before: int, num_in_flight: int) -> None:
        self._is_refused, self._num_before, self._num_in_flight = is_refused, num_before, num_in_flight
        self._condition = threading.Condition()
        self._was_refused = False
        self._in_flight = self.num_served = 0

    def __call__(self, request: dict[str, Any], text: str) -> Answer:
        with self._condition:
            if self._is_refused(request):
                assert self._condition.wait_for(lambda: self._in_flight >= self._num_in_flight, 60)
                self._was_refused = True
                self._condition.notify_all()
                return Answer("key revoked", status=401)
            self.num_served += 1
            if self.num_served > self._num_before:
                self._in_flight += 1
                self._condition.notify_all()
                assert self._condition.wait_for(lambda: self._was_refused, 60)
        return Answer(text, delay_s=0.5)


@contextmanager
def server_process(text: str, delay_s: float) -> Iterator[str]:
    """A server in a process of its own, for benchmarks: every reply is `text` after a fixed time. Gives its address."""
    command = [sys.executable, "-m", "tests.fake_chat_server", text, str(delay_s)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        yield process.stdout.readline().strip()
        process.terminate()


if __name__ == "__main__":
    with FakeChatServer(lambda request: Answer(sys.argv[1], delay_s=float(sys.argv[2]))) as server:
        print(server.base_url, flush=True)
        threading.Event().wait()
