"""Two processes on the CPU (gloo) train what one process trains."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.test_train import ROOT, read_log


def launch(data_folder: Path, out: Path, num_processes: int, *more: str) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [
        sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", str(num_processes),
        "--master_port", str(port),
        "train.py", "--model", "tiny:ovis2", "--data", str(data_folder), "--output_dir", str(out),
        "--global_batch_dialogues", "5", "--bin_tokens", "500", "--learning_rate", "1e-3", "--max_steps", "4",
        "--lr_schedule", "constant", "--precision", "float32", *more,
    ]  # fmt: skip
    environment = os.environ | {"OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    run = subprocess.run(command, cwd=ROOT, timeout=110, env=environment, stdout=subprocess.PIPE, text=True)
    assert run.returncode == 0, run.stdout
    assert f"over {num_processes} process" in run.stdout


@pytest.mark.slow
@pytest.mark.parametrize("average", ["token", "dialogue"])
def test_two_processes_have_the_losses_and_weights_of_one(average: str, data_folder: Path, tmp_path: Path) -> None:
    for count in (1, 2):
        launch(data_folder, tmp_path / str(count), count, "--loss_average", average)
    one, two = read_log(tmp_path / "1"), read_log(tmp_path / "2")
    assert [line["trained_tokens"] for line in one] == [line["trained_tokens"] for line in two]
    assert [line["loss"] for line in two] == pytest.approx([line["loss"] for line in one], abs=1e-5)
    weights = load_file(tmp_path / "2" / "final" / "model.safetensors")
    for name, value in load_file(tmp_path / "1" / "final" / "model.safetensors").items():
        assert torch.allclose(value, weights[name], atol=1e-4), name
