"""Load the model and its processor: from a checkpoint, or a tiny one built on the fly."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from training.config import TrainConfig
from training.data.encode import Skipped, to_dialogue
from training.families import TINY
from training.families.family import Family
from training.model.varlen import register_varlen


def load_model(config: TrainConfig, family: Family, rows: Iterable[Mapping[str, Any]]) -> tuple[Any, Any]:
    """The model in float32 and its processor with our chat template.

    `tiny:FAMILY` builds one with a tokenizer trained on the rows' texts, and saves it in `base/` of the output folder.

    Raises:
        ValueError: no row to train the tokenizer on, or the checkpoint can't be loaded.
    """
    tiny = config.model.startswith(TINY)
    model, processor = _build_tiny(config, family, rows) if tiny else _load_checkpoint(config, family)
    attention = register_varlen() if config.attention == "varlen" else config.attention
    model.set_attn_implementation({"text_config": attention})
    return model, processor


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
    from accelerate import PartialState

    from training.model.tiny import build_tiny

    dialogues = []
    for row in rows:
        try:
            dialogues.append(to_dialogue(row))
        except Skipped:
            continue  # reported and counted when it is encoded for training
    if not dialogues:
        raise ValueError(f"{' '.join(config.data)}: no usable row to train the tokenizer of {config.model} on")
    model, processor = build_tiny(family, dialogues, config.seed)
    if PartialState().is_main_process:
        base = Path(config.output_dir) / "base"
        model.save_pretrained(base)
        processor.save_pretrained(base)
    return model, processor


def _load_checkpoint(config: TrainConfig, family: Family) -> tuple[Any, Any]:
    import torch
    from safetensors import SafetensorError
    from transformers import AutoModelForImageTextToText, AutoProcessor

    try:
        processor = AutoProcessor.from_pretrained(config.model, revision=config.revision, trust_remote_code=False)
    except OSError as error:
        raise ValueError(
            f"{config.model}: no image processor or tokenizer; expected a vision-language checkpoint with its "
            f"processor files ({error})"
        ) from error
    # Weights stay float32: at learning rates near 2e-6 most updates are below the precision of bfloat16.
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            config.model, revision=config.revision, dtype=torch.float32, trust_remote_code=False
        )
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{config.model}: its weights can't be loaded ({error})") from error
    processor.chat_template = family.chat_template
    return model, processor
