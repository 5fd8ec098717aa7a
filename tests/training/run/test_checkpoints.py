from __future__ import annotations

import json
import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from tests.training.test_train import ROOT, read_log, settings
from training.run.checkpoints import find_checkpoint, truncate_log, write_complete
from training.train import train


def test_resumed_run_has_the_losses_and_weights_of_one_that_never_stopped(data_folder: Path, tmp_path: Path) -> None:
    """Stops inside the second epoch, whose order of dialogues is another than the first's."""
    whole = train(settings(data_folder, tmp_path / "whole", max_steps=7))
    train(settings(data_folder, tmp_path / "cut", max_steps=3, checkpoint_steps=3))
    resumed = train(settings(data_folder, tmp_path / "cut", max_steps=7, resume=True))
    first, second = read_log(tmp_path / "whole"), read_log(tmp_path / "cut")
    for key in ("step", "loss", "trained_tokens"):
        assert [line[key] for line in first] == [line[key] for line in second]
    weights = load_file(resumed / "model.safetensors")
    assert all(torch.equal(value, weights[name]) for name, value in load_file(whole / "model.safetensors").items())


def test_find_checkpoint_takes_the_newest_whole_one(tmp_path: Path) -> None:
    for step in (9, 10, 11):
        (tmp_path / f"checkpoint-{step}").mkdir()
        (tmp_path / f"checkpoint-{step}" / "model.safetensors").write_bytes(b"half")
    assert find_checkpoint(tmp_path) is None
    for step in (9, 10):
        write_complete(tmp_path / f"checkpoint-{step}", {"step": step})
    assert find_checkpoint(tmp_path) == tmp_path / "checkpoint-10"


def test_keep_lines_up_to_drops_later_steps_and_a_line_cut_off(tmp_path: Path) -> None:
    log = tmp_path / "log.jsonl"
    log.write_text('{"step": 1}\n{"step": 2}\n{"step": 3}\n{"step": 4, "lo')
    truncate_log(log, 2)
    assert log.read_text() == '{"step": 1}\n{"step": 2}\n'


@pytest.fixture
def small_files() -> Iterator[None]:
    """No file may grow beyond 100 kB, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@pytest.fixture
def trained(data_folder: Path, tmp_path: Path) -> Path:
    return train(settings(data_folder, tmp_path / "first", max_steps=1))


def test_checkpoint_on_a_full_disk_stops_with_a_remedy_and_is_not_resumed_from(
    trained: Path, data_folder: Path, tmp_path: Path, small_files: None
) -> None:
    out = tmp_path / "out"
    with pytest.raises(ValueError, match=r"checkpoint-1: could not be written .* --resume true"):
        train(settings(data_folder, out, model=str(trained), checkpoint_steps=1))
    assert find_checkpoint(out / "checkpoints") is None


@pytest.mark.slow
def test_run_killed_between_checkpoints_resumes_to_the_same_losses(data_folder: Path, tmp_path: Path) -> None:
    def launch(out: Path, *more: str) -> subprocess.Popen[bytes]:
        command = [
            sys.executable, "train.py", "--model", "tiny:ovis2", "--data", str(data_folder), "--output_dir", str(out),
            "--global_batch_dialogues", "4", "--bin_tokens", "1000", "--learning_rate", "1e-3", "--max_steps", "60",
            "--precision", "float32", *more,
        ]  # fmt: skip
        return subprocess.Popen(command, cwd=ROOT, env=os.environ | {"OMP_NUM_THREADS": "1"})

    assert launch(tmp_path / "whole").wait(500) == 0
    out = tmp_path / "killed"
    process = launch(out, "--checkpoint_steps", "7")
    while not (out / "log.jsonl").is_file() or len((out / "log.jsonl").read_text().splitlines()) < 25:
        assert process.poll() is None, "ended before it could be killed"
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    found = find_checkpoint(out / "checkpoints")
    assert found is not None
    assert json.loads((found / "complete.json").read_text())["step"] >= 14
    assert launch(out, "--checkpoint_steps", "7", "--resume", "true").wait(500) == 0
    assert [line["loss"] for line in read_log(out)] == [line["loss"] for line in read_log(tmp_path / "whole")]
