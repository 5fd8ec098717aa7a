"""What a build may replace, and what a takedown keeps out of later builds."""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from mmcr_bench.build import build_bench
from mmcr_dataset.__main__ import main
from mmcr_dataset.build_settings import BuildSettings
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.pipeline import build
from mmcr_dataset.publish.check import check_dataset
from mmcr_dataset.publish.data_folder import begin_folder, check_replaceable, replace_folder
from mmcr_dataset.stage.takedowns import Takedowns, private_log
from tests.conftest import image_bytes


@pytest.fixture
def source(tmp_path: Path) -> Path:
    """A folder of four single images with text."""
    folder = tmp_path / "photos"
    folder.mkdir()
    for number in range(4):
        (folder / f"field_{number}.png").write_bytes(image_bytes(number))
        text = f"This is the field number {number} in spring. It has a long fence that runs beside the road."
        (folder / f"field_{number}.txt").write_text(text)
    return folder


def settings(source: Path, out: Path) -> BuildSettings:
    return BuildSettings(str(source), out, writer=WriterSettings("offline"), matcher="none")


def rows_of(folder: Path) -> dict[str, list[str]]:
    """File names of the images of each row, by its id."""
    tables = [pq.read_table(path, partitioning=None) for path in folder.rglob("*.parquet")]
    return {row["id"]: row["source"]["picture_urls"] for table in tables for row in table.to_pylist()}


@pytest.mark.parametrize(
    "names", [("thesis.tex",), (".git/HEAD",), ("README.md",), ("single/train-00000-of-00001.parquet",)]
)
def test_a_folder_that_no_build_made_is_refused_untouched(source: Path, tmp_path: Path, names: tuple[str, ...]) -> None:
    out = tmp_path / "results"
    for name in names:
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text("mine")
    with pytest.raises(ValueError, match="no data set of this program"):
        build(settings(source, out))
    assert [(out / name).read_text() for name in names] == ["mine"] * len(names)
    assert not (tmp_path / "results.work").exists()


