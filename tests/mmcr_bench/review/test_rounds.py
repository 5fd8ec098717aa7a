"""The rule of the review, and the log that keeps it."""

from __future__ import annotations

import shutil
import sqlite3
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import mmcr_bench.review.accounts as module
from mmcr_bench.__main__ import main
from mmcr_bench.review.accounts import ATTEMPTS_MAX, REFILL_S, SESSION_S, Accounts
from mmcr_bench.review.event_log import ReviewLog, export_lines, import_lines, open_database, to_marks
from mmcr_bench.review.progress import next_item, to_progress
from mmcr_bench.review.rounds import CRITERIA, ROUNDS_MAX, Event, Item, Kind, ReviewConflict, apply
from mmcr_dataset.record.dialogue import to_json
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue

EXPERTS = [f"e{number}" for number in range(6)]
DIALOGUE = to_json(patchwork_dialogue("d", [patchwork(0)]))


def event(kind: Kind, version: int = 1, actor: str = "e0", flags: tuple[str, ...] = ()) -> Event:
    brings = kind in ("opened", "regenerated", "replaced")
    return Event(kind, "d", version, actor, 0.0, flags, dialogue=DIALOGUE if brings else None)


def after(*events: Event) -> Item:
    items: dict[str, Item] = {}
    for one in events:
        items[one.item] = apply(items, one, len(EXPERTS))
    return items["d"]


def all_mark(version: int, flagging: str | None = None) -> list[Event]:
    return [event("marked", version, name, ("clarity",) if name == flagging else ()) for name in EXPERTS]


def test_item_that_nobody_flags_passes_only_when_all_have_marked() -> None:
    marks = all_mark(1)
    assert after(event("opened"), *marks[:5]).status(6) == "open"
    assert after(event("opened"), *marks).status(6) == "passed"


def test_item_with_one_flag_is_written_anew_and_loses_its_marks() -> None:
    flagged = [event("opened"), *all_mark(1, flagging="e3")]
    assert after(*flagged).status(6) == "regenerate"
    item = after(*flagged, event("regenerated", 2))
    assert (item.version, item.round, dict(item.marks), item.status(6)) == (2, 2, {}, "open")


def test_item_that_fails_in_more_than_three_rounds_is_replaced_and_starts_over() -> None:
    events = [event("opened")]
    for version in range(1, ROUNDS_MAX + 1):
        events += [*all_mark(version, flagging="e0"), event("regenerated", version + 1)]
    events += all_mark(ROUNDS_MAX + 1, flagging="e5")
    assert after(*events).status(6) == "replace"
    item = after(*events, event("replaced", ROUNDS_MAX + 2))
    assert (item.round, item.status(6)) == (1, "open")


def test_mark_changed_and_withdrawn_counts_as_it_stands_last() -> None:
    events = [event("opened"), *all_mark(1, flagging="e2")]
    assert after(*events, event("marked", 1, "e2")).status(6) == "passed"
    assert after(*events, event("withdrawn", 1, "e2")).status(6) == "open"


@pytest.mark.parametrize(
    ("events", "reason"),
    [
        ([event("marked")], "unknown_item"),
        ([event("opened"), event("opened")], "known_item"),
        ([event("opened"), event("marked", 2)], "stale_version"),
        ([event("opened"), event("marked", 1, flags=("style",))], "unknown_criterion"),
        ([event("opened"), event("withdrawn")], "no_mark"),
        ([event("opened"), *all_mark(1), event("marked", 1, "e6")], "panel_full"),
        ([event("opened"), event("regenerated", 2)], "not_flagged"),
        ([event("opened"), *all_mark(1), event("replaced", 2)], "not_flagged"),
        ([event("opened"), *all_mark(1, "e1"), event("regenerated", 3)], "not_flagged"),
        ([Event("opened", "d", 1, "e0", 0.0)], "no_dialogue"),
    ],
)
def test_event_that_does_not_fit_is_refused_by_name(events: list[Event], reason: str) -> None:
    with pytest.raises(ReviewConflict) as caught:
        after(*events)
    assert caught.value.reason == reason


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["marked", "marked", "marked", "withdrawn", "regenerated", "replaced"]),
            st.integers(1, 6),
            st.sampled_from(EXPERTS),
            st.sets(st.sampled_from(CRITERIA), max_size=1),
        ),
        max_size=80,
    )
)
def test_any_history_keeps_the_rule(steps: list[tuple[Kind, int, str, set[str]]]) -> None:
    items = {"d": after(event("opened"))}
    for kind, version, expert, flags in steps:
        before = items["d"]
        try:
            items["d"] = apply(items, event(kind, version, expert, tuple(flags)), 6)
        except ReviewConflict:
            continue
        now = items["d"]
        assert now.version in (before.version, before.version + 1)
        if now.version > before.version:
            assert before.status(6) in ("regenerate", "replace")
            assert not now.marks
        assert now.round <= ROUNDS_MAX + 1 or now.round == before.round + 1
        assert (now.status(6) == "passed") == (len(now.marks) == 6 and not any(m.flags for m in now.marks.values()))


