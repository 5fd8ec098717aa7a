"""python benchmarks/bench_review_page.py: latency of the review page, 600 items, six concurrent experts."""

from __future__ import annotations

import http.client
import re
import sys
import tempfile
import threading
import time
from pathlib import Path
from statistics import median, quantiles
from urllib.parse import urlencode

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import uvicorn
from fastapi import FastAPI
from fastapi.responses import HTMLResponse

from mmcr_bench.review.accounts import Accounts
from mmcr_bench.review.event_log import ReviewLog, open_database
from mmcr_bench.review.page import make_app
from mmcr_bench.review.rounds import Event
from mmcr_dataset.record.dialogue import Dialogue, Turn

NUM_ITEMS, NUM_EXPERTS, NUM_MARKS = 600, 6, 40
PASSWORD = "correct horse battery"


def start(app: FastAPI) -> int:
    """Serve in a thread; returns the port."""
    server = uvicorn.Server(uvicorn.Config(app, port=0, log_level="error"))
    threading.Thread(target=server.run, daemon=True).start()
    while not server.started:
        time.sleep(0.01)
    return int(server.servers[0].sockets[0].getsockname()[1])


def ask(
    connection: http.client.HTTPConnection, method: str, path: str, cookie: str, **form: str
) -> tuple[str, str, float]:
    """Send a request; returns body, cookie and seconds.

    Args:
        connection: HTTP connection.
        method: HTTP method.
        path: path of the URL.
        cookie: session cookie, empty for none.
        **form: form fields.
    """
    begun = time.perf_counter()
    headers = {"Cookie": cookie, "Content-Type": "application/x-www-form-urlencoded"}
    connection.request(method, path, urlencode(form) if form else None, headers)
    response = connection.getresponse()
    body = response.read().decode()
    return body, response.headers.get("set-cookie") or "", time.perf_counter() - begun


def review(port: int, name: str, page_s: list[float], mark_s: list[float]) -> None:
    """One expert: log in, then load and mark items.

    Args:
        port: port of the server.
        name: user name.
        page_s: page latencies are appended here.
        mark_s: latencies of marks are appended here.
    """
    connection = http.client.HTTPConnection("127.0.0.1", port)
    cookie = ask(connection, "POST", "/login", "", name=name, password=PASSWORD)[1].split(";")[0]
    for _ in range(NUM_MARKS):
        body, _, seconds = ask(connection, "GET", "/", cookie)
        page_s.append(seconds)
        (item,), (csrf, *_) = re.findall(r'action="/item/([^/]+)/mark"', body), re.findall(r'csrf" value="(\w+)"', body)
        mark_s.append(ask(connection, "POST", f"/item/{item}/mark", cookie, csrf=csrf, version="1")[2])


def main() -> None:
    """Measure and print."""
    turns = tuple(Turn((f"Question number {n} about it?",), "An answer of some words. " * 20) for n in range(8))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "review.sqlite3"
        log, accounts = ReviewLog(path), Accounts(open_database(path))
        for number in range(NUM_ITEMS):
            dialogue = Dialogue(f"d{number}", turns, topic="topic")
            log.add_dialogue(Event("opened", dialogue.id, 1, "build", 0.0), dialogue)
        for number in range(NUM_EXPERTS):
            accounts.add(f"e{number}", PASSWORD)
        port = start(make_app(log, accounts))
        page_s: list[float] = []
        mark_s: list[float] = []
        threads = [
            threading.Thread(target=review, args=(port, f"e{number}", page_s, mark_s)) for number in range(NUM_EXPERTS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        connection = http.client.HTTPConnection("127.0.0.1", port)
        cookie = ask(connection, "POST", "/login", "", name="e0", password=PASSWORD)[1].split(";")[0]
        body = ask(connection, "GET", "/", cookie)[0]
        sizes = [len(ask(connection, "GET", f"/static/review.{kind}", "")[0]) for kind in ("css", "js")]
        assert len(log.events()) == NUM_ITEMS + NUM_EXPERTS * NUM_MARKS
    bare = FastAPI()
    bare.add_api_route("/", lambda: HTMLResponse(body))
    connection = http.client.HTTPConnection("127.0.0.1", start(bare))
    bare_s = [ask(connection, "GET", "/", "")[2] for _ in range(200)]
    slowest_s = quantiles(page_s, n=20)[-1]
    print(f"page {len(body) / 1000:.1f} kB + style and script {sum(sizes) / 1000:.1f} kB")
    print(f"{NUM_EXPERTS} experts at once on {NUM_ITEMS} items: page median {1000 * median(page_s):.1f} ms,")
    print(f"95 % below {1000 * slowest_s:.1f} ms; mark median {1000 * median(mark_s):.1f} ms")
    print(f"bare FastAPI page, one at a time: {1000 * median(bare_s):.1f} ms")


if __name__ == "__main__":
    main()
