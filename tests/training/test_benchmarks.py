"""The benchmark programs run, at a size that says nothing about speed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_train import ROOT


@pytest.mark.parametrize(("name", "billions"), [("ovis2", 1.1), ("qwen2_5_vl", 3.8)])
def test_full_size_config_has_the_size_its_name_says(
    name: str, billions: float, build_family: Callable[..., tuple[Any, Any]]
) -> None:
    from benchmarks.gpu.training_full_size import full_size_config

    model, _ = build_family(name)
    with torch.device("meta"):
        full = type(model)(full_size_config(name, model.config))
    assert sum(parameter.numel() for parameter in full.parameters()) / 1e9 == pytest.approx(billions, abs=0.06)


def run(module: str, *arguments: str) -> list[dict[str, Any]]:
    command = [sys.executable, "-m", module, *arguments]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "HF_HUB_OFFLINE": "1"}
    out = subprocess.run(command, cwd=ROOT, env=environment, check=True, timeout=500, capture_output=True, text=True)
    return [json.loads(line) for line in out.stdout.splitlines() if line.startswith('{"family"')]


@pytest.mark.slow
def test_throughput_compares_trl_with_ours() -> None:
    lines = run("benchmarks.training_throughput", "--dialogues", "9", "--scale", "0.1", "--families", "ovis2")
    assert [line.get("arm") for line in lines] == ["trl", "trl_grouped", "ours", None]
    assert lines[-1]["ours_over_trl"] > 0


@pytest.mark.slow
def test_collate_has_the_same_ids_and_labels_as_trl() -> None:
    lines = run("benchmarks.training_collate", "--repeats", "1")
    assert len(lines) == 4
    assert all(line["same_ids_and_labels"] for line in lines)


@pytest.mark.slow
def test_gpu_program_writes_its_file_with_tiny_models(tmp_path: Path) -> None:
    out = tmp_path / "full_size.json"
    run("benchmarks.gpu.training_full_size", "--tiny", "--dialogues", "6", "--families", "ovis2", "--out", str(out))
    written = json.loads(out.read_text())
    assert [line["arm"] for line in written["results"]] == [
        "trl_batch_4", "trl_batch_8", "trl_grouped_4", "ours_sdpa", "ours_varlen",
    ]  # fmt: skip
