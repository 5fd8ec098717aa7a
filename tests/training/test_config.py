from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path

import pytest

from training.config import TrainConfig, parse_config

ROOT = Path(__file__).resolve().parents[2]
FLAGS = """
    model revision chat_template data data_config data_revision data_weights data_caps data_temperature
    balance_topics dominant_topic dominant_percent topic_file turns_max streaming shuffle_rows output_dir
    overwrite_output_dir freeze lora_rank lora_alpha lora_dropout lora_targets merge_adapters quantization
    gradient_checkpointing global_batch_dialogues packing bin_tokens micro_batch_dialogues loss_average attention
    train_last_turn_only image_max_pixels image_min_pixels image_tiling tiles_single tiles_multi max_length_tokens
    skipped_max epochs max_steps learning_rate lr_schedule warmup_percent optim adam_beta1 adam_beta2 adam_epsilon
    weight_decay max_grad_norm precision seed num_workers checkpoint_minutes checkpoint_steps keep_checkpoints
    resume report_to push_to peak_tflops dry_run log_every_steps
"""


def test_config_flags_are_the_frozen_list() -> None:
    assert [setting.name for setting in dataclasses.fields(TrainConfig)] == FLAGS.split()


def test_config_defaults_are_the_papers() -> None:
    config = parse_config(["--model", "tiny:ovis2"])
    assert (config.global_batch_dialogues, config.epochs, config.lr_schedule) == (1024, 1.0, "cosine")
    assert (config.learning_rate, config.weight_decay) == (2e-6, 0.0)


def test_config_flag_wins_over_recipe(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("model: tiny:ovis2\nlearning_rate: 1e-3\nepochs: 2\ndata: [a, b]\n")
    config = parse_config(["--config", str(recipe), "--epochs", "3", "--freeze", "vision", "connector"])
    assert (config.learning_rate, config.epochs, config.data, config.freeze) == (
        1e-3, 3.0, ["a", "b"], ["vision", "connector"],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--model", "m", "--learning_rat", "1"], "Perhaps you meant: --learning_rate"),
        (["--model", "m", "--epochs", "many"], "--epochs: could not convert string to float: 'many'"),
        (["--model", "m", "--epochs", "nan"], "--epochs nan: expected a number above 0"),
        (
            ["--model", "m", "--lr_schedule", "cos"],
            "'cos' for argument '--lr_schedule'. Expected one of ('cosine', 'linear', 'constant'",
        ),
        (["--model", "m", "--max_steps", "1.5"], "--max_steps: invalid literal"),
        (["--model", "m", "--freeze", "eyes"], "parts are vision, connector and language"),
        (["--model", "m", "--freeze", "vision", "connector", "language"], "nothing would train"),
        (["--model", "m", "--micro_batch_dialogues", "0"], "expected at least 1"),
        (["--model", "m", "--packing", "no"], "--attention varlen needs --packing true"),
        (["--model", "m", "--packing", "maybe"], "Unrecognized options: maybe"),
        (["--model", "m", "--lora_rank", "8", "--freeze", "vision"], "--lora_rank trains adapters only"),
        (["--model", "m", "--warmup_percent", "101"], "expected 0 to 100"),
        (["--model", "m", "--data"], "--data is empty"),
        (["--model", "m", "--turns_max", "-1"], "--turns_max -1: expected 0 or more"),
        (["--model", "m", "--dominant_topic", "t", "--balance_topics", "1"], "mutually exclusive"),
        (["--model", "m", "--dominant_percent", "0"], "--dominant_percent 0.0: expected above 0"),
        (["--model", "m", "--topic_file", "f"], "--topic_file needs --balance_topics"),
        (["--model", "m", "--push_to", "name"], "--push_to name: expected ORG/NAME"),
        (["--model", "m", "--streaming", "true"], "--streaming true: the number of rows is unknown"),
        (["--model", "m", "--streaming", "1", "--max_steps", "1", "--balance_topics", "1"], "by --data_weights alone"),
        ([], "--model is missing"),
        (["--config", "nowhere.yaml"], "nowhere.yaml: no such file"),
    ],
)
def test_config_wrong_value_names_field_and_expectation(arguments: list[str], said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_config(arguments)


@pytest.mark.parametrize(
    ("text", "said"),
    [("lerning_rate: 1", "did you mean learning_rate"), ("- a", "expected lines of"), ("a: [", "not YAML")],
)
def test_recipe_that_is_wrong_names_the_file(tmp_path: Path, text: str, said: str) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text(text)
    with pytest.raises(ValueError, match=f"r.yaml.*{said}"):
        parse_config(["--config", str(recipe)])


def test_train_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, runpy; sys.argv = ['train.py', '--help']\n"
        "try: runpy.run_path('train.py', run_name='__main__')\n"
        "except SystemExit as end: print(end.code, [m for m in ('torch', 'transformers', 'trl') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "0 []"
    assert "--global_batch_dialogues INT" in run.stdout
