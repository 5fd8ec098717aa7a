"""Sets joined to one: nothing twice, nothing taken out comes back, every row that is missing has its reason."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmcr_dataset.__main__ import main
from mmcr_dataset.join import REMOVED_FOLDER, join
from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.check import check_dataset
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, Source
from mmcr_dataset.record.images import decode_rgb, perceptual_hash
from mmcr_dataset.record.load import load_dialogues
from mmcr_dataset.stage.takedowns import read_log

Make = Callable[..., Dialogue]


def with_hashes(dialogue: Dialogue, **changes: object) -> Dialogue:
    images = [replace(one, phash=perceptual_hash(decode_rgb(one.data))) for one in dialogue.images]
    return replace(dialogue, images=tuple(images), source=Source(f"https://{dialogue.id}.example/1"), **changes)


def write_set(folder: Path, rows: list[Dialogue], num_in: int) -> Path:
    write_dataset(rows, folder)
    stage = {"stage": "filter", "num_in": num_in, "num_kept": len(rows), "removed": {"bad_length": num_in - len(rows)}}
    (folder / "funnel.json").write_text(json.dumps([stage]))
    refresh_card(folder)
    return folder


@pytest.fixture
def rows(make_dialogue: Make) -> list[Dialogue]:
    return [with_hashes(make_dialogue(1 + n % 2, 4 + 4 * (n % 2), seed=n)) for n in range(6)]


def ids(folder: Path) -> set[str]:
    return {dialogue.id for dialogue in load_dialogues(str(folder))}


def removed(out: Path) -> dict[str, list[str]]:
    folder = out.with_name(out.name + ".work") / REMOVED_FOLDER
    return {path.stem: [json.loads(line)["id"] for line in path.open()] for path in sorted(folder.glob("*.jsonl"))}


def test_repeated_rows_equal_ids_and_broken_rows_are_named_and_the_rest_is_one_set(
    rows: list[Dialogue], tmp_path: Path, make_dialogue: Make
) -> None:
    file = io.BytesIO()
    decode_rgb(rows[0].images[0].data).resize((72, 54)).save(file, "JPEG")
    a = write_set(tmp_path / "a", rows[:4], 7)
    same_id = with_hashes(make_dialogue(1, 4, seed=20), id=rows[1].id)
    same_images = replace(rows[0], id="copy", images=(replace(rows[0].images[0], data=file.getvalue(), phash=None),))
    same_text = replace(rows[1], id="text", images=with_hashes(make_dialogue(2, 8, seed=30)).images)
    b = write_set(tmp_path / "b", [rows[3], same_id, same_images, same_text, *rows[4:]], 9)
    out = tmp_path / "c"
    assert main(["join", str(a), str(b), "--output_dir", str(out)]) == 0
    assert {reason: sorted(found) for reason, found in removed(out).items()} == {
        "repeated_images": sorted(["copy", rows[3].id]),
        "repeated_dialogue": ["text"],
    }
    assert ids(out) > {row.id for row in rows}
    (renamed,) = ids(out) - {row.id for row in rows}
    found = {dialogue.id: dialogue for dialogue in load_dialogues(str(out))}
    assert found[renamed].images[0].data == same_id.images[0].data
    assert found[rows[1].id] == next(one for one in load_dialogues(str(a)) if one.id == rows[1].id)
    assert not [finding.show() for finding in check_dataset(out)]
    filtered, joined = json.loads((out / "funnel.json").read_text())
    assert (filtered["num_in"], filtered["num_kept"], filtered["removed"]) == (16, 10, {"bad_length": 6})
    assert (joined["num_in"], joined["num_kept"], joined["mended"]) == (10, 7, {"renamed_id": 1})
    assert joined["removed"] == {"repeated_images": 2, "repeated_dialogue": 1}
    assert "repeated_dialogue" in (out / "README.md").read_text().replace("\\", "")


def test_what_any_of_the_sets_took_out_stays_out_also_of_the_next_join(rows: list[Dialogue], tmp_path: Path) -> None:
    a, b, out = write_set(tmp_path / "a", rows[:3], 3), write_set(tmp_path / "b", rows[3:], 3), tmp_path / "c"
    (tmp_path / "ids").write_text(f"{rows[0].id}\n")
    (tmp_path / "other").write_text(f"{rows[4].id}\n")
    assert main(["remove", str(a), "--ids", str(tmp_path / "ids"), "--reason", "owner asked"]) == 0
    assert main(["remove", str(a), "--url_pattern", rf"https://{rows[3].id}\."]) == 1  # of a row of the other set
    c = write_set(tmp_path / "d", [replace(rows[0], id="other_writer"), rows[1]], 2)  # the images that were taken out
    join([a, b, c], out)
    assert ids(out) == {rows[n].id for n in (1, 2, 4, 5)}
    assert removed(out)["taken_out"] == [rows[3].id, "other_writer"]
    assert [entry["id"] for entry in read_log(out / "removed.jsonl")] == [rows[0].id]
    assert "owner" not in (out / "removed.jsonl").read_text()
    assert main(["remove", str(out), "--ids", str(tmp_path / "other")]) == 0
    join([a, b, c], out)
    assert ids(out) == {rows[n].id for n in (1, 2, 5)}


def test_order_of_the_sets_decides_what_stays_and_a_second_join_has_the_same_bytes(
    rows: list[Dialogue], tmp_path: Path
) -> None:
    a = write_set(tmp_path / "a", rows[:4], 4)
    b = write_set(tmp_path / "b", [replace(row, id=f"b{n}") for n, row in enumerate(rows[2:])], 4)
    join([b, a], tmp_path / "c")
    assert ids(tmp_path / "c") == {"b0", "b1", "b2", "b3", rows[0].id, rows[1].id}
    before = {path: path.read_bytes() for path in sorted((tmp_path / "c").rglob("*")) if path.is_file()}
    join([b, a], tmp_path / "c")
    assert before == {path: path.read_bytes() for path in sorted((tmp_path / "c").rglob("*")) if path.is_file()}
    join([tmp_path / "c", a], tmp_path / "e")
    assert [stage["stage"] for stage in json.loads((tmp_path / "e" / "funnel.json").read_text())] == [
        "filter",
        "earlier join",
        "join",
    ]


def test_repeats_within_one_set_stay(rows: list[Dialogue], tmp_path: Path) -> None:
    """Several dialogues about one image, as in LLaVA's sets."""
    again = replace(rows[0], id="again", turns=rows[2].turns)
    a, b = write_set(tmp_path / "a", rows[3:], 3), write_set(tmp_path / "b", [rows[0], again], 2)
    assert join([a, b], tmp_path / "c").num_kept == 5


