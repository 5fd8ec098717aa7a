from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue
from training.config import TrainConfig
from training.families import family_names, family_of
from training.train import main, train

ROOT = Path(__file__).resolve().parents[2]


def settings(data_folder: Path, out: Path, **changed: Any) -> TrainConfig:
    """Two steps over the eight dialogues."""
    values: dict[str, Any] = {
        "model": "tiny:ovis2", "data": [str(data_folder)], "output_dir": str(out), "precision": "float32",
        "global_batch_dialogues": 4, "bin_tokens": 1000, "learning_rate": 1e-3, "lr_schedule": "constant",
    }  # fmt: skip
    return TrainConfig(**(values | changed))


def read_log(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "log.jsonl").read_text().splitlines()]


def test_train_result_loads_with_processor_and_template(data_folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    out = tmp_path / "out"
    final = train(settings(data_folder, out))
    for folder in (out / "base", final):
        processor = AutoProcessor.from_pretrained(folder)
        assert type(AutoModelForImageTextToText.from_pretrained(folder)).__name__ == "Ovis2ForConditionalGeneration"
        assert type(processor).__name__ == "Ovis2Processor"
        assert processor.chat_template == family_of("tiny:ovis2").chat_template
    assert set(read_log(out)[0]) == {
        "step", "loss", "learning_rate", "seconds", "trained_tokens", "real_tokens", "trained_tokens_a_second",
        "real_tokens_a_second", "memory_gb", "seconds_left",
    }  # fmt: skip
    assert (out / "loss.png").read_bytes().startswith(b"\x89PNG")


def test_train_20_steps_loss_curve_is_the_pinned_one(data_folder: Path, tmp_path: Path) -> None:
    train(settings(data_folder, tmp_path / "out", max_steps=20))
    losses = [line["loss"] for line in read_log(tmp_path / "out")]
    pinned = {1: 5.9084, 5: 4.6662, 10: 3.4107, 20: 1.9457}
    assert len(losses) == 20
    assert {step: losses[step - 1] for step in pinned} == pytest.approx(pinned, abs=2e-3)


@pytest.mark.parametrize("freeze", [[], ["vision"], ["language", "vision"]])
def test_train_one_step_changes_every_trainable_parameter_and_no_frozen_one(
    freeze: list[str], data_folder: Path, tmp_path: Path
) -> None:
    from safetensors.torch import load_file

    out = tmp_path / "out"
    train(settings(data_folder, out, freeze=freeze, max_steps=1, learning_rate=1e-2))
    before, after = load_file(out / "base" / "model.safetensors"), load_file(out / "final" / "model.safetensors")
    parts = family_of("tiny:ovis2").parts
    frozen = tuple(prefix for part in freeze for prefix in parts[part])
    assert before.keys() == after.keys()
    for name, value in before.items():
        changed = not torch.equal(value, after[name])
        assert changed != name.startswith(frozen or ("-",)), f"{name}: changed {changed}"


def test_train_same_seed_same_weights(data_folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    first = load_file(train(settings(data_folder, tmp_path / "a", max_steps=2)) / "model.safetensors")
    second = load_file(train(settings(data_folder, tmp_path / "b", max_steps=2)) / "model.safetensors")
    assert all(torch.equal(value, second[name]) for name, value in first.items())


def test_train_from_its_own_checkpoint(data_folder: Path, tmp_path: Path) -> None:
    base = train(settings(data_folder, tmp_path / "a", max_steps=1))
    train(settings(data_folder, tmp_path / "b", model=str(base), max_steps=1))
    assert not (tmp_path / "b" / "base").exists()
    assert len(read_log(tmp_path / "b")) == 1


def test_train_bad_rows_up_to_the_limit_are_counted_beyond_it_stop_the_run(
    tmp_path: Path, make_dialogue: Callable[..., Dialogue], capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [make_dialogue(num_images=1 + seed % 2, seed=seed) for seed in range(6)]
    rows += [make_dialogue(num_turns=60, seed=seed) for seed in (7, 8)]
    write_dataset(rows, tmp_path / "data")
    train(settings(tmp_path / "data", tmp_path / "a", max_length_tokens=700, skipped_max=2))
    assert "rows skipped: {'too_long': 2}" in capsys.readouterr().out
    with pytest.raises(ValueError, match=r"2 rows can't be trained \(\{'too_long': 2\}\), more than --skipped_max 1"):
        train(settings(tmp_path / "data", tmp_path / "b", max_length_tokens=700, skipped_max=1))


def test_main_missing_data_folder_is_one_line_and_exit_code_2(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--model", "tiny:ovis2", "--data", str(tmp_path / "none"), "--output_dir", str(tmp_path / "o")]) == 2
    assert "no such folder; `make demo` builds" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model", "ORG/NOPE"], "ORG/NOPE: can't be loaded from the Hub, and is not in the cache"),
        (["--model", "ORG/NOPE", "--revision", "v9"], "ORG/NOPE at revision v9: can't be loaded"),
        (["--model", "ORG/NOPE"], "try the settings with --model tiny:FAMILY (llava_onevision, ovis2"),
        (["--model", "tiny:ovis2", "--data", "ORG/NO-DATA"], "--data ORG/NO-DATA: can't be loaded"),
        (
            ["--model", "tiny:ovis2", "--data", "ORG/NO-DATA", "--streaming", "1", "--max_steps", "1"],
            "--data ORG/NO-DATA",
        ),
    ],
)
def test_main_what_is_not_on_the_hub_is_one_line_and_exit_code_2(
    words: list[str], said: str, data_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = [] if "--data" in words else ["--data", str(data_folder)]
    assert main([*data, "--output_dir", str(tmp_path / "o"), *words]) == 2
    (line,) = (line for line in capsys.readouterr().err.splitlines() if line.startswith("error:"))
    assert said in line


def test_train_checkpoint_with_cut_weights_is_refused(data_folder: Path, tmp_path: Path) -> None:
    base = train(settings(data_folder, tmp_path / "a", max_steps=1))
    weights = base / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(ValueError, match="its weights can't be loaded"):
        train(settings(data_folder, tmp_path / "b", model=str(base), max_steps=1))


def test_train_without_one_trained_token_says_so(data_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no token was trained; rows skipped: \{'too_long': 8\}"):
        train(settings(data_folder, tmp_path / "o", bin_tokens=40))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ("{", "config.json: names no model_type"),
        ('{"model_type": "bert"}', "a checkpoint of type 'bert'; transformers has no vision-language model"),
        (None, "no config.json; expected a checkpoint folder"),
    ],
)
def test_family_of_a_folder_that_is_no_known_model(tmp_path: Path, config: str | None, said: str) -> None:
    if config:
        (tmp_path / "config.json").write_text(config)
    with pytest.raises(ValueError, match=said):
        family_of(str(tmp_path))


def test_family_of_misspelt_name_gives_near_names() -> None:
    with pytest.raises(ValueError, match="no model family 'ovis'; did you mean ovis2"):
        family_of("tiny:ovis")
    assert "ovis2" in family_names()


def test_train_checkpoint_without_image_processor_is_refused(data_folder: Path, tmp_path: Path) -> None:
    base = train(settings(data_folder, tmp_path / "a", max_steps=1))
    bare = tmp_path / "bare"
    shutil.copytree(base, bare)
    (bare / "processor_config.json").unlink()
    with pytest.raises(ValueError, match="no image processor or tokenizer"):
        train(settings(data_folder, tmp_path / "b", model=str(bare), max_steps=1))


@pytest.mark.slow
@pytest.mark.parametrize("script", ["train.py", "training/train.py"])
def test_accelerate_launch_trains_from_either_file(script: str, data_folder: Path, tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", script,
        "--config", "training/recipes/tiny_cpu.yaml",
        "--data", str(data_folder), "--output_dir", str(tmp_path / "out"), "--max_steps", "1",
    ]  # fmt: skip
    subprocess.run(command, cwd=ROOT, check=True, timeout=500, env=os.environ | {"OMP_NUM_THREADS": "1"})
    assert (tmp_path / "out" / "final" / "chat_template.jinja").is_file()
