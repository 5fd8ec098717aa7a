"""A bench drawn from a small data set on disk, and what is left of the data set."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from mmcr_bench.__main__ import main
from mmcr_bench.select.candidates import read_ids
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.load import load_dialogues
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue


def some_dialogues(topics: tuple[str | None, ...] = (None,), hashed: bool = True) -> list[Dialogue]:
    dialogues = []
    for number in range(12):
        topic = topics[number % len(topics)]
        dialogues.append(patchwork_dialogue(f"s{number}", [patchwork(number)], topic, hashed=hashed))
        images = [patchwork(100 + 2 * number), patchwork(101 + 2 * number)]
        dialogues.append(patchwork_dialogue(f"m{number}", images, topic, hashed=hashed))
        # the same image as s<number> in another format: must leave the data set with it
        copy = patchwork(number, "JPEG", 90)
        dialogues.append(patchwork_dialogue(f"z{number}", [copy, patchwork(200 + number)], topic, hashed=hashed))
    return dialogues


def build(dataset: Path, *flags: str) -> int:
    return main(["build", str(dataset), "--out", str(dataset.with_name("mmcr-bench")), *flags])


@pytest.mark.parametrize("hashed", [True, False])
def test_build_writes_both_sides(tmp_path: Path, hashed: bool, capsys: pytest.CaptureFixture[str]) -> None:
    dialogues = {dialogue.id: dialogue for dialogue in some_dialogues(hashed=hashed)}
    dataset = tmp_path / "mmcr-310k"
    write_dataset(dialogues.values(), dataset)
    assert build(dataset, "--single", "4", "--multi", "2") == 0
    shown = capsys.readouterr().out

    bench = {dialogue.id: dialogue for dialogue in load_dialogues(str(tmp_path / "mmcr-bench"), split="test")}
    left = {dialogue.id for dialogue in load_dialogues(str(dataset))}
    assert bench == {id_: dialogues[id_] for id_ in bench}
    singles = [id_ for id_ in bench if id_.startswith("s")]
    assert (len(bench), len(singles)) == (6, 4)
    assert "drawn      4 single + 2 multi of 36 dialogues" in shown
    assert "| question-answer pairs | 16 | 1,600 | 16 | 1,600 |" in shown

    twins = {("z" if id_[0] == "s" else "s") + id_[1:] for id_ in bench if id_[0] in "sz"} - bench.keys()
    assert left == dialogues.keys() - bench.keys() - twins
    assert f"{len(twins)} that show a drawn image, {len(left)} are left" in shown
    assert json.loads((tmp_path / "mmcr-bench" / "bench.json").read_text())["found"]["num_sharing"] == len(twins)
    only_single = load_dialogues(str(tmp_path / "mmcr-bench"), "single", split="test")
    assert {dialogue.id for dialogue in only_single} == set(singles)


def test_build_draws_each_topic(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = tmp_path / "mmcr-310k"
    write_dataset(some_dialogues(("cats", "boats", "maps")), dataset)
    assert build(dataset, "--single", "1", "--multi", "1") == 0
    bench = list(load_dialogues(str(tmp_path / "mmcr-bench"), split="test"))
    assert sorted((dialogue.topic, len(dialogue.images)) for dialogue in bench) == [
        (topic, count) for topic in ("boats", "cats", "maps") for count in (1, 2)
    ]
    assert "3 in 1 domains" in (tmp_path / "mmcr-bench" / "README.md").read_text()


def test_build_shortage_is_told_and_written(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = tmp_path / "mmcr-310k"
    write_dataset(some_dialogues(), dataset)
    assert build(dataset, "--single", "15", "--multi", "0") == 0
    assert "12 of 15 drawn from 12 candidates" in capsys.readouterr().out
    (shortage,) = json.loads((tmp_path / "mmcr-bench" / "bench.json").read_text())["found"]["shortages"]
    assert shortage["wanted"] - shortage["drawn"] == 3


def test_build_again_needs_overwrite_and_then_draws_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    dataset = tmp_path / "mmcr-310k"
    write_dataset(some_dialogues(), dataset)
    assert build(dataset, "--single", "3", "--multi", "1") == 0
    first = {path.name: path.read_bytes() for path in (tmp_path / "mmcr-bench").rglob("*.parquet")}
    assert build(dataset, "--single", "3", "--multi", "1") == 2
    assert "--overwrite" in capsys.readouterr().err
    assert build(dataset, "--single", "3", "--multi", "1", "--overwrite") == 0
    assert {path.name: path.read_bytes() for path in (tmp_path / "mmcr-bench").rglob("*.parquet")} == first
    assert len(list(load_dialogues(str(tmp_path / "mmcr-bench"), split="test"))) == 4
    assert build(dataset, "--single", "2", "--multi", "1", "--overwrite") == 0
    assert len(list(load_dialogues(str(tmp_path / "mmcr-bench"), split="test"))) == 3  # not the rows of the former
    assert "replaced   1 dialogues of the former bench are in neither folder" in capsys.readouterr().out


def test_build_killed_before_the_removal_is_finished_by_overwrite(tmp_path: Path) -> None:
    dataset = tmp_path / "mmcr-310k"
    write_dataset(some_dialogues(), dataset)
    assert build(dataset, "--single", "3", "--multi", "1") == 0
    bench = read_ids(tmp_path / "mmcr-bench")
    write_dataset(some_dialogues(), dataset)  # as it was before a row was taken out
    assert build(dataset, "--single", "3", "--multi", "1", "--overwrite") == 0
    assert read_ids(tmp_path / "mmcr-bench") == bench
    assert not read_ids(dataset) & bench


def test_build_passes_over_an_image_that_does_not_decode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = tmp_path / "mmcr-310k"
    broken = patchwork_dialogue("broken", [patchwork(1)[:200]], hashed=False)
    write_dataset([broken, *some_dialogues()], dataset)
    assert build(dataset, "--single", "12", "--multi", "0") == 0
    assert "not drawn  1 with an image that can't be decoded" in capsys.readouterr().out
    assert "broken" not in read_ids(tmp_path / "mmcr-bench")


def test_build_leaves_something_to_train_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    dataset = tmp_path / "mmcr-310k"
    write_dataset(some_dialogues(), dataset)
    assert build(dataset, "--single", "12", "--multi", "12") == 2
    assert "nothing would be left to train on" in capsys.readouterr().err
    assert len(read_ids(dataset)) == 36
    assert not (tmp_path / "mmcr-bench").exists()


def test_build_refuses_what_it_must_not_touch(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert build(tmp_path / "nothing") == 2
    assert "no data set found" in capsys.readouterr().err
    dataset = tmp_path / "mmcr-310k"
    write_dataset(some_dialogues(), dataset)
    (tmp_path / "mmcr-bench").mkdir()
    (tmp_path / "mmcr-bench" / "thesis.txt").write_text("mine")
    assert build(dataset, "--overwrite") == 2
    assert "is not a bench" in capsys.readouterr().err
    assert (tmp_path / "mmcr-bench" / "thesis.txt").read_text() == "mine"


def test_help_answers_without_heavy_libraries() -> None:
    program = (
        "import sys, mmcr_bench.__main__ as cli\n"
        "try: cli.main(['build', '--help'])\n"
        "except SystemExit: pass\n"
        "print(*(name for name in ('numpy', 'pyarrow', 'datasets', 'torch', 'PIL') if name in sys.modules))"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert "--overwrite" in shown
    assert shown.splitlines()[-1] == ""
