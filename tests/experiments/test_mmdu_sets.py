"""Both recipes from the same documents: sets without an image of a bench, equal volumes, three judges of each arm."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import cast

import pytest

from experiments.conduct import Conductor
from experiments.mmdu_or_mmcr import MmduOrMmcr
from experiments.mmdu_sets import MMCR, MMDU, SourceSets, equal_by_mean, mean_of
from mmcr_dataset.record.load import load_dialogues

WIKI = "made_wiki:30"


def sets_of(out: Path) -> SourceSets:
    clusters = ["--embedder", "offline", "--cluster_images_max", "4"]
    return SourceSets(out, WIKI, ["--writer", "offline", "--filter", "none"], clusters, 4, 6, sys.executable)


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("recipes")
    sets_of(out).build()
    return out


def hashes(place: Path, split: str) -> set[str]:
    return {image.sha256 for dialogue in load_dialogues(str(place), split=split) for image in dialogue.images}


def test_no_training_set_shows_an_image_of_a_bench(built: Path) -> None:
    sets = sets_of(built)
    for recipe in (MMCR, MMDU):
        trained = hashes(sets.place(recipe), "train")
        assert trained
        assert not trained & (hashes(sets.bench(MMCR), "test") | hashes(sets.bench(MMDU), "test"))
    assert (sets.bench(MMDU) / "benchmark.json").is_file()
    assert not (sets.bench(MMCR) / "benchmark.json").exists()
    assert (sets.world / "README.md").is_file()


@pytest.mark.parametrize(("equal", "column"), [("images", "num_images"), ("turns", "num_turns")])
def test_arms_are_equal_in_what_was_asked_and_have_as_many_steps(equal: str, column: str, built: Path) -> None:
    sets = sets_of(built)
    data = (str(sets.place(MMCR)), str(sets.place(MMDU)))
    asked = MmduOrMmcr(source=WIKI, out=built, data=data, equal=equal, steps=3)  # type: ignore[arg-type]
    plan = asked.plan(cast("Conductor", None))
    sums = [(arm.caps[0] or 0) * mean_of(place, column)[1] for arm, place in zip(plan.arms, data, strict=True)]
    means = [mean_of(place, column)[1] for place in data]
    assert abs(sums[0] - sums[1]) <= max(means)
    for arm in plan.arms:
        batch = int(arm.flags[1])
        assert -(-(arm.caps[0] or 0) // batch) <= 3
    assert any("Each bench shares its templates" in note for note in plan.notes)


def test_rows_are_equal_by_their_mean() -> None:
    assert equal_by_mean([(100, 2.0), (30, 5.0)], None) == [75, 30]
    assert equal_by_mean([(100, 2.0), (30, 5.0)], 10) == [10, 4]


@pytest.mark.parametrize(("judge", "task"), [("offline", "dialogues"), ("api:http://127.0.0.1:1/v1#m", "mmdu")])
def test_every_arm_is_asked_on_both_benches_and_the_controlled_world(judge: str, task: str, tmp_path: Path) -> None:
    tasks, places = sets_of(tmp_path).tasks(judge)
    assert tasks.split(",") == ["mmcr_bench", task, "mmcr_exact"]
    assert len(places) == 3


def test_dry_run_shows_the_commands_of_the_sets(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert MmduOrMmcr(source=WIKI, out=tmp_path / "x", dry_run=True).run() == 0
    said = capsys.readouterr().out
    assert [line.partition(":")[0] for line in said.splitlines()] == [
        *("wiki", "build_mmcr", "build_mmdu", "draw_mmcr", "draw_mmdu", "clean_mmcr", "clean_mmdu", "world"),
        "dry run",
    ]
    assert not (tmp_path / "x").exists()
    with pytest.raises(ValueError, match="--bench_items 1"):
        MmduOrMmcr(source=WIKI, out=tmp_path, bench_items=1).run()
