from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from experiments.conduct import Conductor, ExperimentSettings, main
from experiments.exact_balance import ExactBalance
from experiments.exact_claim import ExactClaim
from experiments.exact_images import ExactImages
from experiments.exact_probes import PROBES, ExactProbes, compare_with_guess
from experiments.exact_turns import ExactTurns
from experiments.exact_volume import ExactVolume
from experiments.exact_world import ExactExperiment
from mmcr_bench.exact.exact_set import read_exact

RECIPE = str(Path(__file__).parents[2] / "training" / "recipes" / "mini_cpu.yaml")


def test_every_arm_has_equally_many_dialogues_and_the_same_linked_share(tmp_path: Path) -> None:
    claim = ExactClaim(out=tmp_path, dialogues=200, linked_percent=10)
    plan = claim.plan(cast("Conductor", None))
    assert [sum(cap or 0 for cap in arm.caps) for arm in plan.arms] == [200, 200, 200]
    assert [(next(iter(arm.places)).rpartition("/")[2], arm.caps[0]) for arm in plan.arms] == [
        ("linked", 200),
        ("linked", 20),
        ("linked", 20),
    ]
    assert plan.against == "unrelated"


def test_models_and_seeds_of_different_numbers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--models names 1 models for 2 seeds; give one a seed"):
        ExperimentSettings(config=RECIPE, data=("a",), out=tmp_path, seeds=(0, 1), models=("m",))


def images_and_questions(flags: Sequence[str], dialogues: int) -> tuple[int, int]:
    """Of a set, from its flags with single numbers."""
    of = dict(itertools.pairwise(flags))
    return dialogues * int(of["--images"]), dialogues * int(of["--turns"])


def test_arms_of_turns_have_equal_images_questions_and_batches(tmp_path: Path) -> None:
    turns = ExactTurns(out=tmp_path, dialogues=100, turns=(2, 4, 6))
    sets = {name: one for name, one in turns.sets().items() if name != "test"}
    assert {images_and_questions(one.flags, one.dialogues) for one in sets.values()} == {(300, 600)}
    arms = turns.plan(cast("Conductor", None)).arms
    assert [sum(cap or 0 for cap in arm.caps) for arm in arms] == [one.dialogues for one in sets.values()]
    assert {int(arm.flags[1]) * (arm.x or 0) for arm in arms} == {96}
    with pytest.raises(ValueError, match="--turns 5: expected two or more of"):
        ExactTurns(out=tmp_path, turns=(4, 5)).sets()


def test_volumes_have_equal_steps_or_equal_epochs(tmp_path: Path) -> None:
    conductor = cast("Conductor", None)
    steps = [arm.flags for arm in ExactVolume(out=tmp_path, volumes=(160, 320)).plan(conductor).arms]
    epochs = [arm.flags for arm in ExactVolume(out=tmp_path, volumes=(160, 320), equal="epochs").plan(conductor).arms]
    assert steps == [["--max_steps", "20"]] * 2
    assert epochs == [["--max_steps", "10"], ["--max_steps", "20"]]
    with pytest.raises(ValueError, match="expected numbers from 1 to --dialogues 100"):
        ExactVolume(out=tmp_path, dialogues=100, volumes=(101,)).plan(conductor)


def test_skewed_arms_have_as_many_dialogues_as_the_even_one(tmp_path: Path) -> None:
    arms = ExactBalance(out=tmp_path, dialogues=200).plan(cast("Conductor", None)).arms
    assert [list(arm.caps) for arm in arms] == [[200], [20, 180], [20, 180]]
    with pytest.raises(ValueError, match="--operator attr"):
        ExactBalance(out=tmp_path, operator="attr").sets()


def test_probe_above_the_guess_is_named_and_one_at_the_guess_is_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from eval_tasks.exact import figure
    from eval_tasks.exact.totals import Question

    rng = np.random.default_rng(0)

    def read(folder: Path) -> list[Question]:
        share = {"honest": 0.25, "cheats": 0.45}[folder.name]
        asked = {"op": "it", "facts": {"needs": ("image",)}, "guesses": {"text": 0.25}}
        return [
            Question(f"g{number // 3}", asked, "shapes", float(rng.random() < share), True, True, None)
            for number in range(900)
        ]

    monkeypatch.setattr(figure, "read_questions", read)
    table, above = compare_with_guess({"words alone": [tmp_path / "honest"]})
    assert not above, table
    table, above = compare_with_guess({"words alone": [tmp_path / "honest"], "others": [tmp_path / "cheats"]})
    assert above
    lines = [line for line in table.splitlines() if line.endswith("| yes |")]
    assert [line.split(" | ")[0].strip("| ") for line in lines] == ["others", "others"]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_small_claim_runs_from_the_sets_to_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    out = tmp_path / "claim"
    words = ["--output_dir", str(out), "--dialogues", "40", "--test_dialogues", "4", "--train_flags=--max_steps 2"]
    assert main(ExactClaim, words) == 0
    results = json.loads((out / "results.json").read_text())
    assert set(results["measures"][0]["arms"]) == {"base", "linked", "resolved", "unrelated"}
    asked = {op.op for item in read_exact(out / "sets" / "unrelated") for op in item.turns}
    assert asked <= {"attr", "name"}
    assert (out / "figure.png").is_file()
    assert "unrelated questions" in (out / "table.md").read_text()


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("experiment", "flags"),
    [
        (ExactTurns, []),
        (ExactVolume, ["--volumes", "10", "20"]),
        (ExactBalance, []),
        (ExactImages, []),
    ],
)
def test_small_experiments_of_the_world_run_from_the_sets_to_the_table(
    experiment: type[ExactExperiment], flags: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    out = tmp_path / "out"
    words = ["--output_dir", str(out), "--dialogues", "48", "--test_dialogues", "12", *flags]
    if experiment is not ExactVolume:
        words += ["--train_flags=--max_steps 2"]
    assert main(experiment, words) == 0
    results = json.loads((out / "results.json").read_text())
    labels = {measure["label"] for measure in results["measures"]}
    assert {"mmcr_exact: accuracy", "mmcr_exact: referring", "mmcr_exact: pair_history"} <= labels
    assert not results["failed"]
    assert (out / "figure.png").is_file()


@pytest.mark.slow
@pytest.mark.timeout(1200)
def test_small_probes_run_and_are_not_above_the_guess(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(Path(__file__).parents[2])
    probes = ExactProbes(output_dir=tmp_path / "out", dialogues=48, test_dialogues=12, train_flags="--max_steps 2")
    assert probes.run() == 0
    table = (tmp_path / "out" / "table.md").read_text()
    assert all(f"| {label} | all |" in table for label in PROBES.values())
