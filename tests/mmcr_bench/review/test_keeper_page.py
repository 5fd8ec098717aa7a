"""The keeper's page and what an expert sees in a second round, over plain HTTP; the shortest viewing time."""

from __future__ import annotations

import http.client
import re
import time
from dataclasses import replace
from pathlib import Path

import pytest

from mmcr_bench.review.accounts import ATTEMPTS_MAX
from mmcr_bench.review.page import Pages
from mmcr_bench.review.rounds import Event
from mmcr_bench.review.shown import SHOWN_CRITERIA, diff_words, find_before
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue
from tests.mmcr_bench.review.test_page import PASSWORD, Site, site, without_labels

__all__ = ["site"]
FORM = "application/x-www-form-urlencoded"


def act(site: Site, action: str, **form: str) -> tuple[int, str]:
    kim = site.log_in("kim")
    csrf = site.ask("GET", "/progress", cookie=kim)[2].split('name="csrf" value="')[1][:64]
    status, _, body = site.ask("POST", f"/keeper/{action}", {"csrf": csrf, **form}, kim)
    return status, body if body else site.ask("GET", "/progress", cookie=kim)[2]


def regenerate(site: Site, name: str) -> None:
    old = site.log.dialogue(site.log.items()[name])
    turns = tuple(replace(turn, assistant=turn.assistant.replace("Grey", "Pale")) for turn in old.turns)
    version = site.log.items()[name].version + 1
    site.log.add_dialogue(Event("regenerated", name, version, "w", time.time()), replace(old, turns=turns))


def test_second_round_shows_what_was_flagged_and_changed_without_names(site: Site) -> None:
    ann, bob = site.log_in("ann"), site.log_in("bob")
    assert "Flagged in the version before" not in site.ask("GET", "/item/i1", cookie=ann)[2]
    site.mark(ann, "i1", flag="clarity", note="field <2> is not grey")
    site.mark(bob, "i1", note="a pass has a note too")
    regenerate(site, "i1")
    shown = site.ask("GET", "/item/i1", cookie=bob)[2]
    assert "clarity (by 1 of 2)" in shown
    assert "<blockquote>field &lt;2&gt; is not grey</blockquote>" in shown
    assert "<del>Grey</del><ins>Pale</ins>" in shown
    assert "a pass has a note too" not in shown
    assert "ann" not in shown


def test_replaced_item_is_called_new_and_has_no_diff(site: Site) -> None:
    for cookie in (site.log_in("ann"), site.log_in("bob")):
        site.mark(cookie, "i1", flag="logical")
    new = patchwork_dialogue("new", [patchwork(70)], topic="fields")
    site.log.add_dialogue(Event("replaced", "i1", 2, "draw", 1.0), new)
    before = find_before(site.log.events(), site.log.items()["i1"])
    assert before is not None
    assert (before.is_replaced, dict(before.flags), before.turns) == (True, {"logical": 2}, ())
    assert "New dialogue in place of one that failed" in site.ask("GET", "/item/i1", cookie=site.log_in("ann"))[2]


def test_diff_gives_back_both_texts() -> None:
    old, new = "Two  red boats\nlie here.", "Three red boats lie  there.\n\n"
    pieces = diff_words(old, new)
    assert "".join(text for kind, text in pieces if kind != "new") == old
    assert "".join(text for kind, text in pieces if kind != "old") == new


def test_each_criterion_has_bands_and_examples_on_the_page(site: Site) -> None:
    shown = site.ask("GET", "/item/i1", cookie=site.log_in("ann"))[2]
    assert len(SHOWN_CRITERIA["mmcr"]) == 5
    assert len(SHOWN_CRITERIA["mmdu"]) == 7
    for criterion in SHOWN_CRITERIA["mmcr"]:
        assert criterion.title.replace("'", "&#39;") in shown
        assert len(criterion.bands) == 5
        assert criterion.good[:20] in shown
        assert criterion.bad[:20] in shown
    assert "2 experts judge each item" in shown


