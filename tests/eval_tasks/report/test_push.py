"""A run's scores in a model's card."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from eval_tasks.__main__ import main
from tests.eval_tasks.test_failures_count import questions
from tests.local_hub import LocalHub

CARD = b"---\nlicense: apache-2.0\n---\n# A model\n\nIts own words.\n"


def card_of(hub: LocalHub) -> str:
    found = hub.repos["me/model"]
    return hub.blobs[found.commits[found.refs["main"]]["README.md"]].decode()


def test_scores_are_written_into_the_card_and_replaced_by_the_next(
    tmp_path: Path, write_script: Callable[..., str]
) -> None:
    data = questions(tmp_path / "MMStar.jsonl")
    for name, said in (("a", "B"), ("b", "A")):
        model = write_script({"*": said, "1": {"failure": "timeout"}}, f"{name}.json")
        assert main(["--model", model, "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/{name}"]) == 0
    with LocalHub() as hub:
        hub.put("me/model", {"README.md": CARD})
        environment = {**os.environ, "HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_TOKEN": "hf_x"}
        environment |= {"HF_HOME": str(tmp_path / "home")}
        for name in ("a", "b", "b"):
            push = [sys.executable, "-m", "eval_tasks", "report", f"{tmp_path}/{name}", "--push_to", "me/model"]
            done = subprocess.run(push, env=environment, capture_output=True, text=True, check=False)
            assert done.returncode == 0, done.stderr
        text = card_of(hub)
    assert "license: apache-2.0" in text
    assert "Its own words." in text
    assert text.count("## Scores") == 1
    assert text.count("metric") >= 1
    assert "value: 0.0" in text  # of run b
    assert "value: 90.0" not in text
    for part in ("vlmevalkit@2025-03", "timeout: 1", "interval_95", "judge: none"):
        assert part in text


def test_a_run_without_a_score_is_not_pushed(
    tmp_path: Path, write_script: Callable[..., str], capsys: pytest.CaptureFixture[str]
) -> None:
    data = questions(tmp_path / "MMStar.jsonl", 2)
    model = write_script({"*": {"failure": "timeout"}})
    assert main(["--model", model, "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]) == 1
    assert main(["report", f"{tmp_path}/run", "--push_to", "me/model"]) == 2
    assert "nothing is pushed" in capsys.readouterr().err
