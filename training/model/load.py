"""Load the model and its processor: from a checkpoint, or a tiny one built on the fly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from training.config import TrainConfig
from training.data.conversation import Skipped, to_conversation
from training.families import TINY
from training.families.family import Family
from training.model.varlen import register_varlen


def load_model(config: TrainConfig, family: Family, rows: Iterable[Mapping[str, Any]]) -> tuple[Any, Any]:
    """The model in float32 and its processor, with the chat template that is trained and saved.

    `tiny:FAMILY` builds one with a tokenizer trained on the rows' texts.

    Raises:
        ValueError: no row to train the tokenizer on, or the checkpoint can't be loaded.
    """
    tiny = config.model.startswith(TINY)
    model, processor = _build_tiny(config, family, rows) if tiny else _load_checkpoint(config)
    if config.chat_template is not None:
        processor.chat_template = read_chat_template(Path(config.chat_template))
    return model, processor


def read_chat_template(path: Path) -> str:
    """The chat template in a file.

    Raises:
        ValueError: there is no such file.
    """
    if not path.is_file():
        raise ValueError(f"--chat_template {path}: no such file")
    return path.read_text(encoding="utf-8")


def set_attention(config: TrainConfig, model: Any) -> None:
    """Set the attention implementation of the language part."""
    name = register_varlen() if config.attention == "varlen" else config.attention
    model.set_attn_implementation({"text_config": name})


def compute_dtype(config: TrainConfig) -> Any:
    """The dtype of mixed precision on this machine."""
    import torch

    auto = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if config.precision == "bfloat16" or (config.precision == "auto" and auto) else torch.float32


def encoding_processor(config: TrainConfig, family: Family, processor: Any) -> Any:
    """The processor for encoding: the checkpoint's own, or for Ovis2 one with the authors' tiling.

    Raises:
        ValueError: the family has no other tiling.
    """
    if config.image_tiling == "checkpoint":
        return processor
    if family.model_type != "ovis2":
        raise ValueError(f"--image_tiling original is for Ovis2, {config.model} is a {family.model_type}; omit it")
    from training.ovis2.tiling import with_original_tiling

    return with_original_tiling(processor, config.tiles_single, config.tiles_multi)


def _build_tiny(config: TrainConfig, family: Family, rows: Iterable[Mapping[str, Any]]) -> tuple[Any, Any]:
    from training.model.tiny import build_tiny

    dialogues = []
    for row in rows:
        try:
            dialogues.append(to_conversation(row).dialogue)
        except Skipped:
            continue  # reported and counted when it is encoded for training
    if not dialogues:
        raise ValueError(f"{' '.join(config.data)}: no usable row to train the tokenizer of {config.model} on")
    return build_tiny(family, dialogues, config.seed)


def _load_checkpoint(config: TrainConfig) -> tuple[Any, Any]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(config.model, revision=config.revision)
    except OSError as error:
        raise ValueError(
            f"{config.model}: no image processor or tokenizer; expected a vision-language checkpoint with its "
            f"processor files ({error})"
        ) from error
    # Weights stay float32: at learning rates near 2e-6 most updates are below the precision of bfloat16.
    try:
        model = AutoModelForImageTextToText.from_pretrained(config.model, revision=config.revision, dtype=torch.float32)
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{config.model}: its weights can't be loaded ({error})") from error
    return model, processor
