"""Flags by the names that transformers, TRL, peft and other trainers have for them.

A name that says the same as one of ours is taken as ours; a setting of `SFTConfig` that doesn't concern batches goes
through to it; one that contradicts what this trainer does is refused with our name for it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

_BEST = "the best model is the one with the lowest loss on the held-out dialogues"
_EVAL_BATCH = "an evaluation has the micro-batches of training: --bin_tokens, or --micro_batch_dialogues"
_ON, _OFF = ("true", "1", "yes"), ("false", "0", "no")
RENAMED = {
    "model_name_or_path": "model",
    "model_revision": "revision",
    "dataset": "data",
    "dataset_name": "data",
    "dataset_config": "data_config",
    "eval_dataset": "eval_data",
    "val_dataset": "eval_data",
    "chat_template_path": "chat_template",
    "attn_implementation": "attention",
    "per_device_train_batch_size": "micro_batch_dialogues",
    "num_train_epochs": "epochs",
    "lr_scheduler_type": "lr_schedule",
    "save_steps": "checkpoint_steps",
    "save_total_limit": "keep_checkpoints",
    "logging_steps": "log_every_steps",
    "dataloader_num_workers": "num_workers",
    "hub_model_id": "push_to",
    "max_length": "max_length_tokens",
    "max_seq_length": "max_length_tokens",
    "cutoff_len": "max_length_tokens",
    "max_pixels": "image_max_pixels",
    "min_pixels": "image_min_pixels",
    "lora_r": "lora_rank",
    "lora_target_modules": "lora_targets",
}
PASSED = frozenset(
    """
    lr_scheduler_kwargs optim_args torch_compile torch_compile_backend torch_compile_mode use_liger_kernel
    liger_kernel_config tf32 torch_empty_cache_steps full_determinism run_name project trackio_space_id
    logging_first_step ddp_timeout ddp_backend ddp_bucket_cap_mb ddp_broadcast_buffers ddp_find_unused_parameters
    log_level log_level_replica
    neftune_noise_alpha activation_offloading eval_on_start eval_delay
    """.split()
)
REFUSED = {
    "gradient_accumulation_steps": "follows from --global_batch_dialogues",
    "warmup_steps": "warmup is a share of the steps: --warmup_percent",
    "deepspeed": "`accelerate launch --config_file training/launch/zero3.yaml train.py` sets it",
    "fsdp": "`accelerate launch --config_file training/launch/fsdp2.yaml train.py` sets it",
    "fsdp_config": "`accelerate launch --config_file training/launch/fsdp2.yaml train.py` sets it",
    "group_by_length": "--packing fills micro-batches with whole dialogues of any length",
    "train_sampling_strategy": "--packing fills micro-batches with whole dialogues of any length",
    "padding_free": "--packing is padding-free",
    "packing_strategy": "--packing has one: whole dialogues, best fit",
    "truncation_mode": "nothing is truncated; longer dialogues than --max_length_tokens are skipped and counted",
    **dict.fromkeys(("per_device_eval_batch_size", "eval_packing"), _EVAL_BATCH),
    **dict.fromkeys(("metric_for_best_model", "greater_is_better"), _BEST),
    "auto_find_batch_size": "--bin_tokens bounds a micro-batch",
    "label_smoothing_factor": "the loss is the plain likelihood of the answers",
    "dataloader_prefetch_factor": "workers (--num_workers) prefetch two micro-batches each",
    "dataloader_drop_last": "no dialogue is dropped",
    "trust_remote_code": "code of a checkpoint is never run; convert it to transformers' own classes",
    "data_seed": "--seed is that of weights and data",
    "use_peft": "--lora_rank N trains adapters",
}


def _renamed(flag: str, scale: float = 1) -> Callable[[str], list[str]]:
    return lambda value: [f"--{flag}", value if scale == 1 else repr(float(value) * scale)]


def _switch(name: str, on: Sequence[str] | str, off: Sequence[str] | str = ()) -> Callable[[str], list[str]]:
    """A switch: the flags if on and if off; a text is why it is refused."""

    def translate(value: str) -> list[str]:
        if value.lower() not in (*_ON, *_OFF):
            raise ValueError(f"--{name} {value}: expected true or false")
        chosen = on if value.lower() in _ON else off
        if isinstance(chosen, str):
            raise ValueError(f"--{name} {value}: {chosen}")
        return list(chosen)

    return translate


def _strategy(name: str, taken: Sequence[str], refusal: str) -> Callable[[str], list[str]]:
    def translate(value: str) -> list[str]:
        if value not in taken:
            raise ValueError(f"--{name} {value}: {refusal}")
        return []

    return translate


def _gradient_checkpointing(value: str) -> list[str]:
    parts = dict.fromkeys(_ON, "all") | dict.fromkeys(_OFF, "none")
    return ["--gradient_checkpointing", parts.get(value.lower(), value)]


def _resume(value: str) -> list[str]:
    if value.lower() not in (*_ON, *_OFF):
        raise ValueError(f"--resume_from_checkpoint {value}: --resume takes the newest checkpoint of --output_dir")
    return ["--resume" if value.lower() in _ON else "--no_resume"]


CONVERTED: dict[str, Callable[[str], list[str]]] = {
    "warmup_ratio": _renamed("warmup_percent", 100),
    "bf16": _switch("bf16", ["--precision", "bfloat16"], ["--precision", "float32"]),
    "fp16": _switch("fp16", "float16 isn't supported; --precision bfloat16"),
    "load_in_4bit": _switch("load_in_4bit", ["--quantization", "4bit"]),
    "load_in_8bit": _switch("load_in_8bit", ["--quantization", "8bit"]),
    "gradient_checkpointing": _gradient_checkpointing,
    "resume_from_checkpoint": _resume,
    "save_strategy": _strategy(
        "save_strategy", ("no", "steps"), "--checkpoint_steps or --checkpoint_minutes; best: --load_best_model_at_end"
    ),
    "logging_strategy": _strategy("logging_strategy", ("steps",), "--log_every_steps"),
    "eval_strategy": _strategy("eval_strategy", ("no", "steps"), "--eval_steps N"),
    "do_train": _switch("do_train", [], "--dry_run builds everything and trains nothing"),
    "do_eval": _switch("do_eval", []),
    "val_size": _renamed("eval_percent", 100),
    "split_dataset_ratio": _renamed("eval_percent", 100),
    "push_to_hub": _switch("push_to_hub", []),
    "assistant_only_loss": _switch("assistant_only_loss", [], "loss is on answers only"),
    "completion_only_loss": _switch("completion_only_loss", [], "loss is on answers only"),
}
NAMES = frozenset({*RENAMED, *PASSED, *REFUSED, *CONVERTED})


def translate(words: Sequence[str]) -> list[str]:
    """The arguments with foreign names replaced by ours; settings that go through to `SFTConfig` in `--sft_args`.

    Raises:
        ValueError: a flag contradicts what this trainer does; the message has our name for it.
    """
    groups: list[list[str]] = []
    for word in words:
        if word.startswith("--") or not groups:
            groups.append([word])
        else:
            groups[-1].append(word)
    result: list[str] = []
    passed: list[str] = []
    for first, *rest in groups:
        flag, equals, value = first.partition("=")
        name, values = flag.removeprefix("--").replace("-", "_"), [value] if equals else rest
        if not first.startswith("--") or name not in NAMES:
            result += [first, *rest]
        elif name in RENAMED:
            result += [f"--{RENAMED[name]}", *values]
        elif name in CONVERTED:
            result += CONVERTED[name](values[0] if values else "true")
        elif name in PASSED:
            passed.append(f"{name}={' '.join(values) or 'true'}")
        else:
            raise ValueError(f"--{name}: {REFUSED[name]}")
    return [*result, "--sft_args", *passed] if passed else result
