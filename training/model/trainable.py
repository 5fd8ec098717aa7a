"""Trainable and frozen parts of a model: freezing, LoRA, gradient checkpointing, parameter counts."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

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


def add_lora(model: Any, family: Family, rank: int) -> Any:
    """The model with LoRA adapters on every linear layer of the language part; all else is frozen."""
    from peft import LoraConfig, get_peft_model

    language = re.escape(family.parts["language"][0])
    linear = r"(q|k|v|o|gate|up|down)_proj"
    settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules=f"{language}.*{linear}", bias="none")
    return get_peft_model(model, settings)


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