def test_files_of_others_in_a_data_set_folder_outlive_a_rebuild(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    build(settings(source, out))
    for name in (".git/HEAD", "notes.txt", "single/notes.txt"):
        (out / name).parent.mkdir(exist_ok=True)
        (out / name).write_text("mine")
    for sibling in ("set.unfinished", "set.former"):
        (tmp_path / sibling).mkdir()
        (tmp_path / sibling / "mine.txt").write_text("mine")
    (source / "field_0.txt").write_text(
        "Another text about the field. It lies behind the old mill, near a narrow bridge."
    )
    build(settings(source, out))
    assert {(out / name).read_text() for name in (".git/HEAD", "notes.txt", "single/notes.txt")} == {"mine"}
    assert (tmp_path / "set.unfinished" / "mine.txt").exists()
    assert (tmp_path / "set.former" / "mine.txt").exists()
    assert len(rows_of(out)) == 4
    assert not [finding for finding in check_dataset(out) if finding.is_error]


def test_an_empty_folder_and_a_set_of_version_0_1_are_taken_and_an_imported_set_is_not(
    source: Path, tmp_path: Path
) -> None:
    out = tmp_path / "set"
    out.mkdir()
    build(settings(source, out))
    (out / ".mmcr_dataset.json").unlink()
    build(settings(source, out))
    assert len(rows_of(out)) == 4
    with pytest.raises(ValueError, match="made by `build`, which `import` would replace"):
        check_replaceable(out, "import")


@pytest.mark.parametrize("stopped", ["before", "after"])
def test_a_replacement_that_was_killed_loses_nothing(tmp_path: Path, stopped: str) -> None:
    out = tmp_path / "set"
    new = begin_folder(out)
    (new / "README.md").write_text("old")
    replace_folder(new, out, "build")
    (out / "notes.txt").write_text("mine")
    former = tmp_path / ".set.mmcr-former"
    out.rename(former)  # killed here, or
    if stopped == "after":
        new = begin_folder(out)
        (new / "README.md").write_text("new")
        (new / ".mmcr_dataset.json").write_text((former / ".mmcr_dataset.json").read_text())
        new.rename(out)  # here
    check_replaceable(out, "build")
    assert (out / "notes.txt").read_text() == "mine"
    assert (out / "README.md").read_text() == {"before": "old", "after": "new"}[stopped]
    assert not former.exists()


def test_a_takedown_outlives_rebuilds_of_other_settings_and_a_lost_work_folder(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    build(settings(source, out))
    assert main(["remove", str(out), "--url_pattern", r"field_2", "--reason", "owner asked"]) == 0
    assert len(rows_of(out)) == 3
    (source / "field_2.txt").write_text("The owner's field under another text. It has a hedge now, and a gate of iron.")
    build(settings(source, out))
    assert sorted(name for names in rows_of(out).values() for name in names) == [
        "field_0.png",
        "field_1.png",
        "field_3.png",
    ]
    (source / "other_name.png").write_bytes((source / "field_2.png").read_bytes())
    (source / "other_name.txt").write_text(
        "The same image under another name. It shows a field with a fence in spring."
    )
    (source / "field_2.png").unlink()
    build(settings(source, out))
    assert len(rows_of(out)) == 3, "the image is the same"
    assert "1 taken down" in (out / "README.md").read_text()
    (tmp_path / "set.work").rename(tmp_path / "lost")
    build(settings(source, out))
    assert len(rows_of(out)) == 3
    published = [json.loads(line) for line in (out / "removed.jsonl").read_text().splitlines()]
    assert [entry.keys() for entry in published] == [{"id", "reason"}], "no address, no free text"
    kept = [json.loads(line) for line in private_log(out).read_text().splitlines()]
    assert [entry["reason"].split(":")[0] for entry in kept if "id" in entry] == ["owner asked"]


def test_an_id_that_is_not_in_the_set_now_stays_out_too(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    build(settings(source, out))
    first = min(rows_of(out))
    build(BuildSettings(str(source), out, writer=WriterSettings("offline"), matcher="none", num_single=2, num_multi=0))
    absent = next(iter({first, *rows_of(out)} - set(rows_of(out))), None) or "0" * 32
    (tmp_path / "ids").write_text(f"{absent}\n")
    assert main(["remove", str(out), "--ids", str(tmp_path / "ids")]) == 1
    build(settings(source, out))
    assert absent not in rows_of(out)
    assert not (out / "removed.jsonl").exists(), "nothing was published that is not there now"


def test_a_bench_draw_outlives_a_rebuild(source: Path, tmp_path: Path) -> None:
    out = tmp_path / "set"
    build(settings(source, out))
    build_bench(out, tmp_path / "bench", 1, 0)
    drawn = set(rows_of(tmp_path / "bench"))
    assert drawn
    build(settings(source, out))
    assert not drawn & set(rows_of(out))
    assert len(rows_of(out)) == 4 - len(drawn)


def test_a_file_name_is_no_address_but_a_url_is() -> None:
    taken = [
        {"id": "a", "reason": "asked", "source": {"document_url": None, "picture_urls": ["0001.jpg"]}},
        {
            "id": "b",
            "reason": "asked",
            "source": {"document_url": "https://a.example/1", "picture_urls": ["https://x/y"]},
        },
        {"url_pattern": "jane", "reason": "Jane asked"},
    ]
    log = Takedowns(taken)
    assert log.reason("c", ["11"], None, ["0001.jpg"]) is None
    assert log.reason("c", ["11"], "https://a.example/1", ["https://x/y"]) == ("taken_out", "asked")
    assert log.reason("c", ["11"], "https://a.example/1", ["https://x/z"]) is None
    assert log.reason(None, [], None, ["https://jane.example/z"]) == ("taken_out", "Jane asked")
