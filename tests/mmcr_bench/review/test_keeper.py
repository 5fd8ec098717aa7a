"""What a keeper does: drop, decide on lone flags, replace an expert, plant calibration items, freeze with gaps."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

import pytest

from mmcr_bench.__main__ import main
from mmcr_bench.review.accounts import Accounts
from mmcr_bench.review.calibration import measure_sensitivity, plant_error, wilson_interval
from mmcr_bench.review.event_log import ReviewLog, open_database, to_marks
from mmcr_bench.review.progress import next_item, show_agreement, to_progress
from mmcr_bench.review.rounds import Event, ReviewConflict
from mmcr_bench.trust.agreement import Mark, count_false_flags
from mmcr_dataset.publish.parquet import write_dataset
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue

EXPERTS = ("ann", "bob", "cleo")


def mark(log: ReviewLog, item: str, expert: str, *flags: str, version: int = 1) -> None:
    log.append(Event("marked", item, version, expert, 0.0, flags))


@pytest.fixture
def review(tmp_path: Path) -> Path:
    path = tmp_path / "review.sqlite3"
    log = ReviewLog(path, num_experts=3)
    for number in range(4):
        dialogue = patchwork_dialogue(f"i{number}", [patchwork(number)], topic="fields")
        log.add_dialogue(Event("opened", dialogue.id, 1, "build", 0.0), dialogue)
        for expert in EXPERTS:
            mark(log, dialogue.id, expert, *(["clarity"] if (number, expert) == (0, "ann") else []))
    log.close()
    accounts = Accounts(open_database(path))
    for expert in EXPERTS:
        accounts.add(expert, "correct horse")
    return path


def test_dropped_item_leaves_the_bench_and_stands_on_the_card(
    review: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "frozen"
    assert main(["freeze", str(review), "--output_dir", str(out)]) == 2
    assert "3 of 4 items have passed (1 regenerate): i0" in capsys.readouterr().err
    assert main(["review", "drop", str(review), "i0", "--reason", "  "]) == 2
    assert main(["review", "drop", str(review), "nothing", "--reason", "why"]) == 2
    assert main(["review", "drop", str(review), "i0", "--reason", "shows a minor"]) == 0
    assert main(["review", "drop", str(review), "i0", "--reason", "again"]) == 2
    with pytest.raises(ReviewConflict, match="shows a minor"):
        mark(ReviewLog(review), "i0", "ann")
    assert main(["freeze", str(review), "--output_dir", str(out)]) == 0
    assert "| i0 | shows a minor |" in (out / "README.md").read_text()
    report = json.loads((out / "frozen.json").read_text())
    assert (report["num_items"], report["left_out"]) == (3, {"i0": "shows a minor"})
    assert main(["review", "log", str(review)]) == 0
    assert "dropped i0 (shows a minor)" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["i0", "fields"])
def test_gap_is_accepted_by_item_or_topic_with_a_reason(review: Path, tmp_path: Path, name: str) -> None:
    out = tmp_path / "frozen"
    for wrong in (name, f"{name}=", "i1=has passed", "other=no such topic"):
        assert main(["freeze", str(review), "--output_dir", str(out), "--accept_gap", wrong]) == 2
    assert (
        main(["freeze", str(review), "--output_dir", str(out), "--accept_gap", f"{name}=no free dialogue = left"]) == 0
    )
    assert "| i0 | no free dialogue = left |" in (out / "README.md").read_text()
    assert ReviewLog(review).items()["i0"].status(3) == "regenerate"  # the review itself goes on


def test_freeze_counts_who_judged_what(review: Path, tmp_path: Path) -> None:
    accounts, log = Accounts(open_database(review)), ReviewLog(review)
    log.append(Event("withdrawn", "i1", 1, "cleo", 0.0))
    accounts.add("dora", "correct horse")
    accounts.remove("cleo", "kim", "has left", "dora")
    mark(log, "i1", "dora")
    log.append(Event("dropped", "i0", 1, "kim", 0.0, note="no"))
    assert main(["freeze", str(review), "--output_dir", str(tmp_path / "frozen")]) == 0
    report = json.loads((tmp_path / "frozen" / "frozen.json").read_text())
    assert (report["experts"], report["experts_an_item"]) == (4, 3)
    assert sorted(report["items_judged"].values()) == [1, 2, 3, 3]
    card = (tmp_path / "frozen" / "README.md").read_text()
    assert "3 experts judged each item" in card
    assert "4 took part" in card
    assert "ann" not in card.split("## Review")[1]


def test_lone_flag_waits_for_a_decision_that_is_dropped_with_a_new_mark(review: Path) -> None:
    log = ReviewLog(review)
    assert log.items()["i0"].has_lone_flag(3)
    assert main(["review", "adjudicate", str(review), "i1", "--dismiss", "--reason", "x"]) == 2
    assert main(["review", "adjudicate", str(review), "i0", "--dismiss"]) == 2
    assert main(["review", "adjudicate", str(review), "i0", "--dismiss", "--reason", "the theme is clear"]) == 0
    assert log.items()["i0"].status(3) == "passed"
    mark(log, "i0", "bob", "logical")
    item = log.items()["i0"]
    assert (item.status(3), item.has_lone_flag(3)) == ("regenerate", False)
    mark(log, "i0", "bob")
    assert main(["review", "adjudicate", str(review), "i0", "--reason", "right"]) == 0
    item = log.items()["i0"]
    assert (item.status(3), item.has_lone_flag(3)) == ("regenerate", False)


def test_rewrite_leaves_lone_flags_to_the_keeper(
    review: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "data"
    write_dataset([patchwork_dialogue("new", [patchwork(50)], topic="fields")], dataset)
    asked = ["review", "rewrite", str(review), "--endpoint", "offline", "--dataset", str(dataset)]
    asked += ["--ledger", str(tmp_path / "ledger")]
    assert main(asked) == 0
    said = capsys.readouterr().out
    assert "0 items regenerated, 0 redrawn" in said
    assert "1 items that one expert alone flagged" in said
    assert main([*asked, "--lone_flags", "rewrite"]) == 0
    assert ReviewLog(review).items()["i0"].version == 2


def test_removed_expert_keeps_marks_and_the_successor_gets_the_rest(review: Path) -> None:
    accounts, log = Accounts(open_database(review)), ReviewLog(review)
    token = accounts.log_in("ann", "correct horse")
    new = patchwork_dialogue("i9", [patchwork(9)], topic="fields")
    log.add_dialogue(Event("opened", "i9", 1, "build", 0.0), new)
    log.append(Event("withdrawn", "i1", 1, "bob", 0.0))
    accounts.add("dora", "correct horse")
    assert main(["review", "remove", str(review), "ann", "--reason", "ill", "--successor", "nobody"]) == 2
    assert main(["review", "remove", str(review), "ann", "--reason", "ill", "--successor", "dora"]) == 0
    assert accounts.user_of(token) is None
    assert accounts.log_in("ann", "correct horse") is None
    assert main(["review", "account", str(review), "ann"]) == 2
    assert next_item(log.items(), "dora", 3, accounts.predecessors("dora")) == "i9"
    assert next_item(log.items(), "bob", 3, accounts.predecessors("bob")) in ("i1", "i9")
    accounts.add("emil", "correct horse")
    accounts.remove("dora", "kim", "busy", "emil")
    assert accounts.predecessors("emil") == {"ann", "dora"}


def test_keepers_log_cannot_be_changed_and_travels_with_an_export(review: Path, tmp_path: Path) -> None:
    accounts = Accounts(open_database(review))
    accounts.remove("ann", "kim", "ill")
    with pytest.raises(sqlite3.IntegrityError, match="append-only"):
        open_database(review).execute("DELETE FROM keeper_act")
    assert main(["review", "export", str(review), str(tmp_path / "export.jsonl")]) == 0
    assert main(["review", "import", str(tmp_path / "copy.sqlite3"), str(tmp_path / "export.jsonl")]) == 0
    copy = Accounts(open_database(tmp_path / "copy.sqlite3"))
    assert copy.names("former") == ["ann"]
    assert copy.names("expert") == ["bob", "cleo"]
    assert copy.acts() == accounts.acts()
    assert ReviewLog(tmp_path / "copy.sqlite3").events() == ReviewLog(review).events()


def test_calibration_items_measure_each_expert_and_stay_out_of_the_bench(review: Path, tmp_path: Path) -> None:
    dataset = tmp_path / "data"
    dialogues = [patchwork_dialogue(f"c{n}", [patchwork(60 + n)], topic="fields") for n in range(3)]
    write_dataset([*dialogues, patchwork_dialogue("same_image", [patchwork(0)])], dataset)
    assert main(["review", "calibrate", str(review), str(dataset), "--number", "10"]) == 0
    log = ReviewLog(review)
    planted = {name: item for name, item in log.items().items() if item.planted}
    assert set(planted) == {"c0", "c1", "c2"}
    assert all(
        log.dialogue(item).turns != next(d for d in dialogues if d.id == name).turns for name, item in planted.items()
    )
    for name, item in planted.items():
        mark(log, name, "ann", item.planted[0])
        mark(log, name, "bob")
        mark(log, name, "cleo", *(["clarity"] if name == "c0" else []))
    assert {item.status(3) for item in log.items().values() if item.planted} == {"calibration"}
    found = measure_sensitivity(log.items())
    assert [(found[name].num_flagged, found[name].num_marked) for name in EXPERTS] == [(3, 3), (0, 3), (1, 3)]
    shown = "\n".join(row[0] for row in show_agreement(log))
    assert "bob: 0% [0%, 56%] of 3 planted errors found" in shown
    assert len(to_marks(log.events())) == 12  # the bench's items only
    progress = to_progress(log, EXPERTS)
    assert (progress.num_items, progress.num_planted, progress.num_to_mark) == (4, 3, 7)
    log.append(Event("dropped", "i0", 1, "kim", 0.0, note="no"))
    assert main(["freeze", str(review), "--output_dir", str(tmp_path / "frozen")]) == 0
    assert json.loads((tmp_path / "frozen" / "frozen.json").read_text())["num_items"] == 3
    assert main(["review", "calibrate", str(review), str(dataset)]) == 2  # nothing is free any more


def test_every_kind_of_planted_error_changes_the_dialogue() -> None:
    dialogue = patchwork_dialogue("d", [patchwork(0)])
    made = [plant_error(dialogue, number) for number in range(3)]
    assert all(one is not None and one.dialogue.turns != dialogue.turns for one in made)
    assert len({one.what for one in made if one is not None}) == 3


def test_adjudication_saves_good_items_from_the_any_flag_rule() -> None:
    experts = [f"e{n}" for n in range(6)]
    marks = [
        Mark(f"i{item}", expert, frozenset({"clarity"} if item % 33 == 0 and item // 33 % 6 == number else ()))
        for item in range(33 * 36)
        for number, expert in enumerate(experts)
    ]
    false = count_false_flags(marks)
    assert false.regenerated == pytest.approx(1 - (1 - 1 / 198) ** 6, rel=0.01)
    assert 0 < false.regenerated_by_two < false.regenerated / 50
    rate = 0.03
    expected = 1 - (1 - rate) ** 6 - 6 * rate * (1 - rate) ** 5
    assert expected == pytest.approx(0.0125, abs=0.001)


def test_wilson_interval_is_the_textbooks() -> None:
    assert wilson_interval(8, 10) == pytest.approx((0.4902, 0.9433), abs=1e-4)
