from __future__ import annotations

import json
from pathlib import Path
from typing import cast

import pytest

from experiments.conduct import Conductor, ExperimentSettings, main
from experiments.exact_claim import ExactClaim
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
