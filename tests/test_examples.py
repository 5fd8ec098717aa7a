"""The files in examples/ run as their docstrings say."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from eval_tasks.__main__ import main as evaluate
from tests.conftest import image_bytes
from tests.eval_tasks.tiny_vlm import write_tiny_vlm
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_dataset.test_pipeline import good_reply

ROOT = Path(__file__).resolve().parents[1]


pytestmark = pytest.mark.timeout(600)  # each starts programs that import torch


def run_example(name: str, *words: str | Path) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, words)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    (folder / "pair").mkdir(parents=True)
    for number in range(4):
        photo = (folder if number < 2 else folder / "pair") / f"{number}.png"
        photo.write_bytes(image_bytes(number, (320, 240)))
        photo.with_suffix(".txt").write_text(f"This is the field number {number} in spring. It has a long fence.")
    return folder


def test_folder_to_dataset_without_and_with_a_model(folder: Path, tmp_path: Path) -> None:
    said = run_example("folder_to_dataset.py", folder, tmp_path / "offline")
    assert "filter: 3 in, 3 kept" in said
    with FakeChatServer(good_reply) as server:
        said = run_example("folder_to_dataset.py", folder, tmp_path / "asked", f"{server.base_url}#fake")
        assert len(server.requests) == 3
    assert "In image 1 there is the thing with number 1." in said


def test_checkpoint_to_scores(folder: Path, tmp_path: Path) -> None:
    run_example("folder_to_dataset.py", folder, tmp_path / "set")
    write_tiny_vlm("qwen2_5_vl", tmp_path / "model")
    said = run_example("checkpoint_to_scores.py", tmp_path / "model", tmp_path / "set", tmp_path / "run")
    assert "reference_overlap" in said
    assert (tmp_path / "run" / "results.json").is_file()


@pytest.mark.parametrize(("reply", "line"), [("Red.", "25.00"), ("Red or green.", "0.00"), ("A square.", "0.00")])
def test_own_benchmark(reply: str, line: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    script = tmp_path / "replies.json"
    script.write_text(f'{{"*": ["It is a square.", "{reply}"]}}')
    asked = ["--tasks-from", str(ROOT / "examples" / "own_benchmark.py"), "--tasks", "own_benchmark"]
    assert evaluate([*asked, "--model", f"scripted:{script}", "--out", str(tmp_path / "run")]) == 0
    shown = next(row for row in capsys.readouterr().out.splitlines() if row.startswith("| own_benchmark"))
    assert f"accuracy | {line} [" in shown
    assert shown.split("|")[8].strip() == ("4" if reply == "A square." else "0")
