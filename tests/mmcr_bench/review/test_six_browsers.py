"""Six browsers: two with two tabs, one offline for a while, one expert replaced; every mark is accounted for."""

from __future__ import annotations

import threading
import time
from collections import Counter
from pathlib import Path

import pytest
import uvicorn

from mmcr_bench.freeze import freeze_review
from mmcr_bench.review.accounts import Accounts
from mmcr_bench.review.event_log import ReviewLog, open_database
from mmcr_bench.review.page import make_app
from mmcr_bench.review.rounds import Event
from tests.mmcr_bench.browser import ENTER, TAB, Browser
from tests.mmcr_bench.review.test_page import PASSWORD, some_dialogues

EXPERTS = [f"e{number}" for number in range(6)]
ITEMS = [f"i{number}" for number in range(5)]


class Review:
    """A served review, and what the experts believe to have stored."""

    def __init__(self, path: Path) -> None:
        self.log, self.accounts = ReviewLog(path), Accounts(open_database(path))
        for dialogue in some_dialogues():
            self.log.add_dialogue(Event("opened", dialogue.id, 1, "build", 0.0), dialogue)
        for name in EXPERTS:
            self.accounts.add(name, PASSWORD)
        self.server = uvicorn.Server(uvicorn.Config(make_app(self.log, self.accounts), port=0, log_level="error"))
        self.thread = threading.Thread(target=self.server.run, daemon=True)
        self.thread.start()
        while not self.server.started:
            time.sleep(0.01)
        self.url = f"http://127.0.0.1:{self.server.servers[0].sockets[0].getsockname()[1]}/"
        self.stored: dict[str, list[str]] = {name: [] for name in [*EXPERTS, "zoe"]}
        self.failures: list[str] = []

    def stop(self) -> None:
        self.server.should_exit = True
        self.thread.join()

    def log_in(self, browser: Browser, name: str) -> None:
        browser.open(self.url)
        browser.wait_for("Log in", "h1")
        browser.press(f"{name}{TAB}{PASSWORD}{ENTER}")

    def mark(self, browser: Browser, name: str, done: int) -> None:
        browser.wait_for(f"{done} of 5", ".place")
        self.stored[name].append(browser.text(".name"))
        browser.press(ENTER)

    def finish(self, browser: Browser, name: str, begin: int) -> None:
        for done in range(begin, 5):
            self.mark(browser, name, done)
        browser.wait_for("Nothing waits for you")


def plain(review: Review, name: str) -> None:
    with Browser() as browser:
        review.log_in(browser, name)
        review.finish(browser, name, 0)


def two_tabs(review: Review, name: str) -> None:
    """Marks an item in one tab, then sends the stale form of the other with a flag and a note."""
    with Browser() as browser:
        review.log_in(browser, name)
        browser.wait_for("0 of 5", ".place")
        item, first = browser.text(".name"), browser._send("GET", "/window")
        second = browser._send("POST", "/window/new", {"type": "tab"})["handle"]
        browser._send("POST", "/window", {"handle": second})
        browser.open(f"{review.url}item/{item}")
        browser.wait_for("0 of 5", ".place")
        browser._send("POST", "/window", {"handle": first})
        review.mark(browser, name, 0)
        browser.wait_for("1 of 5", ".place")
        browser._send("POST", "/window", {"handle": second})
        browser.press(f"4nstale words of {name}")
        browser.run("document.getElementById('mark').requestSubmit()")
        shown = browser.wait_for("not stored", ".notice")
        if f"flags: clarity; note: stale words of {name}" not in shown:
            review.failures.append(f"{name}: the stale form's note was lost: {shown}")
        browser._send("POST", "/window", {"handle": first})
        review.finish(browser, name, 1)


def offline(review: Review, name: str, offline_s: float) -> None:
    """Sends a flag and a note while offline, comes back, and sends again what the browser has kept."""
    with Browser() as browser:
        review.log_in(browser, name)
        review.mark(browser, name, 0)
        browser.wait_for("1 of 5", ".place")
        item = browser.text(".name")
        browser.press("4nfrom the train")
        conditions = {"latency": 0, "throughput": 0, "offline": True}
        browser._send("POST", "/chromium/network_conditions", {"network_conditions": conditions})
        browser.run("document.getElementById('mark').requestSubmit()")
        time.sleep(offline_s)
        if name in review.log.items()[item].marks:
            review.failures.append(f"{name}: was not offline")
        online = {"latency": 0, "throughput": 10**8, "offline": False}
        browser._send("POST", "/chromium/network_conditions", {"network_conditions": online})
        browser._send("POST", "/back", {})
        browser.wait_for("1 of 5", ".place")
        if browser.run("return document.querySelector('textarea').value") != "from the train":
            review.failures.append(f"{name}: the note was lost offline")
        browser.wait_for("Flag (1)", "#verdict")
        review.stored[name].append(item)
        browser.run("document.getElementById('mark').requestSubmit()")
        review.finish(browser, name, 2)


def replaced(review: Review, name: str) -> None:
    """Marks two items and is replaced by zoe, who finds the other three."""
    with Browser() as browser:
        review.log_in(browser, name)
        review.mark(browser, name, 0)
        review.mark(browser, name, 1)
        browser.wait_for("2 of 5", ".place")
        review.accounts.add("zoe", PASSWORD)
        review.accounts.remove(name, "kim", "has left", "zoe")
        browser.press(ENTER)
        shown = browser.wait_for("Not stored", ".notice")
        if "Log in first" not in shown:
            review.failures.append(f"{name}: marked after the removal: {shown}")
    with Browser() as browser:
        review.log_in(browser, "zoe")
        review.finish(browser, "zoe", 2)


@pytest.mark.slow
def test_every_mark_of_six_browsers_is_accounted_for(tmp_path: Path) -> None:
    review = Review(tmp_path / "review.sqlite3")
    parts = [
        (two_tabs, ("e0",)),
        (two_tabs, ("e1",)),
        (offline, ("e2", 60.0)),
        (replaced, ("e3",)),
        (plain, ("e4",)),
        (plain, ("e5",)),
    ]

    def run(part: object, arguments: tuple[object, ...]) -> None:
        try:
            part(review, *arguments)  # type: ignore[operator]
        except AssertionError as error:
            review.failures.append(f"{arguments[0]}: {error}")

    threads = [threading.Thread(target=run, args=part) for part in parts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    review.stop()
    assert review.failures == []
    marks = Counter((event.actor, event.item) for event in review.log.events() if event.kind == "marked")
    assert marks == Counter((name, item) for name, items in review.stored.items() for item in items)
    assert {len(item.marks) for item in review.log.items().values()} == {6}
    (flagged,) = [item for item in review.log.items().values() if any(mark.flags for mark in item.marks.values())]
    assert (flagged.marks["e2"].note, flagged.has_lone_flag(6)) == ("from the train", True)
    assert len(review.stored["e3"]) + len(review.stored["zoe"]) == 5
    review.log.append(Event("adjudicated", flagged.name, 1, "kim", 0.0, note="the theme is clear"))
    assert "5 items" in freeze_review(tmp_path / "review.sqlite3", tmp_path / "frozen", "1.0.0")