def test_images_of_a_row_that_is_left_out_for_its_text_are_not_lost(
    rows: list[Dialogue], tmp_path: Path, make_dialogue: Make
) -> None:
    """A third set shows them, too: a row is a repeat of what is in the set, not of what was removed."""
    images = with_hashes(make_dialogue(2, 8, seed=30)).images
    left_out = replace(rows[1], id="left_out", images=images)
    kept = replace(rows[3], id="kept", images=images, turns=rows[5].turns)
    sets = [write_set(tmp_path / name, some, 1) for name, some in (("a", [rows[1]]), ("b", [left_out]), ("c", [kept]))]
    join([*sets, write_set(tmp_path / "d", [replace(rows[0], id="other")], 1)], tmp_path / "out")
    assert removed(tmp_path / "out") == {"repeated_dialogue": ["left_out"]}
    assert ids(tmp_path / "out") == {rows[1].id, "kept", "other"}


def test_images_of_an_evaluation_set_are_removed(rows: list[Dialogue], tmp_path: Path) -> None:
    (tmp_path / "mmstar").mkdir()
    (tmp_path / "mmstar" / "1.png").write_bytes(rows[5].images[1].data)
    a, b = write_set(tmp_path / "a", rows[:3], 3), write_set(tmp_path / "b", rows[3:], 3)
    words = ["join", str(a), str(b), "--output_dir", str(tmp_path / "c"), "--evaluation_set", str(tmp_path / "mmstar")]
    assert main(words) == 0
    assert removed(tmp_path / "c") == {"in_evaluation_set": [rows[5].id]}


def test_what_can_not_be_joined_is_refused_before_anything_is_written(
    rows: list[Dialogue], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    a, b = write_set(tmp_path / "a", rows[:3], 3), write_set(tmp_path / "b", rows[3:], 3)
    wider, bench, foreign = tmp_path / "wider", write_set(tmp_path / "bench", rows[:2], 2), tmp_path / "foreign"
    shard = next(write_set(wider, rows[:1], 1).rglob("*.parquet"))
    table = pq.read_table(shard, partitioning=None)
    pq.write_table(table.append_column("note", [["precious"] * table.num_rows]), shard)
    for path in list(bench.rglob("*.parquet")):
        path.rename(path.with_name(path.name.replace("train", "test")))
    foreign.mkdir()
    (foreign / "thesis.txt").write_text("mine")
    for words, message in (
        ([a], "at least two"),
        ([a, a], "named twice"),
        ([a, tmp_path / "nowhere"], "no such folder"),
        ([a, foreign], "no Parquet"),
        ([a, wider], "note"),
        ([a, bench], "split test"),
    ):
        assert main(["join", *map(str, words), "--output_dir", str(tmp_path / "c")]) == 2
        assert message in capsys.readouterr().err
    for out, message in ((a, "is read from there"), (a / "c", "is read from there"), (foreign, "thesis.txt")):
        assert main(["join", str(a), str(b), "--output_dir", str(out)]) == 2
        assert message in capsys.readouterr().err
    assert not (tmp_path / "c").exists()
    assert not (tmp_path / "c.work").exists()
    assert ids(a) == {row.id for row in rows[:3]}
