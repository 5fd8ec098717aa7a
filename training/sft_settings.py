"""Our settings as TRL's SFTConfig, with what goes through to it as it is."""

from __future__ import annotations

import contextlib
import importlib.util
import io
import math
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from transformers import HfArgumentParser
from transformers.training_args import OptimizerNames
from trl import SFTConfig

from mmcr_dataset.command_flags import suggest
from training.config import TrainConfig
from training.model.load import compute_dtype

_NEVER = 10**12  # steps between evaluations: transformers still evaluates after the last one


def count_warmup_steps(config: TrainConfig, num_steps: int) -> int:
    """Steps of the linear warmup, rounded down; at least the last step has the peak learning rate."""
    return min(int(num_steps * config.warmup_percent / 100), num_steps - 1)


def check_optimizer(name: str) -> str:
    """The name of an optimizer of transformers.

    Raises:
        ValueError: there is none of that name, or its package isn't installed.
    """
    names = [str(one.value) for one in OptimizerNames]
    if name not in names:
        raise ValueError(f"--optim {name}: transformers has no such optimizer{suggest(name, names)}")
    if ("8bit" in name or "paged" in name) and importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(f"--optim {name} needs bitsandbytes: pip install bitsandbytes")
    return name


def read_sft_args(settings: Sequence[str]) -> dict[str, Any]:
    """NAME=VALUE settings with the types that SFTConfig gives them.

    Raises:
        ValueError: a value is of another type.
    """
    if not settings:
        return {}
    words = [word for setting in settings for word in (f"--{setting.partition('=')[0]}", setting.partition("=")[2])]
    parser, said = HfArgumentParser((SFTConfig,)), io.StringIO()
    try:
        with contextlib.redirect_stderr(said):
            parsed = parser.parse_args(["--output_dir", "", *words])
    except SystemExit as error:
        raise ValueError(f"--sft_args: {said.getvalue().strip().rpartition('error: ')[2]}") from error
    return {name: getattr(parsed, name) for name in (setting.partition("=")[0] for setting in settings)}


def to_sft_config(config: TrainConfig, steps_an_epoch: int | None = None) -> SFTConfig:
    """Our settings as TRL's SFTConfig; a step is one batch of the trainer."""
    gpu = torch.cuda.is_available()
    num_steps = config.max_steps or math.ceil(config.epochs * (steps_an_epoch or 1))
    warmup_steps = count_warmup_steps(config, num_steps)
    constant = config.lr_schedule == "constant" and warmup_steps > 0  # plain `constant` has no warmup
    with warnings.catch_warnings():  # `gradient_checkpointing` is deprecated in newer transformers
        warnings.simplefilter("ignore", FutureWarning)
        return SFTConfig(
            output_dir=str(Path(config.output_dir) / "checkpoints"),
            ignore_data_skip=True,  # StepPlan.seek does it
            num_train_epochs=config.epochs,
            max_steps=config.max_steps or -1,
            learning_rate=config.learning_rate,
            lr_scheduler_type="constant_with_warmup" if constant else config.lr_schedule,
            warmup_steps=warmup_steps,
            optim=check_optimizer(config.optim),
            adam_beta1=config.adam_beta1,
            adam_beta2=config.adam_beta2,
            adam_epsilon=config.adam_epsilon,
            weight_decay=config.weight_decay,
            max_grad_norm=config.max_grad_norm,
            bf16=compute_dtype(config) == torch.bfloat16,
            use_cpu=not gpu,
            dataloader_pin_memory=gpu,
            dataloader_num_workers=config.num_workers,
            gradient_checkpointing=False,
            logging_steps=config.log_every_steps,
            logging_nan_inf_filter=False,
            save_strategy="best" if config.load_best_model_at_end else "no",  # SaveEvery triggers others
            eval_strategy="steps" if config.evaluates else "no",
            eval_steps=config.eval_steps or _NEVER,
            load_best_model_at_end=config.load_best_model_at_end,
            metric_for_best_model="eval_loss" if config.evaluates else None,
            save_total_limit=None,  # delete_old_checkpoints, when the new one is complete
            report_to=config.report_to,
            disable_tqdm=True,
            seed=config.seed,
            data_seed=config.seed,
            remove_unused_columns=False,
            max_length=None,  # the encoder skips what is too long; nothing is truncated
            assistant_only_loss=False,  # the encoder makes the labels, with any chat template
            **read_sft_args(config.sft_args),
        )
