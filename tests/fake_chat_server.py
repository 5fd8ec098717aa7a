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

from tests.local_server import Handler, LocalServer

CREATED = 1_760_000_000  # a fixed date, so that two runs give the same bytes


@dataclass(frozen=True)
class Answer:
    """One response: a normal completion by default, an error where status is not 200."""

    text: str | None = ""
    status: int = 200
    code: str | None = None
    finish_reason: str = "stop"
    refusal: str | None = None
    headers: dict[str, str] = field(default_factory=dict)
    raw: bytes | None = None
    delay_s: float = 0.0
    usage: dict[str, int] = field(default_factory=lambda: {"prompt_tokens": 1000, "completion_tokens": 100})


class FakeChatServer(LocalServer):
    """The server; `.base_url` is what a client is given, `.requests` all bodies in the order of their arrival."""

    def __init__(self, answer: Callable[[dict[str, Any]], str | Answer], model: str = "fake-vlm-2026-01-01") -> None:
        self.requests: list[dict[str, Any]] = []
        self.most_in_flight = 0
        self._in_flight = 0
        self._lock = threading.Lock()
        server = self

        class Completions(Handler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if self.path != "/v1/chat/completions":
                    self._send(404, {"error": {"message": f"no route {self.path}", "code": None}}, {})
                    return
                with server._lock:
                    server.requests.append(body)
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
                elif reply.status != 200:
                    error = {"message": reply.text or "error", "code": reply.code, "type": "error"}
                    self._send(reply.status, {"error": error}, reply.headers)
                else:
                    message = {"role": "assistant", "content": reply.text, "refusal": reply.refusal}
                    choice = {"index": 0, "message": message, "finish_reason": reply.finish_reason}
                    completion = {"id": "c", "object": "chat.completion", "created": CREATED, "model": model}
                    self._send(200, completion | {"choices": [choice], "usage": reply.usage}, reply.headers)

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
