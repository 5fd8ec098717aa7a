"""A small local web server for pictures: serves what it is told, redirects, errors, slow bodies; counts requests."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.local_server import Handler, LocalServer


@dataclass(frozen=True)
class Page:
    """One response."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    promised_bytes: int | None = None  # a Content-Length larger than the body breaks the transfer


class LocalWeb(LocalServer):
    """Serves `page(path, number of earlier requests for it)` on 127.0.0.1; `.url` is its address."""

    def __init__(self, page: Callable[[str, int], Page]) -> None:
        self.requests: Counter[str] = Counter()
        web = self

        class Pages(Handler):
            def do_GET(self) -> None:
                earlier = web.requests[self.path]
                web.requests[self.path] += 1
                answer = page(self.path, earlier)
                time.sleep(answer.delay_s)
                try:
                    self.send_response(answer.status)
                    size = len(answer.body) if answer.promised_bytes is None else answer.promised_bytes
                    self.send_header("Content-Length", str(size))
                    for name, value in answer.headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    self.wfile.write(answer.body)
                    self.close_connection = answer.promised_bytes is not None
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

        super().__init__(Pages)
