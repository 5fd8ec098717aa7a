"""A run of several processes gives what one process gives, and goes on where they were killed."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.__main__ import main
from tests.eval_tasks.tiny_vlm import write_tiny_vlm

NOT_OF_THE_RUN = ("date",)


TORCHRUN = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
# on CPUs too: with --cpu accelerate starts one process and leaves the rest to MPI
ACCELERATE = ("-m", "accelerate.commands.launch", "--multi_gpu", "--num_processes=2", "--main_process_port=0")


def run_on_two(launch: Sequence[str], out: Path, *ask: str) -> subprocess.CompletedProcess[str]:
    """The command line on two processes."""
    asked = [sys.executable, *launch, "-m", "eval_tasks", *ask, "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(Path(__file__).resolve().parents[3])}
    return subprocess.run(asked, capture_output=True, text=True, timeout=300, env=environment, check=False)


def results_of(folder: Path) -> dict[str, Any]:
    results = json.loads((folder / "results.json").read_text())
    return {name: value for name, value in results.items() if name not in NOT_OF_THE_RUN}


def journal_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_two_processes_give_the_results_of_one(tmp_path: Path, bench_folder: Path) -> None:
    model = write_tiny_vlm("ovis2", tmp_path / "model")
    ask = [f"--model=hf:{model}", "--tasks=mmcr_bench", f"--data={bench_folder}", "--max_new_tokens=6"]
    assert main([*ask, f"--out={tmp_path}/one"]) == 0
    finished = run_on_two(TORCHRUN, tmp_path / "two", *ask)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert finished.stdout.count("| mmcr_bench |") == 1  # rank 0 alone reports
    assert results_of(tmp_path / "two") == results_of(tmp_path / "one")
    assert (tmp_path / "two" / "samples.jsonl").read_text() == (tmp_path / "one" / "samples.jsonl").read_text()
    of_ranks = [journal_of(tmp_path / "two" / name) for name in ("journal.jsonl", "journal-1.jsonl")]
    assert all(of_ranks)
    assert len({entry["key"] for entries in of_ranks for entry in entries}) == sum(map(len, of_ranks)) == 20
    kept = (tmp_path / "two" / "journal-1.jsonl").read_bytes().splitlines(keepends=True)
    (tmp_path / "two" / "journal-1.jsonl").write_bytes(b"".join(kept[:3]) + kept[3][:9])  # rank 1 was killed here
    (tmp_path / "two" / "results.json").unlink()
    assert main([*ask, f"--out={tmp_path}/two"]) == 0  # by one process now
    assert results_of(tmp_path / "two") == results_of(tmp_path / "one")
    assert len(journal_of(tmp_path / "two" / "journal.jsonl")) == 20 - 3


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_accelerate_starts_two_processes_without_a_gpu(
    tmp_path: Path, bench_folder: Path, write_script: Callable[..., str]
) -> None:
    ask = ["--model", write_script({"*": "$reference"}), "--tasks=mmcr_bench", f"--data={bench_folder}"]
    finished = run_on_two(ACCELERATE, tmp_path / "two", *ask)
    assert finished.returncode == 0, finished.stderr[-2000:]
    assert finished.stdout.count("| mmcr_bench |") == 1
    of_ranks = [journal_of(tmp_path / "two" / name) for name in ("journal.jsonl", "journal-1.jsonl")]
    assert [len(entries) for entries in of_ranks] == [8, 12]


def test_an_endpoint_is_asked_by_one_process_only(
    tmp_path: Path, bench_folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    ask = ["--model=api:http://127.0.0.1:1/v1#vlm", "--tasks=mmcr_bench", f"--data={bench_folder}"]
    assert main([*ask, f"--out={tmp_path}/run"]) == 2
    assert "--batch_size" in capsys.readouterr().err


def test_replies_in_the_journals_of_other_ranks_are_not_asked_again(
    tmp_path: Path, bench_folder: Path, write_script: Callable[..., str]
) -> None:
    ask = ["--model", write_script({"*": "$reference"}), "--tasks=mmcr_bench", f"--data={bench_folder}"]
    assert main([*ask, f"--out={tmp_path}/run"]) == 0
    (tmp_path / "run" / "journal.jsonl").rename(tmp_path / "run" / "journal-3.jsonl")
    assert main([*ask, f"--out={tmp_path}/run"]) == 0
    assert (tmp_path / "run" / "journal.jsonl").read_text() == ""