@pytest.fixture
def review(tmp_path: Path) -> ReviewLog:
    log = ReviewLog(tmp_path / "review.sqlite3", num_experts=2)
    for number in range(4):
        dialogue = patchwork_dialogue(f"i{number}", [patchwork(number)], topic="fields")
        log.add_dialogue(Event("opened", dialogue.id, 1, "build", 0.0), dialogue)
    return log


def test_log_cannot_be_changed_or_deleted(review: ReviewLog, tmp_path: Path) -> None:
    other = open_database(tmp_path / "review.sqlite3")
    for statement in ("DELETE FROM event", "UPDATE event SET value = '{}'"):
        with pytest.raises(sqlite3.IntegrityError, match="append-only"):
            other.execute(statement)
    assert len(review.events()) == 4


def test_log_reopened_stands_where_it_stood(review: ReviewLog, tmp_path: Path) -> None:
    review.append(Event("marked", "i0", 1, "ann", 1.0, ("clarity",), "off topic"))
    review.close()
    again = ReviewLog(tmp_path / "review.sqlite3")
    assert again.num_experts == 2
    assert again.items()["i0"].marks["ann"].note == "off topic"
    assert again.dialogue(again.items()["i0"]) == patchwork_dialogue("i0", [patchwork(0)], topic="fields")


