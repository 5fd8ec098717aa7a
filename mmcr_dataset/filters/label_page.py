"""A page to mark pairs of image and text on this machine; every mark is on disk before the next pair is shown."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Lock, Thread
from urllib.parse import parse_qs, urlsplit

from mmcr_dataset.filters.label import Pair, append_label, read_labels
from mmcr_dataset.pages.render import PAGES, render_page

_BODY_BYTES_MAX = 10_000
_LEAD = "Does the text fit the image? Answer no if it names something that the image doesn't show."
_MARKS = {"y": True, "n": False, "u": None}


class LabelPage:
    """The pairs and where their marks are kept.

    Args:
        path: labels of one person, appended to.
        pairs: pairs to mark, in order.
        shown: image and text of each pair.
        person: name on the page; empty for none.
    """

    def __init__(self, path: Path, pairs: Sequence[Pair], shown: Sequence[tuple[bytes, str]], person: str = "") -> None:
        self._path, self._pairs, self._shown, self._person = path, pairs, shown, person
        self._numbers = {pair.key: number for number, pair in enumerate(pairs, start=1)}
        self._lock = Lock()

    def render(self, number: int | None, said: str = "") -> str:
        """The page of a pair; None for the first one without a mark."""
        labels = read_labels(self._path)
        if number is None:
            number = next((n for key, n in self._numbers.items() if key not in labels), None)
            said = said or ("" if number else "All pairs are marked.")
        pair = self._pairs[number - 1] if number else None
        data, text = self._shown[number - 1] if number else (None, "")
        return render_page(
            PAGES / "label.html",
            title="Pairs to mark",
            lead=_LEAD,
            data=data,
            text=text,
            number=number or len(self._pairs) + 1,
            key=pair.key if pair else "",
            mark=labels.get(pair.key) if pair else None,
            num_pairs=len(self._pairs),
            num_marked=sum(key in labels for key in self._numbers),
            person=self._person,
            said=said,
        )

    def number_of(self, text: str) -> int | None:
        """A pair's number from the page's address, None if there is no such pair."""
        is_number = text.isascii() and text.isdecimal() and len(text) < 10
        return int(text) if is_number and 1 <= int(text) <= len(self._pairs) else None

    def store(self, key: str, mark: str) -> int | None:
        """Store a mark (y, n, or u to take one back); the pair's number, None if there is no such pair or mark."""
        if key not in self._numbers or mark not in _MARKS:
            return None
        with self._lock:
            append_label(self._path, key, _MARKS[mark])
        return self._numbers[key]


def serve_page(page: LabelPage, port: int, started: Callable[[str], object]) -> None:
    """Serve the page on 127.0.0.1 until its button `end` is pressed, or Ctrl-C.

    Args:
        page: the page.
        port: of the server; 0 for any free one.
        started: called with the page's address, which others on this machine can't guess.

    Raises:
        OSError: the port is in use.
    """
    token = secrets.token_urlsafe(12)
    handler = type("Handler", (_Handler,), {"page": page, "token": token})
    with ThreadingHTTPServer(("127.0.0.1", port), handler) as server:
        started(f"http://127.0.0.1:{server.server_port}/{token}/")
        try:
            server.serve_forever(poll_interval=0.1)
        except KeyboardInterrupt:
            return


class _Handler(BaseHTTPRequestHandler):
    page: LabelPage
    token: str

    def do_GET(self) -> None:
        place = urlsplit(self.path)
        if not self._is_allowed(place.path, ("",)):
            return
        asked = parse_qs(place.query).get("pair", [""])[0]
        self._answer(200, self.page.render(self.page.number_of(asked)))

    def do_POST(self) -> None:
        place = urlsplit(self.path).path
        if not self._is_allowed(place, ("mark", "end")):
            return
        size = self.headers.get("Content-Length", "")
        if not (size.isascii() and size.isdecimal()) or int(size) > _BODY_BYTES_MAX:
            self._answer(400, self.page.render(None, "The form was not understood; nothing was stored."))
            return
        form = parse_qs(self.rfile.read(int(size)).decode("utf-8", "replace"))
        if place.endswith("/end"):
            self._answer(200, self.page.render(None, "Ended: the result is in the terminal. This page can be closed."))
            Thread(target=self.server.shutdown).start()
            return
        key, mark = form.get("pair", [""])[0], form.get("fits", [""])[0]
        try:
            number = self.page.store(key, mark)
        except OSError as error:
            self._answer(500, self.page.render(None, f"NOT stored: {error}. Mark this pair again."))
            return
        if number is None:
            self._answer(400, self.page.render(None, "No such pair or mark; nothing was stored."))
            return
        self.send_response(303)
        self.send_header("Location", f"/{self.token}/?pair={number}" if mark == "u" else f"/{self.token}/")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def _is_allowed(self, path: str, places: Sequence[str]) -> bool:
        """True for an address of the page, asked by the name of this machine (against DNS rebinding)."""
        host = self.headers.get("Host", "").rpartition(":")[0]
        if host in ("127.0.0.1", "localhost") and path in [f"/{self.token}/{place}" for place in places]:
            return True
        self.send_error(404)
        return False

    def _answer(self, status: int, text: str) -> None:
        data = text.encode("utf-8", "replace")
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: the terminal is for results."""