def test_mark_before_the_shortest_viewing_time_is_kept_on_the_page_and_not_stored(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    wait = {"s": 3.2}
    monkeypatch.setattr(Pages, "_wait_s", lambda self, user, item: wait["s"])
    ann = site.log_in("ann")
    assert 'data-wait="4"' in site.ask("GET", "/item/i1", cookie=ann)[2]
    form = {"csrf": site.csrf(ann), "version": "1", "flag": "logical", "note": "my words"}
    status, _, body = site.ask("POST", "/item/i1/mark", form, ann)
    assert status == 409
    assert "can be marked in 4 s" in body
    assert "my words" in body
    assert 'value="logical" checked' in body
    assert not site.log.items()["i1"].marks
    wait["s"] = 0.0
    assert site.mark(ann, "i1", flag="logical", note="my words") == 303


def test_mark_of_an_expired_session_is_shown_back(site: Site) -> None:
    ann = site.log_in("ann")
    form = {"csrf": site.csrf(ann), "version": "1", "flag": "logical", "note": "my long note"}
    site.accounts.log_out(ann.split("=", 1)[1])
    status, _, body = site.ask("POST", "/item/i1/mark", form, ann)
    assert status == 403
    assert "Not stored: flags: logical; note: my long note" in body


def stamped(page: str) -> dict[str, str]:
    """The hidden fields of the form that stores a mark."""
    return dict(re.findall(r'name="(csrf|version|seen)" value="([^"]*)"', page[page.index('id="mark"') :]))


def test_stale_tab_neither_takes_back_a_newer_mark_nor_passes_over_an_undo(site: Site) -> None:
    ann = site.log_in("ann")

    def post(action: str, form: dict[str, str], **more: str) -> tuple[int, str]:
        status, _, body = site.ask("POST", f"/item/i1/{action}", form | more, ann)
        return status, body

    before = stamped(site.ask("GET", "/item/i1", cookie=ann)[2])
    assert post("mark", before, flag="clarity", note="turn 3")[0] == 303
    start = site.ask("GET", "/?done=i1", cookie=ann)[2]
    undo = dict(
        re.findall(r'name="(csrf|version|seen)" value="([^"]*)"', start[start.index("/undo") :].split("</form>")[0])
    )
    now = stamped(site.ask("GET", "/item/i1", cookie=ann)[2])
    assert post("mark", now, flag="logical", note="turn 3 contradicts turn 1")[0] == 303
    status, body = post("undo", undo)
    assert status == 409
    assert "You marked &#39;i1&#39; elsewhere" in body
    assert site.log.items()["i1"].marks["ann"].note == "turn 3 contradicts turn 1"
    assert post("undo", stamped(site.ask("GET", "/item/i1", cookie=ann)[2]))[0] == 303
    status, body = post("mark", before, note="an old tab")
    assert status == 409
    assert "an old tab" in body
    after = site.ask("GET", "/item/i1", cookie=ann)[2]
    assert "turn 3 contradicts turn 1" in after
    assert post("mark", stamped(after), note="now")[0] == 303


def test_long_note_is_shown_back_whole_and_line_breaks_count_once(site: Site) -> None:
    ann = site.log_in("ann")
    shown = stamped(site.ask("GET", "/item/i1", cookie=ann)[2])
    longest = "line\r\n" * 800
    status, _, body = site.ask("POST", "/item/i1/mark", shown | {"note": longest + "x", "flag": "clarity"}, ann)
    assert status == 409
    assert "the note has 4001 characters, at most 4000 are stored" in body
    assert body.count("line\n") == 800
    assert "ann" not in site.log.items()["i1"].marks
    assert site.ask("POST", "/item/i1/mark", shown | {"note": longest, "flag": "clarity"}, ann)[0] == 303
    assert len(site.log.items()["i1"].marks["ann"].note) == 4000


def test_criterion_that_is_sent_twice_is_one_flag(site: Site) -> None:
    ann = site.log_in("ann")
    shown = stamped(site.ask("GET", "/item/i1", cookie=ann)[2])
    connection = http.client.HTTPConnection("127.0.0.1", site.port, timeout=30)
    body = f"csrf={shown['csrf']}&version=1&flag=clarity&flag=clarity"
    connection.request("POST", "/item/i1/mark", body, {"Content-Type": FORM, "Cookie": ann})
    assert connection.getresponse().status == 303
    assert site.log.items()["i1"].marks["ann"].flags == ("clarity",)


def test_end_of_a_round_says_what_comes_next(site: Site) -> None:
    ann, bob = site.log_in("ann"), site.log_in("bob")
    for name in site.log.items():
        site.mark(ann, name, **({"flag": "clarity"} if name == "i0" else {}))
    assert "5 items wait for 5 marks of other experts" in site.ask("GET", "/", cookie=ann)[2]
    for name in site.log.items():
        site.mark(bob, name)
    assert "1 flagged items wait to be rewritten" in site.ask("GET", "/", cookie=ann)[2]
    regenerate(site, "i0")
    for cookie in (ann, bob):
        site.mark(cookie, "i0", version=2)
    assert "The review is finished" in site.ask("GET", "/", cookie=ann)[2]


def test_keeper_sees_flags_notes_and_who_lags_and_drops_an_item(site: Site) -> None:
    ann, bob = site.log_in("ann"), site.log_in("bob")
    for cookie in (ann, bob):
        site.mark(cookie, "i1", flag="clarity", note="wanders off")
    status, body = act(site, "drop", item="i1", reason=" ")
    assert status == 409
    assert "needs a reason" in body
    assert "ann: wanders off" in body
    assert "<td>ann</td><td>1 of 5</td><td>4</td><td>1</td>" in without_labels(body)
    status, body = act(site, "drop", item="i1", reason="a <b>minor</b>")
    assert status == 303
    assert "a &lt;b&gt;minor&lt;/b&gt;" in body
    assert site.log.items()["i1"].status(2) == "dropped"
    assert site.ask("GET", "/item/i1", cookie=ann)[0] == 200
    assert site.mark(ann, "i1") == 409


def test_keeper_replaces_an_expert_and_experts_cannot(site: Site) -> None:
    ann = site.log_in("ann")
    site.mark(ann, "i1")
    assert act(site, "add", name="ann", password=PASSWORD)[0] == 409
    assert act(site, "add", name="zoe", password="short")[0] == 409
    assert act(site, "add", name="zoe", password=PASSWORD)[0] == 303
    assert act(site, "remove", name="ann", reason="ill", successor="zoe")[0] == 303
    assert site.ask("GET", "/item/i2", cookie=ann)[0] == 403
    assert "1 of 5" in site.ask("GET", "/", cookie=site.log_in("zoe"))[2]
    assert set(site.log.items()["i1"].marks) == {"ann"}
    bob = site.log_in("bob")
    form = {"csrf": site.csrf(bob), "name": "zoe", "reason": "x"}
    assert site.ask("POST", "/keeper/remove", form, bob)[0] == 403
    assert act(site, "nonsense")[0] == 409
    assert [(a.actor, a.action, a.subject) for a in site.accounts.acts()] == [
        ("kim", "account", "zoe"),
        ("kim", "removed", "ann"),
        ("kim", "replaced", "ann"),
    ]


def test_keeper_resets_a_lock(site: Site) -> None:
    for _ in range(ATTEMPTS_MAX):
        site.accounts.log_in("ann", "a guess", address="127.0.0.1")
    assert site.accounts.waiting_logins() == ["ann"]
    assert "Too many wrong passwords for ann" in site.ask("GET", "/progress", cookie=site.log_in("kim"))[2]
    assert act(site, "reset", name="ann")[0] == 303
    assert site.accounts.waiting_logins() == []


def test_missing_pages_are_pages(site: Site) -> None:
    for path in ("/nowhere", "/item", "/keeper/drop", "/static/x"):
        status, headers, body = site.ask("GET", path)
        assert status in (404, 405)
        assert headers["content-type"].startswith("text/html")
        assert "That did not work" in body


def test_last_seen_is_stored(site: Site, tmp_path: Path) -> None:
    site.ask("GET", "/", cookie=site.log_in("ann"))
    assert site.accounts.last_seen()["ann"] == pytest.approx(time.time(), abs=30)
    assert "bob" not in site.accounts.last_seen()
