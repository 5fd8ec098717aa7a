"""A trained model with its card to a local Hub over HTTP, and back."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tests.training.local_model_hub import LocalModelHub
from tests.training.test_train import ROOT, settings
from training.__main__ import main
from training.train import train

REPO = "tester/tiny-mmcr"
RESULTS = {
    "format": 1,
    "tasks": {
        "ai2d": {
            "rules": "2025-03",
            "num_samples": 3088,
            "totals": {"accuracy": {"value": 61.5, "low": 59.75, "high": 63.25}},
        }
    },
}


def program(hub: LocalModelHub, home: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """Run Python with the local hub as its Hub."""
    environment = os.environ | {
        "HF_ENDPOINT": hub.url, "HF_TOKEN": "hf_test", "HF_HUB_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1",
        "HF_HOME": str(home), "HF_HUB_DISABLE_TELEMETRY": "1", "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1",
    }  # fmt: skip
    command = [sys.executable, *words]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500)


@pytest.fixture
def final(data_folder: Path, tmp_path: Path) -> Path:
    return train(settings(data_folder, tmp_path / "out", max_steps=2))


@pytest.fixture
def hub() -> Iterator[LocalModelHub]:
    with LocalModelHub() as server:
        yield server


def test_card_says_base_data_settings_and_what_the_run_did_but_no_folder_of_the_machine(
    final: Path, data_folder: Path
) -> None:
    card = (final / "README.md").read_text()
    _, front, body = card.split("---\n", 2)
    assert yaml.safe_load(front) == {
        "library_name": "transformers", "pipeline_tag": "image-text-to-text", "tags": ["multi-turn", "mmcr"],
    }  # fmt: skip
    assert "| mmcr-310k | newest | 8 | 8 |" in body
    for words in ("steps | 2 |", "`learning_rate` | 0.001 |", "hardware | 1 x CPU |"):
        assert f"| {words}" in body
    assert "![Loss over trained tokens](loss.png)" in body
    assert (final / "loss.png").is_file()
    assert str(data_folder.parent) not in card + (final / "training.json").read_text()


def test_publish_sends_model_and_card_with_scores_and_it_loads_from_there(
    final: Path, hub: LocalModelHub, tmp_path: Path
) -> None:
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "results.json").write_text(json.dumps(RESULTS))
    words = ["-m", "training", "publish", str(final), "--to", REPO, "--scores", str(tmp_path / "run"), "--private"]
    said = program(hub, tmp_path / "home", *words)
    assert said.returncode == 0, said.stderr
    assert hub.repos[REPO].private
    assert set(hub.files(REPO)) >= {"README.md", "config.json", "loss.png", "model.safetensors", "training.json"}
    assert "| ai2d | accuracy | 61.50 | 59.75 to 63.25 | 3088 | 2025-03 |" in (final / "README.md").read_text()
    load = (
        "from transformers import AutoModelForImageTextToText, AutoProcessor\n"
        f"AutoProcessor.from_pretrained({REPO!r})\n"
        f"print(type(AutoModelForImageTextToText.from_pretrained({REPO!r})).__name__)"
    )
    loaded = program(hub, tmp_path / "home", "-c", load)
    assert loaded.stdout.split() == ["Ovis2ForConditionalGeneration"], loaded.stderr


def test_publish_again_takes_old_weights_away_and_leaves_foreign_repositories_alone(
    hub: LocalModelHub, tmp_path: Path
) -> None:
    final = tmp_path / "final"
    final.mkdir()
    for name, text in (("training.json", "{}"), ("config.json", "{}"), ("model-00001-of-00002.safetensors", "a")):
        (final / name).write_text(text)
    (final / "adapter_model.safetensors").write_text("b")
    words = ["-m", "training", "publish", str(final), "--push_to", REPO]
    said = program(hub, tmp_path / "home", *words)
    assert said.returncode == 0, said.stderr
    (final / "model-00001-of-00002.safetensors").rename(final / "model.safetensors")
    (final / "adapter_model.safetensors").unlink()
    num_commits = len(hub.repos[REPO].commits)
    assert program(hub, tmp_path / "home", *words).returncode == 0
    assert [path for path in hub.files(REPO) if path.endswith(".safetensors")] == ["model.safetensors"]
    assert len(hub.repos[REPO].commits) == num_commits + 1
    hub.put(REPO, {"model.safetensors": b"not ours"})
    said = program(hub, tmp_path / "home", *words)
    assert said.returncode == 2
    assert "was not published by this program" in said.stderr
    assert hub.files(REPO) == ["model.safetensors"]


@pytest.mark.slow
def test_train_with_push_to_is_on_the_hub_at_the_end(hub: LocalModelHub, data_folder: Path, tmp_path: Path) -> None:
    words = ["train.py", "--model", "tiny:ovis2", "--data", str(data_folder), "--output_dir", str(tmp_path / "o")]
    words += ["--global_batch_dialogues", "8", "--precision", "float32", "--push_to", REPO]
    said = program(hub, tmp_path / "home", *words)
    assert said.returncode == 0, said.stderr
    assert f"{hub.url}" in said.stdout
    assert "model.safetensors" in hub.files(REPO)


def test_push_to_a_hub_that_does_not_answer_is_told_before_training(data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"ORG/NAME: the Hub does not take it .*hf auth login"):
        train(settings(data_folder, tmp_path / "out", push_to="ORG/NAME"))
    assert not (tmp_path / "out" / "final").exists()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere", "--to", "a/b"], "no training.json beside a config.json"),
        (["{final}", "--to", "name"], "--push_to 'name': expected ORG/NAME"),
        (["{final}", "--to", "a/b", "--scores", "{final}"], "no results.json"),
        (["{final}", "--to", "a/b", "--scores", "{broken}"], "not the results of an evaluation run (KeyError"),
    ],
)
def test_publish_of_what_is_not_there_is_one_line_and_exit_code_2(
    words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    final, broken = tmp_path / "final", tmp_path / "broken"
    for folder, name, text in (
        (final, "training.json", "{}"),
        (final, "config.json", "{}"),
        (broken, "results.json", '{"tasks": {"ai2d": {}}}'),
    ):
        folder.mkdir(exist_ok=True)
        (folder / name).write_text(text)
    assert main(["publish", *(word.format(final=final, broken=broken) for word in words)]) == 2
    assert said in capsys.readouterr().err
