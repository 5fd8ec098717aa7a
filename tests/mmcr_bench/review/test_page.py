"""The experts' page: over plain HTTP as an attacker sees it, and in a real browser as an expert does."""

from __future__ import annotations

import http.client
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlencode

import pytest
import uvicorn

from mmcr_bench.freeze import freeze_review
from mmcr_bench.review.accounts import Accounts
from mmcr_bench.review.event_log import ReviewLog, open_database, to_marks
from mmcr_bench.review.forms import BODY_BYTES_MAX
from mmcr_bench.review.page import make_app
from mmcr_bench.review.rewriting import rewrite_flagged
from mmcr_bench.review.rounds import Event
from mmcr_dataset.endpoint.client import Endpoint
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, Turn
from tests.fake_chat_server import Answer, FakeChatServer
from tests.mmcr_bench.browser import ENTER, ESCAPE, TAB, Browser
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue

PASSWORD = "correct horse battery"
HOSTILE = (
    "<script>document.title='hacked'</script><img src=x onerror=\"document.title='hacked'\">{{ 7 * 7 }} & \"quoted\""
)
PAGE_BYTES_MAX = 150_000
BETTER = "\n".join(
    f"< Human {n} >: {'<image 1> ' if n == 1 else ''}Which grey is field {n} of image 1, counted from the left?\n"
    f"< Assistant {n} >: {words}"
    for n, words in enumerate(
        [
            "Image 1 begins with a dark field in its upper corner, next to a much lighter one.",
            "Compared with the first, the second field of image 1 looks pale and almost white.",
            "After those two, the third field in image 1 is of a medium tone between both.",
            "The fourth field of image 1 returns to the darker tone that stood at the beginning.",
        ],
        start=1,
    )
)


@dataclass
class Site:
    port: int
    log: ReviewLog
    accounts: Accounts

    def ask(
        self, method: str, path: str, form: dict[str, str] | None = None, cookie: str = "", **headers: str
    ) -> tuple[int, dict[str, str], str]:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        sent = {"Content-Type": "application/x-www-form-urlencoded", "Cookie": cookie, **headers}
        connection.request(method, path, urlencode(form) if form is not None else None, sent)
        response = connection.getresponse()
        body = response.read().decode("utf-8", "replace")
        connection.close()
        return response.status, {name.lower(): value for name, value in response.getheaders()}, body

    def log_in(self, name: str) -> str:
        status, headers, _ = self.ask("POST", "/login", {"name": name, "password": PASSWORD})
        assert status == 303
        return headers["set-cookie"].split(";")[0]

    def csrf(self, cookie: str) -> str:
        found = re.search(r'name="csrf" value="([0-9a-f]{64})"', self.ask("GET", "/", cookie=cookie)[2])
        assert found is not None
        return found.group(1)

    def mark(self, cookie: str, item: str, version: int = 1, **form: str) -> int:
        fields = {"csrf": self.csrf(cookie), "version": str(version)} | form
        return self.ask("POST", f"/item/{item}/mark", fields, cookie)[0]


def without_labels(page: str) -> str:
    """A page without the columns' names in its cells, which narrow screens show."""
    return re.sub(r' data-label="[^"]*"', "", page)


