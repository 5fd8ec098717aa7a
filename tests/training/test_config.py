from __future__ import annotations

import dataclasses
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from training.config import TrainConfig, parse_config

ROOT = Path(__file__).resolve().parents[2]
FLAGS = """
    model revision chat_template data data_config data_revision data_weights data_caps data_temperature
    balance_topics dominant_topic dominant_percent topic_file turns_max streaming shuffle_rows output_dir
    overwrite_output_dir freeze lora_rank lora_alpha lora_dropout lora_targets merge_adapters quantization
    gradient_checkpointing global_batch_dialogues packing bin_tokens micro_batch_dialogues loss_average attention
    train_last_turn_only image_max_pixels image_min_pixels image_tiling tiles_single tiles_multi max_length_tokens
    skipped_max eval_percent eval_data eval_steps eval_replies load_best_model_at_end early_stopping_patience eval_tasks
    epochs max_steps learning_rate lr_schedule warmup_percent optim adam_beta1 adam_beta2 adam_epsilon
    weight_decay max_grad_norm precision seed num_workers checkpoint_minutes checkpoint_steps keep_checkpoints
    resume report_to push_to peak_tflops dry_run log_every_steps sft_args
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
        (["--model", "m", "--packing", "no", "--attention", "varlen"], "--attention varlen needs --packing true"),
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


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("--num_train_epochs 3 --per_device_train_batch_size 2", {"epochs": 3.0, "micro_batch_dialogues": 2}),
        ("--lr_scheduler_type linear --warmup_ratio 0.05", {"lr_schedule": "linear", "warmup_percent": 5.0}),
        ("--save-steps=7 --save_total_limit 1 --logging_steps 5", {"checkpoint_steps": 7, "keep_checkpoints": 1}),
        ("--bf16 --gradient_checkpointing", {"precision": "bfloat16", "gradient_checkpointing": "all"}),
        ("--bf16 false --gradient_checkpointing false", {"precision": "float32", "gradient_checkpointing": "none"}),
        ("--gradient_checkpointing vision", {"gradient_checkpointing": "vision"}),
        ("--lora_r 8 --lora_target_modules q_proj v_proj", {"lora_rank": 8, "lora_targets": ["q_proj", "v_proj"]}),
        ("--lora_r 8 --load_in_4bit true --merge_adapters false", {"quantization": "4bit", "merge_adapters": False}),
        ("--optim adamw_8bit --adam_beta2 0.95", {"optim": "adamw_8bit", "adam_beta2": 0.95}),
        ("--dataset one two --max_length 900", {"data": ["one", "two"], "max_length_tokens": 900}),
        ("--resume_from_checkpoint true", {"resume": True}),
        ("--hub_model_id a/b --push_to_hub", {"push_to": "a/b"}),
        ("--torch_compile --run_name one", {"sft_args": ["torch_compile=true", "run_name=one"]}),
        ('--lr_scheduler_kwargs {"min_lr":1e-7}', {"sft_args": ['lr_scheduler_kwargs={"min_lr":1e-7}']}),
        ("--packing --resume", {"packing": True, "resume": True}),
        ("--streaming --max_steps 3", {"streaming": True}),
        ("--save_strategy steps --eval_strategy no", {}),
        ("--eval_strategy steps --eval_steps 5 --val_size 0.1", {"eval_percent": 10.0, "eval_steps": 5}),
        ("--do_eval --eval_dataset a --eval_on_start", {"eval_data": ["a"], "sft_args": ["eval_on_start=true"]}),
    ],
)
def test_names_of_other_trainers_are_taken(words: str, expected: dict[str, Any]) -> None:
    config = parse_config(["--model", "m", *words.split()])
    assert {name: getattr(config, name) for name in expected} == expected


def test_names_of_other_trainers_are_taken_in_a_recipe_and_flags_win(tmp_path: Path) -> None:
    recipe = tmp_path / "r.yaml"
    recipe.write_text("model_name_or_path: m\nwarmup_ratio: 0.1\nbf16: true\nnum_train_epochs: 2\n")
    config = parse_config(["--config", str(recipe), "--epochs", "3"])
    assert (config.model, config.warmup_percent, config.precision, config.epochs) == ("m", 10.0, "bfloat16", 3.0)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("--gradient_accumulation_steps 8", "--gradient_accumulation_steps: follows from --global_batch_dialogues"),
        ("--deepspeed z.json", "training/launch/zero3.yaml"),
        ("--fsdp full_shard", "training/launch/fsdp2.yaml"),
        ("--fp16 true", "float16 isn't supported; --precision bfloat16"),
        ("--bf16 maybe", "--bf16 maybe: expected true or false"),
        ("--eval_strategy epoch", "--eval_strategy epoch: --eval_steps N"),
        ("--eval_steps 5", "--eval_steps needs held-out dialogues: --eval_percent or --eval_data"),
        ("--load_best_model_at_end", "--load_best_model_at_end needs held-out dialogues"),
        ("--early_stopping_patience 2", "--early_stopping_patience needs held-out dialogues"),
        ("--eval_percent 100", "--eval_percent 100.0: expected 0 to below 100"),
        ("--eval_percent 5 --eval_data a", "mutually exclusive"),
        ("--eval_percent 5 --streaming --max_steps 3", "use --eval_data"),
        ("--eval_tasks ai2d --lora_rank 4", "which of --lora_rank are adapters"),
        ("--eval_tasks ai2d", "set --checkpoint_steps or --checkpoint_minutes"),
        ("--metric_for_best_model accuracy", "the one with the lowest loss on the held-out dialogues"),
        ("--per_device_eval_batch_size 4", "an evaluation has the micro-batches of training"),
        ("--resume_from_checkpoint out/c", "--resume takes the newest checkpoint of --output_dir"),
        ("--truncation_mode keep_end", "nothing is truncated"),
        ("--trust_remote_code true", "code of a checkpoint is never run"),
        ("--sft_args packing=true", "expected NAME=VALUE with one of"),
        ("--data a --data b", "--data is given 2 times"),
        ("--packing --no_packing", "--packing is given 2 times"),
        ("--lr_schedule linear --lr_scheduler_type cosine", "--lr_schedule is given 2 times"),
        ("--out a --output-dir b", "--output_dir is given 2 times"),
        ("--resume --overwrite_output_dir", "--resume continues the run that --overwrite_output_dir deletes"),
        ("--quantization 4bit --lora_rank 4", "add --merge_adapters false"),
        ("--quantization 4bit", "need --lora_rank"),
        ("--lora_rank 4 --lora_dropout 1", "--lora_dropout 1.0: expected 0 to below 1"),
        ("--image_max_pixels 10 --image_min_pixels 20", "--image_min_pixels 20: above --image_max_pixels"),
        ("--max_grad_norm nan", "--max_grad_norm nan: expected 0 or more"),
        ("--weight_decay inf", "--weight_decay inf: expected 0 or more"),
        ("--checkpoint_minutes nan", "--checkpoint_minutes nan: expected 0 or more"),
        ("--data_weights nan", "--data_weights [nan]: expected 0 or more"),
        ("--adam_epsilon 0", "--adam_epsilon 0.0: expected a number above 0"),
    ],
)
def test_flag_that_contradicts_is_refused_with_our_name_for_it(words: str, said: str) -> None:
    with pytest.raises(ValueError, match=re.escape(said)):
        parse_config(["--model", "m", *words.split()])


def test_settings_that_go_through_reach_the_trainer_with_their_types() -> None:
    from training.sft_settings import check_optimizer, read_sft_args, to_sft_config

    words = ["--lr_schedule", "cosine_with_min_lr", "--lr_scheduler_kwargs", '{"min_lr": 1e-7}', "--ddp_timeout", "60"]
    args = to_sft_config(parse_config(["--model", "m", *words]))
    assert (args.lr_scheduler_kwargs, args.ddp_timeout, args.torch_compile) == ({"min_lr": 1e-7}, 60, False)
    with pytest.raises(ValueError, match=r"--sft_args: argument .*ddp_timeout.*: invalid int value: 'soon'"):
        read_sft_args(["ddp_timeout=soon"])
    with pytest.raises(ValueError, match="no such optimizer; did you mean"):
        check_optimizer("adamw_torch_fuse")


def test_train_help_imports_nothing_heavy() -> None:
    program = (
        "import sys, runpy; sys.argv = ['train.py', '--help']\n"
        "try: runpy.run_path('train.py', run_name='__main__')\n"
        "except SystemExit as end: print(end.code, [m for m in ('torch', 'transformers', 'trl') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "0 []"
    assert "--global_batch_dialogues INT" in run.stdout
