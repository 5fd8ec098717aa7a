"""What the local servers of the tests share: a threaded HTTP server on 127.0.0.1 that lives as long as its `with`."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Self


class Handler(BaseHTTPRequestHandler):
    """Speaks HTTP/1.1, logs nothing, sends each answer at once."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # else an answer waits 40 ms for an acknowledgement
    wbufsize = -1

    def log_message(self, format: str, *args: object) -> None:
        pass


class _Listener(ThreadingHTTPServer):
    request_queue_size = (
        256  # the default of 5 drops connections that come together: seconds until they are tried again
    )
    daemon_threads = True

    def handle_error(self, request: object, client_address: object) -> None:
        """A client that is gone, or was killed, is no error of the server's."""


class LocalServer:
    """Listens on a free port; `.url` is its address."""

    def __init__(self, handler: type[Handler]) -> None:
        self._http = _Listener(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._http.server_address[1]}"
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.02,), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()
