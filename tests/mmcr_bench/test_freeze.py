"""A finished review becomes a version that never changes."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmcr_bench.__main__ import main
from mmcr_bench.review.event_log import ReviewLog
from mmcr_bench.review.rounds import Event
from mmcr_dataset.publish.croissant import file_sha256, read_checksums
from mmcr_dataset.publish.parquet import to_row_groups, write_shard
from mmcr_dataset.record.load import load_dialogues
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue


@pytest.fixture
def review(tmp_path: Path) -> Path:
    """Five items passed by two experts, one of them in its second version."""
    path = tmp_path / "review.sqlite3"
    log = ReviewLog(path, num_experts=2)
    dialogues = [patchwork_dialogue(f"i{n}", [patchwork(n)], "fields", "nature") for n in range(4)]
    dialogues.append(patchwork_dialogue("m", [patchwork(10), patchwork(11)], "fields", "nature"))
    for dialogue in dialogues:
        log.add_dialogue(Event("opened", dialogue.id, 1, "build", 0.0), dialogue)
        for name in ("ann", "bob"):
            flags = ("clarity",) if (dialogue.id, name) == ("i0", "ann") else ()
            log.append(Event("marked", dialogue.id, 1, name, 0.0, flags))
    better = patchwork_dialogue("better", [patchwork(0)], "fields", "nature")
    log.add_dialogue(Event("regenerated", "i0", 2, "openai", 0.0), better)
    for name in ("ann", "bob"):
        log.append(Event("marked", "i0", 2, name, 0.0))
    return path


def test_freeze_writes_a_loadable_checked_version(
    review: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mmcr-bench"
    assert main(["freeze", str(review), "--out", str(out), "--version", "1.2.0"]) == 0
    assert {dialogue.id for dialogue in load_dialogues(str(out), split="test")} == {"better", "i1", "i2", "i3", "m"}
    assert [dialogue.id for dialogue in load_dialogues(str(out), "multi", split="test")] == ["m"]
    card = (out / "README.md").read_text()
    images = "| images | 4 | 400 | 2 | 537 |"
    assert images in card
    assert images in capsys.readouterr().out
    assert "4 needed 1, 1 needed 2" in card
    assert "| clarity | 6 | 8.3% |" in card
    assert main(["freeze", "--check", str(out)]) == 0
    assert main(["freeze", str(review), "--out", str(out), "--version", "1.2.1"]) == 2
    assert "immutable" in capsys.readouterr().err


def test_freeze_twice_gives_the_same_files(review: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one", tmp_path / "two"]
    for folder in folders:
        assert main(["freeze", str(review), "--out", str(folder)]) == 0
    one, two = ({p.relative_to(f): p.read_bytes() for p in f.rglob("*") if p.is_file()} for f in folders)
    assert one == two


def test_frozen_item_that_was_changed_is_found(
    review: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mmcr-bench"
    assert main(["freeze", str(review), "--out", str(out)]) == 0
    (shard,) = (out / "single").glob("*.parquet")
    table = pq.read_table(shard, partitioning=None)
    rows = table.to_pylist()
    rows[0]["topic"] = "another"
    write_shard(to_row_groups(type(table).from_pylist(rows[:-1], schema=table.schema)), shard)
    assert main(["freeze", "--check", str(out)]) == 2
    assert f"2 items don't match their checksums: {rows[0]['id']}, {rows[-1]['id']}" in capsys.readouterr().err


def test_freeze_of_an_unfinished_review_says_what_is_left(
    review: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    ReviewLog(review).append(Event("withdrawn", "i1", 1, "ann", 1.0))
    assert main(["freeze", str(review), "--out", str(tmp_path / "out")]) == 2
    assert "4 of 5 items have passed (1 open)" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "part"),
    [
        (["freeze"], "give a REVIEW"),
        (["freeze", "missing", "--out", "new"], "no such review"),
        (["freeze", "missing", "--out", "new", "--version", "one"], "three numbers"),
        (["freeze", "--check", "."], "no checksums.json"),
    ],
)
def test_freeze_mistakes_are_named(
    arguments: list[str], part: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    assert part in capsys.readouterr().err


def test_croissant_names_every_shard_with_its_checksum(review: Path, tmp_path: Path) -> None:
    out = tmp_path / "mmcr-bench"
    assert main(["freeze", str(review), "--out", str(out)]) == 0
    croissant = json.loads((out / "croissant.json").read_text())
    shards = {path.relative_to(out).as_posix(): file_sha256(path) for path in out.rglob("*.parquet")}
    assert read_checksums(out / "croissant.json") == shards
    columns = pq.read_schema(next((out / "multi").glob("*.parquet"))).names
    (rows,) = (record for record in croissant["recordSet"] if record["@id"] == "multi")
    sources = [field.get("source") or field["subField"][0]["source"] for field in rows["field"]]
    named = {source["extract"]["column"] for source in sources if "column" in source["extract"]}
    assert named == set(columns) - {"messages"}