def test_log_two_experts_in_two_connections_lose_no_mark(review: ReviewLog, tmp_path: Path) -> None:
    def mark_all(expert: str) -> None:
        log = ReviewLog(tmp_path / "review.sqlite3")
        for item in ("i0", "i1", "i2", "i3"):
            for _ in range(5):
                log.append(Event("marked", item, 1, expert, 0.0))
        log.close()

    threads = [threading.Thread(target=mark_all, args=(name,)) for name in ("ann", "bob")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(review.events()) == 4 + 2 * 4 * 5
    assert all(item.status(2) == "passed" for item in review.items().values())


def test_log_refused_event_leaves_no_trace(review: ReviewLog) -> None:
    with pytest.raises(ReviewConflict):
        review.append(Event("marked", "i0", 7, "ann", 0.0))
    assert len(review.events()) == 4
    review.append(Event("marked", "i0", 1, "ann", 0.0))


def test_export_and_import_give_the_same_review(review: ReviewLog, tmp_path: Path) -> None:
    review.append(Event("marked", "i0", 1, "ann", 1.0, ("clarity",), "ünïcode & <b>"))
    review.append(Event("marked", "i1", 1, "bob", 2.0))
    review.append(Event("withdrawn", "i1", 1, "bob", 3.0))
    copy = ReviewLog(tmp_path / "copy.sqlite3", num_experts=2)
    lines = list(export_lines(review))
    assert import_lines(copy, lines) == 7
    assert copy.items() == review.items()
    assert list(export_lines(copy)) == lines
    with pytest.raises(ValueError, match="import into a new file"):
        import_lines(copy, lines)


def test_import_names_the_line_that_is_broken(review: ReviewLog, tmp_path: Path) -> None:
    lines = list(export_lines(review))
    for broken in (lines[4:], [*lines[:5], '{"kind": "opened"}'], [*lines[:5], "["]):
        copy = ReviewLog(tmp_path / f"{len(broken)}-{broken[-1][:3].strip('{[')}.sqlite3")
        with pytest.raises(ValueError, match=r"line \d+: "):
            import_lines(copy, broken)


def test_next_item_leads_each_expert_through_all_items_in_an_order_of_their_own(review: ReviewLog) -> None:
    orders = {}
    for expert in ("ann", "bob"):
        seen = []
        while (name := next_item(review.items(), expert, 2)) is not None:
            seen.append(name)
            review.append(Event("marked", name, 1, expert, 0.0))
        orders[expert] = seen
    assert sorted(orders["ann"]) == sorted(orders["bob"]) == ["i0", "i1", "i2", "i3"]
    assert orders["ann"] != orders["bob"]
    progress = to_progress(review, ["ann", "bob", "eve"])
    assert progress.by_status == {"open": 0, "passed": 4, "regenerate": 0, "replace": 0}
    assert progress.by_expert == {"ann": 4, "bob": 4, "eve": 0}


def test_marks_of_a_log_are_the_last_of_each_expert_and_version(review: ReviewLog) -> None:
    review.append(Event("marked", "i0", 1, "ann", 0.0, ("clarity",)))
    review.append(Event("marked", "i0", 1, "ann", 0.0, ("logical",)))
    review.append(Event("marked", "i1", 1, "ann", 0.0))
    review.append(Event("withdrawn", "i1", 1, "ann", 0.0))
    (mark,) = to_marks(review.events())
    assert (mark.item, mark.expert, mark.flags) == ("i0#1", "ann", frozenset({"logical"}))


def test_account_logs_in_with_the_right_password_only(tmp_path: Path) -> None:
    accounts = Accounts(open_database(tmp_path / "review.sqlite3"))
    accounts.add("ann", "correct horse")
    token = accounts.log_in("ann", "correct horse", now=0.0)
    user = accounts.user_of(token, now=1.0)
    assert user is not None
    assert (user.name, user.role) == ("ann", "expert")
    assert accounts.user_of(token, now=SESSION_S + 1.0) is None
    assert accounts.log_in("ann", "correct house", now=0.0) is None
    assert accounts.log_in("eve", "correct horse", now=0.0) is None
    assert b"correct horse" not in (tmp_path / "review.sqlite3").read_bytes()


def test_account_that_is_guessed_at_waits_and_others_do_not(tmp_path: Path) -> None:
    accounts = Accounts(open_database(tmp_path / "review.sqlite3"))
    accounts.add("ann", "correct horse")
    accounts.add("bob", "battery staple")
    for _ in range(ATTEMPTS_MAX):
        accounts.log_in("ann", "a guess", now=0.0, address="1.2.3.4")
    assert accounts.log_in("ann", "correct horse", now=1.0, address="1.2.3.4") is None
    assert accounts.wait_s("ann", "1.2.3.4", now=1.0) == pytest.approx(REFILL_S - 1)
    assert accounts.log_in("bob", "battery staple", now=1.0, address="1.2.3.4") is not None
    assert (
        accounts.log_in("ann", "correct horse", now=1.0, address="5.6.7.8") is not None
    )  # a stranger locks nobody out
    assert accounts.log_in("ann", "correct horse", now=REFILL_S + 0.1, address="1.2.3.4") is not None


def test_guesses_are_counted_before_they_are_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    accounts = Accounts(open_database(tmp_path / "review.sqlite3"))
    accounts.add("ann", "correct horse")
    compared: list[str] = []
    real = module._scrypt
    monkeypatch.setattr(module, "_scrypt", lambda password, salt: (compared.append(password), real(password, salt))[1])
    threads = [threading.Thread(target=accounts.log_in, args=("ann", f"guess {n}", 0.0)) for n in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(compared) == ATTEMPTS_MAX


def test_copy_of_the_file_while_it_is_open_holds_every_mark(tmp_path: Path) -> None:
    log = ReviewLog(tmp_path / "review.sqlite3", 2)
    log.add_dialogue(event("opened"), patchwork_dialogue("d", [patchwork(0)]))
    log.append(event("marked", flags=("clarity",)))
    shutil.copy(tmp_path / "review.sqlite3", tmp_path / "copy.sqlite3")
    assert ReviewLog(tmp_path / "copy.sqlite3").items()["d"].marks["e0"].flags == ("clarity",)


def test_export_keeps_panel_and_roles(tmp_path: Path) -> None:
    log = ReviewLog(tmp_path / "review.sqlite3", 2)
    log.add_dialogue(event("opened"), patchwork_dialogue("d", [patchwork(0)]))
    (tmp_path / "export.jsonl").write_text("".join(f"{line}\n" for line in export_lines(log, {"kim": "keeper"})))
    assert main(["review", "import", str(tmp_path / "copy.sqlite3"), str(tmp_path / "export.jsonl")]) == 0
    copy = Accounts(open_database(tmp_path / "copy.sqlite3"))
    assert ReviewLog(tmp_path / "copy.sqlite3").num_experts == 2
    assert (copy.names("keeper"), copy.log_in("kim", "")) == (["kim"], None)


def test_account_new_password_ends_old_sessions(tmp_path: Path) -> None:
    accounts = Accounts(open_database(tmp_path / "review.sqlite3"))
    accounts.add("ann", "correct horse")
    token = accounts.log_in("ann", "correct horse")
    accounts.add("ann", "battery staple")
    assert accounts.user_of(token) is None
    with pytest.raises(ValueError, match="at least 10"):
        accounts.add("ann", "short")
    with pytest.raises(ValueError, match="expected a letter"):
        accounts.add("<script>", "battery staple")
