"""The scoring page: blind scores of one or two models' replies, and the human ceiling made of them."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvicorn

from mmcr_bench.__main__ import main
from mmcr_bench.judge.mmdu_rubric import MMDU_NAMES as MMDU
from mmcr_bench.judge.rubric import NAMES
from mmcr_bench.review.accounts import Accounts
from mmcr_bench.review.event_log import ReviewLog, open_database
from mmcr_bench.review.score_commands import open_scores
from mmcr_bench.review.score_log import ScoreLog
from mmcr_bench.review.score_page import make_score_app
from mmcr_bench.trust.ceiling import show_ceiling
from mmcr_bench.trust.runs import Run, read_each_expert, read_expert_scores
from mmcr_dataset.record.dialogue import to_json
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue
from tests.mmcr_bench.review.test_page import PASSWORD, Site

DIALOGUES = [patchwork_dialogue(f"d{n}", [patchwork(n)], topic="fields") for n in range(4)]


def run_of(name: str) -> Run:
    return Run(name, tuple(DIALOGUES), tuple((f"{name} said <b>so</b>",) * 4 for _ in DIALOGUES), {}, 0)


@pytest.fixture
def scoring(tmp_path: Path) -> Iterator[tuple[Site, ScoreLog]]:
    path = tmp_path / "scores.sqlite3"
    log, accounts = ScoreLog(open_database(path)), Accounts(open_database(path))
    assert log.start([run_of("llama"), run_of("ovis")], "mmcr_bench") == 4
    for name in ("ann", "bob"):
        accounts.add(name, PASSWORD)
    server = uvicorn.Server(uvicorn.Config(make_score_app(log, accounts), port=0, log_level="error"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    unused = ReviewLog(tmp_path / "unused.sqlite3")
    yield Site(server.servers[0].sockets[0].getsockname()[1], unused, accounts), log
    server.should_exit = True
    thread.join()


def send(site: Site, cookie: str, id_: str, first: int, second: int, **odd: str) -> tuple[int, str]:
    form = {"csrf": site.csrf(cookie)}
    form |= {f"{number}.{name}": str(value) for number, value in enumerate((first, second)) for name in NAMES}
    status, _, body = site.ask("POST", f"/dialogue/{id_}/score", form | odd, cookie)
    return status, body


def test_scores_are_given_blind_and_exported_under_the_right_run(
    scoring: tuple[Site, ScoreLog], tmp_path: Path
) -> None:
    site, log = scoring
    ann = site.log_in("ann")
    shown = site.ask("GET", "/dialogue/d1", cookie=ann)[2]
    labels = re.findall(r"<b>(Model [AB])</b>\n(\w+) said", shown)
    assert "said &lt;b&gt;so&lt;/b&gt;" in shown
    order = [name for _, name in labels[:2]]
    assert [label for label, _ in labels[:2]] == ["Model A", "Model B"]
    assert order == log.shown_order("ann", "d1")
    assert len({tuple(log.shown_order(expert, d.id)) for expert in ("ann", "bob") for d in DIALOGUES}) == 2
    assert send(site, ann, "d1", 3, 9)[0] == 303
    (scores,) = [one.scores for one in log.given() if one.run == order[0]]
    assert set(scores.values()) == {3}
    assert main(["scoring", "export", str(tmp_path / "scores.sqlite3"), str(tmp_path / "out.jsonl")]) == 0
    found = read_expert_scores(tmp_path / "out.jsonl", NAMES, order[1])
    assert found == {"d1": dict.fromkeys(NAMES, 9.0)}
    with pytest.raises(ValueError, match="none of the run other"):
        read_each_expert(tmp_path / "out.jsonl", NAMES, "other")


@pytest.mark.parametrize("odd", ["", "0", "11", "7.5", "-1", "ten", "１", "1e1"])
def test_odd_score_stores_nothing_and_keeps_what_was_filled_in(scoring: tuple[Site, ScoreLog], odd: str) -> None:
    site, log = scoring
    ann = site.log_in("ann")
    status, body = send(site, ann, "d0", 4, 8, **{"1.clarity": odd})
    assert status == 409
    assert "Nothing is stored yet" in body
    assert 'name="0.clarity" value="4"' in body
    assert log.given() == []
    assert send(site, ann, "nothing", 4, 8)[0] == 404


def test_stale_tab_and_expired_session_lose_no_scores(scoring: tuple[Site, ScoreLog]) -> None:
    site, log = scoring
    ann = site.log_in("ann")
    assert send(site, ann, "d0", 4, 8, seen="")[0] == 303
    status, body = send(site, ann, "d0", 2, 2, seen="")
    assert status == 409
    assert "you scored this dialogue elsewhere" in body
    assert 'name="0.clarity" value="2"' in body
    assert {one.scores["clarity"] for one in log.given()} == {4, 8}
    (seen,) = re.findall(r'name="seen" value="([^"]+)"', body)
    assert send(site, ann, "d0", 2, 2, seen=seen)[0] == 303
    assert {one.scores["clarity"] for one in log.given()} == {2}
    form = {f"0.{name}": "7" for name in NAMES} | {"csrf": "0" * 64}
    status, _, body = site.ask("POST", "/dialogue/d1/score", form, "")
    assert status == 403
    assert "Not stored: 0.precision 7" in body


def test_expert_scores_all_in_turn_sees_own_scores_and_can_change_them(scoring: tuple[Site, ScoreLog]) -> None:
    site, log = scoring
    ann, bob = site.log_in("ann"), site.log_in("bob")
    for _ in DIALOGUES:
        id_ = log.next_for("ann")
        assert id_ is not None
        assert send(site, ann, id_, 5, 6)[0] == 303
    assert "All scored" in site.ask("GET", "/", cookie=ann)[2]
    assert send(site, ann, "d0", 7, 7)[0] == 303
    assert 'value="7"' in site.ask("GET", "/dialogue/d0", cookie=ann)[2]
    assert 'value="7"' not in site.ask("GET", "/dialogue/d0", cookie=bob)[2]
    assert len(log.given()) == 8
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        log._db.execute("DELETE FROM score")
    assert site.ask("GET", "/dialogue/d0")[0] == 403
    assert site.ask("POST", "/dialogue/d0/score", {"csrf": "0"}, ann)[0] == 403


def test_mmdu_is_scored_in_its_own_dimensions(tmp_path: Path) -> None:
    log = ScoreLog(open_database(tmp_path / "scores.sqlite3"))
    log.start([run_of("one")], "mmdu", limit=2)
    assert (log.dimensions, len(log.ids())) == (MMDU, 2)
    log.add(log.ids()[0], "ann", {"one": dict.fromkeys(MMDU, 7)})
    with pytest.raises(ValueError, match="expected a score of"):
        log.add(log.ids()[0], "ann", {"one": dict.fromkeys(NAMES, 7)})


def test_scoring_of_a_run_folder_up_to_the_ceiling_in_agreement(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, scores = tmp_path / "run_a", tmp_path / "scores.sqlite3"
    folder.mkdir()
    lines = [
        {
            "task": "mmcr_bench",
            "dialogue": to_json(dialogue),
            "replies": ["so"] * 4,
            "points": dict.fromkeys(NAMES, 10.0 * (2 * n + 1)),
        }
        for n, dialogue in enumerate(DIALOGUES)
    ]
    (folder / "samples.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["scoring", "start", str(scores), "--run", str(folder), "--run", str(folder)]) == 2
    assert not scores.exists()
    assert main(["scoring", "start", str(scores), "--run", str(folder)]) == 0
    assert main(["scoring", "start", str(scores), "--run", str(folder)]) == 2
    log, _ = open_scores(scores)
    for expert, shift in (("ann", 0), ("bob", 1), ("cleo", 2)):
        for n, dialogue in enumerate(DIALOGUES):
            log.add(dialogue.id, expert, {"run_a": dict.fromkeys(NAMES, 2 * n + 1 + shift)})
    assert main(["scoring", "export", str(scores), str(tmp_path / "out.jsonl")]) == 0
    capsys.readouterr()
    assert main(["agreement", "--run", str(folder), "--experts", str(tmp_path / "out.jsonl")]) == 0
    said = capsys.readouterr().out
    assert "human ceiling, 3 experts" in said
    assert "| precision | 12 | 1.00 | 1.00 | 1.00 | 1.00 |" in said


def test_ceiling_is_the_textbooks_and_needs_two_experts() -> None:
    judge = {f"d{n}": {"overall": float(n)} for n in range(5)}
    ann = {f"d{n}": {"overall": float(n)} for n in range(5)}
    bob = {f"d{n}": {"overall": float(4 - n)} for n in range(5)}
    assert "No human ceiling" in show_ceiling(judge, {"ann": ann}, ["overall"])
    shown = show_ceiling(judge, {"ann": ann, "bob": bob}, ["overall"])
    assert "| overall | 10 | -1.00 | 0.00 | -1.00 | 0.00 |" in shown
