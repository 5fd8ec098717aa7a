"""A bench drawn by topics that are not in the rows: a failed item is replaced by the commands, and freezes."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from mmcr_bench.__main__ import main
from mmcr_bench.build import build_bench
from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.rounds import Event, Item
from mmcr_bench.select.topics import Tagging, Topic
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.load import load_dialogues
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue


def fail_for_good(log: ReviewLog, item: Item) -> None:
    """Flagged in four versions: to be replaced."""
    for version in range(1, 5):
        for expert in ("ann", "bob"):
            log.append(Event("marked", item.name, version, expert, 0.0, ("clarity",)))
        if version < 4:
            before = log.dialogue(log.items()[item.name])
            turns = tuple(replace(turn, assistant=f"Version {version + 1}: {turn.assistant}") for turn in before.turns)
            event = Event("regenerated", item.name, version + 1, "writer", 0.0)
            log.add_dialogue(event, replace(before, turns=turns))


@pytest.mark.parametrize("num_images", [1, 2])
def test_failed_item_of_a_bench_drawn_by_topics_is_replaced_and_freezes(
    num_images: int, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data, bench, review = tmp_path / "data", tmp_path / "bench", tmp_path / "review.sqlite3"
    dialogues = [
        patchwork_dialogue(f"d{n}", [patchwork(10 * n + image) for image in range(num_images)]) for n in range(6)
    ]
    write_dataset(dialogues, data)
    of_topic = {f"d{n}": Topic(f"n{n % 2}", ("castle", "abbey")[n % 2], "architecture", 3) for n in range(6)}
    tagging = Tagging({id_: [()] * num_images for id_ in of_topic}, of_topic)
    build_bench(data, bench, int(num_images == 1), int(num_images > 1), tagging=tagging)
    assert main(["review", "start", str(review), str(bench), "--experts", "2"]) == 0
    log = ReviewLog(review)
    failed, other = sorted(log.items().values(), key=lambda item: item.dialogue["topic"] != "castle")
    fail_for_good(log, failed)
    assert log.items()[failed.name].status(2) == "replace"
    log.close()
    capsys.readouterr()
    rewrite = ["review", "rewrite", str(review), "--endpoint", "offline", "--dataset", str(data)]
    assert main([*rewrite, "--ledger", str(tmp_path / "ledger.sqlite3")]) == 0
    assert "0 items regenerated, 1 redrawn" in capsys.readouterr().out
    log = ReviewLog(review)
    drawn = log.items()[failed.name]
    assert of_topic[drawn.dialogue["id"]].label == drawn.dialogue["topic"] == "castle"
    for item in (drawn, other):
        for expert in ("ann", "bob"):
            log.append(Event("marked", item.name, item.version, expert, 0.0))
    log.close()
    assert main(["freeze", str(review), "--output_dir", str(tmp_path / "frozen")]) == 0
    frozen = list(load_dialogues(str(tmp_path / "frozen"), split="test"))
    assert {(one.id, one.topic) for one in frozen} == {
        (drawn.dialogue["id"], "castle"),
        (other.dialogue["id"], "abbey"),
    }
    left = {one.id for one in load_dialogues(str(data), split="train")}
    assert drawn.dialogue["id"] not in left
