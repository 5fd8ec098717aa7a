"""Totals in an experiment tracker."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eval_tasks.__main__ import main
from tests.eval_tasks.test_failures_count import questions

TRACKER = """
import json
said = []
def init(**settings):
    print("* Trackio project initialized")
    said.append(settings)
def log(numbers): said.append(numbers)
def finish(): open({path!r}, "w").write(json.dumps(said))
"""


def test_totals_and_counts_are_logged(tmp_path: Path, write_script: Callable[..., str]) -> None:
    """In a process of its own: accelerate looks for an imported trackio."""
    (tmp_path / "modules").mkdir()
    (tmp_path / "modules" / "trackio.py").write_text(TRACKER.format(path=str(tmp_path / "said.json")))
    data = questions(tmp_path / "MMStar.jsonl")
    model = write_script({"*": "B", "1": {"failure": "timeout"}})
    ask = ["--model", model, "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run", "--report_to=trackio"]
    path = os.pathsep.join([str(tmp_path / "modules"), os.getcwd()])
    command = [sys.executable, "-m", "eval_tasks", *ask]
    ran = subprocess.run(command, env={**os.environ, "PYTHONPATH": path}, check=True, capture_output=True, text=True)
    assert "Trackio" not in ran.stdout  # results alone
    assert "Trackio" in ran.stderr
    settings, numbers = json.loads((tmp_path / "said.json").read_text())
    assert (settings["name"], settings["config"]["rules"]) == ("run", {"mmstar": "vlmevalkit@2025-03"})
    assert (numbers["mmstar/accuracy"], numbers["mmstar/failures"], numbers["mmstar/num_samples"]) == (90.0, 1.0, 10.0)


@pytest.mark.parametrize(
    ("name", "said"), [("tensorbord", "expected trackio or wandb"), ("wandb", "pip install wandb")]
)
def test_a_tracker_that_cannot_be_is_refused_before_anything_is_asked(
    name: str, said: str, tmp_path: Path, write_script: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = questions(tmp_path / "MMStar.jsonl", 1)
    ask = ["--model", write_script({"*": "B"}), "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
    assert main([*ask, f"--report_to={name}"]) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
