"""Trainable and frozen parts of a model: freezing, LoRA, gradient checkpointing, parameter counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch

from training.config import TrainConfig
from training.families.family import Family


@dataclass(frozen=True)
class PartCount:
    """Parameter counts of one part of a model."""

    part: str
    num_trained: int
    num_frozen: int


def freeze_parts(model: Any, family: Family, parts: Sequence[str]) -> None:
    """Freeze the named parts.

    Raises:
        ValueError: the family has no such part.
    """
    for part in parts:
        if part not in family.parts:
            raise ValueError(f"--freeze {part}: a {family.model_type} has the parts {', '.join(family.parts)}")
    frozen = tuple(prefix for part in parts for prefix in family.parts[part])
    if frozen:
        for name, parameter in model.named_parameters():
            if name.startswith(frozen):
                parameter.requires_grad_(False)


def count_parts(model: Any, family: Family) -> list[PartCount]:
    """Trained and frozen parameters of each part; those of no part are called `other`."""
    counts: dict[str, list[int]] = {part: [0, 0] for part in (*family.parts, "other")}
    for name, parameter in model.named_parameters():
        part = next((part for part, prefixes in family.parts.items() if bare_name(name).startswith(prefixes)), "other")
        counts[part][0 if parameter.requires_grad else 1] += parameter.numel()
    return [PartCount(part, trained, frozen) for part, (trained, frozen) in counts.items() if trained + frozen]


def show_parts(counts: Sequence[PartCount]) -> str:
    """The counts as a table."""
    lines = [f"{'part':<10} {'trained':>14} {'frozen':>14}"]
    lines += [f"{count.part:<10} {count.num_trained:>14,} {count.num_frozen:>14,}" for count in counts]
    return "\n".join(lines)


def add_lora(model: Any, family: Family, config: TrainConfig) -> Any:
    """The model with LoRA adapters, in float32, on linear layers of the language part; all else is frozen.

    Raises:
        ValueError: --lora_targets names a layer that isn't there.
    """
    from peft import LoraConfig, get_peft_model

    language = family.parts["language"][0]
    modules = ((name.rpartition(".")[2], name, module) for name, module in model.named_modules())
    known = {last for last, name, one in modules if name.startswith(language) and isinstance(one, torch.nn.Linear)}
    if missing := set(config.lora_targets) - known:
        raise ValueError(
            f"--lora_targets {' '.join(sorted(missing))}: the linear layers are {', '.join(sorted(known))}"
        )
    settings = LoraConfig(
        r=config.lora_rank,
        lora_alpha=config.lora_alpha or 2 * config.lora_rank,
        lora_dropout=config.lora_dropout,
        target_modules=config.lora_targets or "all-linear",
        exclude_modules=f"(?!{re.escape(language)}).*",
    )
    torch.manual_seed(config.seed)  # the adapters start from random values
    return get_peft_model(model, settings)


def round_frozen(model: Any, dtype: torch.dtype) -> None:
    """Store frozen weights in the dtype of the compute: no optimizer adds to them, so they need no float32."""
    for parameter in model.parameters():
        if not parameter.requires_grad and parameter.dtype == torch.float32:
            parameter.data = parameter.data.to(dtype)


def checkpoint_parts(model: Any, family: Family, parts: Sequence[str]) -> None:
    """Gradient checkpointing in the layers of these parts: activations are recomputed in the backward pass.

    The vision part saves most: its layers have more activations than the language part's and cost less to recompute.
    """
    model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    prefixes = tuple(prefix for part in parts for prefix in family.parts[part])
    for name, module in model.named_modules():
        if hasattr(module, "gradient_checkpointing") and not f"{bare_name(name)}.".startswith(prefixes):
            module.gradient_checkpointing = False
    if "vision" in parts:
        family.save_memory(model.get_base_model() if hasattr(model, "get_base_model") else model)


def bare_name(name: str) -> str:
    """A parameter's name without the prefixes of LoRA."""
    return name.removeprefix("base_model.model.")
