from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from mmcr_bench.bench_folder import write_bench_folder
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue
from tests.experiments.conftest import ROOT


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_experiment_trains_and_evaluates_two_arms_and_goes_on_after_a_kill(
    tmp_path: Path, make_dialogue: Callable[..., Dialogue]
) -> None:
    write_dataset([make_dialogue(1 + n % 2, 2, seed=n) for n in range(8)], tmp_path / "data")
    questions = [dataclasses.replace(make_dialogue(1, 2, seed=20 + n), topic=f"t{n % 3}") for n in range(6)]
    write_bench_folder(questions, tmp_path / "bench", "report.json", {})
    out = tmp_path / "out"
    command = [
        sys.executable, "-m", "experiments.data_volume", "--config", "training/recipes/tiny_cpu.yaml",
        "--data", str(tmp_path / "data"), "--volumes", "0", "4", "8", "--out", str(out),
        "--train_flags", "--epochs 2", "--eval_flags", f"--data {tmp_path}/bench --max-new-tokens 4",
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    second = out / "arms" / "volume_8" / "seed_0"
    with subprocess.Popen(command, cwd=ROOT, env=environment) as process:
        while not (second / "train.log").is_file():  # the first arm is done, the second one begins
            time.sleep(0.2)
            assert process.poll() is None
        process.send_signal(signal.SIGTERM)
    assert process.returncode == 128 + signal.SIGTERM
    weights = out / "arms" / "volume_4" / "seed_0" / "train" / "final" / "model.safetensors"
    made_ns = weights.stat().st_mtime_ns
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stderr
    assert weights.stat().st_mtime_ns == made_ns
    assert "arms/volume_4/seed_0: eval is done" in ended.stderr

    results = json.loads((out / "results.json").read_text())
    (measure,) = results["measures"]
    assert set(measure["arms"]) == {"base", "volume_4", "volume_8"}
    assert [arm["trained"][0]["data"][0]["taken"] for arm in results["arms"]] == [4, 8]
    tokens = [arm["trained"][0]["run"]["trained_tokens"] for arm in results["arms"]]
    assert 0 < tokens[0] < tokens[1]
    for folder, arm in ((out / "base", "base"), (second, "volume_8")):
        (entry,) = json.loads((folder / "eval" / "results.json").read_text())["tasks"].values()
        total = next(iter(entry["totals"].values()))  # the main metric stands first
        told = measure["arms"][arm]
        assert (told["value"], told["low"], told["high"]) == pytest.approx(
            (total["value"], total["low"], total["high"])
        )
    compare = [sys.executable, "-m", "eval_tasks", "compare", str(out / "base" / "eval"), str(second / "eval")]
    said = subprocess.run(compare, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert f"{measure['differences'][1]['value']:+.2f} [" in said
    assert (out / "figure.png").read_bytes().startswith(b"\x89PNG")