def some_dialogues() -> list[Dialogue]:
    dialogues = [patchwork_dialogue(f"i{number}", [patchwork(number)], topic="fields") for number in range(5)]
    first = dialogues[0]
    hostile = (Turn(("Image_1: ", 1, f"\n{HOSTILE}"), HOSTILE), *first.turns[1:])
    return [replace(first, turns=hostile), *dialogues[1:]]


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    path = tmp_path / "review.sqlite3"
    log, accounts = ReviewLog(path, num_experts=2), Accounts(open_database(path))
    for dialogue in some_dialogues():
        log.add_dialogue(Event("opened", dialogue.id, 1, "build", 0.0), dialogue)
    for name in ("ann", "bob"):
        accounts.add(name, PASSWORD)
    accounts.add("kim", PASSWORD, "keeper")
    server = uvicorn.Server(uvicorn.Config(make_app(log, accounts), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    yield Site(server.servers[0].sockets[0].getsockname()[1], log, accounts)
    server.should_exit = True
    thread.join()


def test_page_without_login_shows_nothing(site: Site) -> None:
    sha256 = next(iter(site.log.items().values())).dialogue["images"][0]["sha256"]
    assert site.ask("GET", "/")[0] == 303
    for path in ("/item/i1", f"/image/{sha256}", "/progress"):
        status, _, body = site.ask("GET", path)
        assert status == 403
        assert "Grey field" not in body
    assert site.ask("POST", "/item/i1/mark", {"version": "1"})[0] == 403
    assert site.ask("GET", "/docs")[0] == site.ask("GET", "/openapi.json")[0] == 404


def test_page_shows_hostile_text_literally_and_forbids_foreign_code(site: Site) -> None:
    status, headers, body = site.ask("GET", "/item/i0", cookie=site.log_in("ann"))
    assert status == 200
    assert "<script>document" not in body
    assert 'onerror="' not in body
    assert "&lt;script&gt;document" in body
    assert "{{ 7 * 7 }}" in body
    assert "default-src 'none'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert len(body.encode()) < PAGE_BYTES_MAX


def test_session_cookie_is_out_of_reach_of_scripts_and_other_sites(site: Site) -> None:
    _, headers, _ = site.ask("POST", "/login", {"name": "ann", "password": PASSWORD})
    assert "HttpOnly" in headers["set-cookie"]
    assert "SameSite=strict" in headers["set-cookie"]


def test_forged_forms_are_refused(site: Site) -> None:
    ann, bob = site.log_in("ann"), site.log_in("bob")
    good = {"csrf": site.csrf(ann), "version": "1"}
    assert site.ask("POST", "/item/i1/mark", {"version": "1"}, ann)[0] == 403
    assert site.ask("POST", "/item/i1/mark", good | {"csrf": site.csrf(bob)}, ann)[0] == 403
    assert site.ask("POST", "/item/i1/mark", good, ann, Origin="https://evil.example")[0] == 403
    assert site.ask("POST", "/login", {"name": "ann", "password": PASSWORD}, Origin="https://evil.example")[0] == 403
    assert site.ask("GET", "/item/i1/mark?version=1", cookie=ann)[0] in (404, 405)
    assert len(site.log.events()) == 5
    assert site.ask("POST", "/item/i1/mark", good, ann, Origin=f"http://127.0.0.1:{site.port}")[0] == 303


def test_odd_forms_get_a_clear_answer(site: Site) -> None:
    ann = site.log_in("ann")
    assert site.mark(ann, "i1", flag="style") == 409
    assert site.mark(ann, "nothing") == 409
    assert site.mark(ann, "i1", version=9) == 409
    assert site.ask("POST", "/item/i1/mark", {"csrf": site.csrf(ann), "version": "-1"}, ann)[0] == 400
    assert site.mark(ann, "i1", note="x" * BODY_BYTES_MAX) == 413
    assert site.ask("GET", "/item/nothing", cookie=ann)[0] == 404
    assert site.ask("GET", "/static/..%2fpage.py")[0] == 404
    assert len(site.log.events()) == 5


def test_expert_sees_own_mark_and_never_another_experts(site: Site) -> None:
    ann, bob = site.log_in("ann"), site.log_in("bob")
    assert site.mark(ann, "i1", flag="clarity", note="wanders off") == 303
    assert "wanders off" in site.ask("GET", "/item/i1", cookie=ann)[2]
    seen = site.ask("GET", "/item/i1", cookie=bob)[2]
    assert "wanders off" not in seen
    assert "ann" not in seen
    assert "checked" not in seen
    assert site.ask("GET", "/progress", cookie=bob)[0] == 403


def test_log_out_ends_the_session(site: Site) -> None:
    ann = site.log_in("ann")
    assert site.ask("POST", "/logout", {"csrf": site.csrf(ann)}, ann)[0] == 303
    assert site.ask("GET", "/item/i1", cookie=ann)[0] == 403


def test_two_experts_at_once_lose_no_mark(site: Site) -> None:
    def mark_all(name: str) -> None:
        cookie = site.log_in(name)
        for number in range(5):
            assert site.mark(cookie, f"i{number}") == 303

    threads = [threading.Thread(target=mark_all, args=(name,)) for name in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {item.status(2) for item in site.log.items().values()} == {"passed"}


def test_keeper_sees_progress_and_agreement(site: Site) -> None:
    ann, bob = site.log_in("ann"), site.log_in("bob")
    for number in range(5):
        site.mark(ann, f"i{number}", **({"flag": "clarity"} if number == 0 else {}))
        site.mark(bob, f"i{number}")
    shown = site.ask("GET", "/progress", cookie=site.log_in("kim"))[2]
    assert '<th scope="row">regenerate</th><td>1</td>' in shown
    assert "<td>clarity</td><td>5</td><td>10.0%</td>" in without_labels(shown)


def rewrite(site: Site, tmp_path: Path, answer: str | Answer = BETTER) -> tuple[int, int, dict[str, int]]:
    dataset = tmp_path / "mmcr-310k"
    if not dataset.exists():
        write_dataset([patchwork_dialogue(f"new{n}", [patchwork(50 + n)], topic="fields") for n in range(3)], dataset)
    with FakeChatServer(lambda request: answer) as server:
        settings = WriterSettings(writer="openai", endpoint=Endpoint(server.base_url, "fake", max_attempts=1))
        done = rewrite_flagged(site.log, settings, tmp_path / "ledger", dataset, seed=0)
    return done.num_regenerated, done.num_replaced, dict(done.failures)


def test_flagged_item_is_written_anew_with_what_the_experts_said(site: Site, tmp_path: Path) -> None:
    asked: list[str] = []
    ann, bob = site.log_in("ann"), site.log_in("bob")
    site.mark(ann, "i1", flag="clarity", note="wanders off")
    site.mark(bob, "i1")
    dataset = tmp_path / "mmcr-310k"
    write_dataset([patchwork_dialogue("new", [patchwork(50)], topic="fields")], dataset)

    def answer(request: dict[str, object]) -> str:
        asked.append(str(request))
        return BETTER

    with FakeChatServer(answer) as server:
        settings = WriterSettings(writer="openai", endpoint=Endpoint(server.base_url, "fake"))
        rewrite_flagged(site.log, settings, tmp_path / "ledger", dataset, seed=0)
    assert "wanders off" in asked[0]
    assert "clarity: 1 of 2" in asked[0]
    assert "ann" not in asked[0]
    item = site.log.items()["i1"]
    assert (item.version, item.round, item.status(2)) == (2, 2, "open")
    assert item.dialogue["topic"] == "fields"
    assert site.mark(ann, "i1", version=1) == 409  # a mark for what nobody sees any more


def test_item_the_writer_cannot_mend_is_drawn_anew_and_leaves_the_training_set(site: Site, tmp_path: Path) -> None:
    for cookie in (site.log_in("ann"), site.log_in("bob")):
        site.mark(cookie, "i1", flag="clarity")
    assert rewrite(site, tmp_path, Answer("busy", status=503)) == (0, 0, {"http_503": 1})
    assert site.log.items()["i1"].status(2) == "regenerate"
    assert rewrite(site, tmp_path, "I'm sorry, I can't.") == (0, 1, {"refusal": 3})
    item = site.log.items()["i1"]
    assert (item.version, item.round) == (2, 1)
    drawn = str(item.dialogue["id"])
    assert drawn.startswith("new")
    removed = (tmp_path / "mmcr-310k" / "removed.jsonl").read_text()
    assert f'"id": "{drawn}"' in removed


def test_expert_reviews_a_round_by_keyboard(site: Site, tmp_path: Path) -> None:
    with Browser() as browser:
        browser.open(f"http://127.0.0.1:{site.port}/")
        browser.wait_for("Log in", "h1")
        browser.press(f"ann{TAB}{PASSWORD}{ENTER}")
        browser.wait_for("0 of 5", ".place")
        browser.press("42")
        browser.wait_for("Flag (2)", "#verdict")
        browser.press("4nnot clear: 1")  # digits typed into the note flag nothing
        browser.wait_for("Flag (1)", "#verdict")
        flagged = browser.text(".name")
        browser.press(f"{ESCAPE}{ENTER}")
        browser.wait_for("1 of 5", ".place")
        browser.press("u")
        browser.wait_for("0 of 5", ".place")
        assert browser.text(".name") == flagged
        assert browser.run("return document.querySelector('textarea').value") == "not clear: 1"
        browser.wait_for("Flag (1)", "#verdict")  # undo keeps flags and note
        browser.press(ENTER)
        for count in range(1, 5):
            browser.wait_for(f"{count} of 5", ".place")
            browser.press(ENTER)
        browser.wait_for("Nothing waits for you")
        assert browser.run("return document.title") != "hacked"
        mark = site.log.items()[flagged].marks["ann"]
        assert (mark.flags, mark.note) == (("consistency",), "not clear: 1")

        bob = site.log_in("bob")
        for name in site.log.items():
            site.mark(bob, name)
        assert rewrite(site, tmp_path)[0] == 1
        browser.open(f"http://127.0.0.1:{site.port}/")
        assert "round 2" in browser.wait_for(flagged, ".place")
        browser.wait_for("dark field in its upper corner", ".dialogue")
        browser.press(ENTER)
        browser.wait_for("Nothing waits for you")
        site.mark(bob, flagged, version=2)
        assert {item.status(2) for item in site.log.items().values()} == {"passed"}


def test_page_in_a_browser_runs_no_injected_code_and_fits_a_phone(site: Site) -> None:
    with Browser(400, 800) as browser:
        browser.open(f"http://127.0.0.1:{site.port}/")
        browser.wait_for("Log in", "h1")
        browser.press(f"ann{TAB}{PASSWORD}{ENTER}")
        browser.wait_for("0 of 5", ".place")
        browser.open(f"http://127.0.0.1:{site.port}/item/i0")
        assert HOSTILE in browser.wait_for("quoted", ".dialogue")
        assert browser.run("return document.title") == "i0"
        assert browser.run("return [window.innerWidth, document.documentElement.scrollWidth]") == [400, 400]
        assert browser.run("return document.querySelector('.image img').naturalWidth") == 64


def test_button_says_what_it_will_do_after_a_failed_send_and_back(site: Site) -> None:
    with Browser() as browser:
        browser.open(f"http://127.0.0.1:{site.port}/")
        browser.wait_for("Log in", "h1")
        browser.press(f"ann{TAB}{PASSWORD}{ENTER}")
        browser.wait_for("0 of 5", ".place")
        browser.press("4nwanders off")
        browser.press(ESCAPE)
        network = {"latency": 0, "throughput": 0, "offline": True}
        browser._send("POST", "/chromium/network_conditions", {"network_conditions": network})
        browser.press(ENTER)
        time.sleep(1)
        online = network | {"offline": False, "throughput": 10**8}
        browser._send("POST", "/chromium/network_conditions", {"network_conditions": online})
        browser._send("POST", "/back", {})
        browser.wait_for("0 of 5", ".place")
        flags = "return [...document.querySelectorAll('input[name=flag]')].filter(one => one.checked).length"
        assert browser.run(flags) == 1
        assert browser.run("return document.querySelector('textarea').value") == "wanders off"
        browser.wait_for("Flag (1): clarity", "#verdict")
        assert not site.log.items()[browser.text(".name")].marks


def test_keepers_page_fits_a_phone_and_explains_its_words(site: Site) -> None:
    ann, bob = site.log_in("ann"), site.log_in("bob")
    site.mark(ann, "i1", flag="clarity", note="turn 3 contradicts turn 1 " * 5)
    site.mark(bob, "i1")
    site.log.append(Event("dropped", "i2", 1, "kim", time.time(), note="shows a minor; " * 10))
    with Browser(400, 800) as browser:
        browser.open(f"http://127.0.0.1:{site.port}/")
        browser.wait_for("Log in", "h1")
        browser.press(f"kim{TAB}{PASSWORD}{ENTER}")
        shown = browser.wait_for("Progress")
        assert "a flag stands: the command “review rewrite” asks the writer for a new version" in shown
        assert "taken out by a keeper" in shown
        assert browser.run("return [window.innerWidth, document.documentElement.scrollWidth]") == [400, 400]
        wide = "return [...document.querySelectorAll('table')].filter(one => one.scrollWidth > one.clientWidth).length"
        assert browser.run(wide) == 0
        lines = "return [...document.querySelectorAll('.time')].map(one => one.getClientRects().length)"
        heights = "return Math.max(...[...document.querySelectorAll('.time')].map(one => one.offsetHeight))"
        assert set(browser.run(lines)) == {1}
        assert browser.run(heights) < 40
        label = "return getComputedStyle(document.querySelector('.cards td'), '::before').content"
        assert browser.run(label) == '"Expert"'


@pytest.mark.slow
def test_six_experts_in_six_browsers_take_a_bench_through_two_rounds(tmp_path: Path) -> None:
    path = tmp_path / "review.sqlite3"
    log, accounts = ReviewLog(path), Accounts(open_database(path))
    for dialogue in some_dialogues():
        log.add_dialogue(Event("opened", dialogue.id, 1, "build", 0.0), dialogue)
    experts = [f"e{number}" for number in range(6)]
    for name in experts:
        accounts.add(name, PASSWORD)
    server = uvicorn.Server(uvicorn.Config(make_app(log, accounts), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    port = server.servers[0].sockets[0].getsockname()[1]

    def review(name: str, num_items: int, flag: str) -> None:
        with Browser() as browser:
            browser.open(f"http://127.0.0.1:{port}/")
            browser.wait_for("Log in", "h1")
            browser.press(f"{name}{TAB}{PASSWORD}{ENTER}")
            for done in range(5 - num_items, 5):
                browser.wait_for(f"{done} of 5", ".place")
                is_flagged = name == "e0" and browser.text(".name") == flag
                browser.press(f"4{ENTER}" if is_flagged else ENTER)
            browser.wait_for("Nothing waits for you")

    def review_all(num_items: int, flag: str) -> None:
        reviewers = [threading.Thread(target=review, args=(name, num_items, flag)) for name in experts]
        for reviewer in reviewers:
            reviewer.start()
        for reviewer in reviewers:
            reviewer.join()

    review_all(5, flag="i1")
    statuses = {name: item.status(6) for name, item in log.items().items()}
    assert statuses == {f"i{number}": "regenerate" if number == 1 else "passed" for number in range(5)}
    assert rewrite(Site(port, log, accounts), tmp_path)[0] == 1
    review_all(1, flag="none")
    assert {item.status(6) for item in log.items().values()} == {"passed"}
    assert len(to_marks(log.events())) == 36
    server.should_exit = True
    thread.join()
    assert "version 1.0.0, 5 items" in freeze_review(path, tmp_path / "frozen", "1.0.0")
