"""Load the model and its processor: from a checkpoint, or a tiny one built on the fly."""

from __future__ import annotations

import importlib.util
import logging
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from mmcr_dataset.record.trial import SHORT_DIALOGUE, try_out
from training.config import TrainConfig
from training.data.conversation import Skipped, to_conversation
from training.families import TINY
from training.families.family import Family
from training.model.varlen import HALF, MAX_HEAD, register_varlen

log = logging.getLogger(__name__)


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
    if not tiny:
        render = partial(processor.apply_chat_template, SHORT_DIALOGUE, tokenize=False)
        try_out(render, f"{config.chat_template or config.model}: the chat template")
    return model, processor


def read_chat_template(path: Path) -> str:
    """The chat template in a file.

    Raises:
        ValueError: there is no such file.
    """
    if not path.is_file():
        raise ValueError(f"--chat_template {path}: no such file")
    return path.read_text(encoding="utf-8")


def choose_attention(config: TrainConfig, text: Any, capability: tuple[int, int] | None) -> tuple[str, str]:
    """The attention implementation of the language part, and why it isn't the one of the settings.

    Args:
        config: the settings.
        text: configuration of the language part.
        capability: CUDA compute capability; None on a CPU.
    """
    from transformers.utils import is_flash_attn_2_available

    if getattr(text, "attn_logit_softcapping", None) and config.attention in ("auto", "varlen", "sdpa"):
        return "eager", "its attention caps the scores"
    if config.attention not in ("auto", "varlen"):
        return config.attention, ""
    if not config.packing:
        return "sdpa", ""
    if "chunked_attention" in (getattr(text, "layer_types", None) or ()):
        return "sdpa", "its layers attend within chunks, which only a mask can say"
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    if capability is None:
        return "varlen", ""
    if capability < (8, 0):
        return "sdpa", f"its kernel needs compute capability 8.0, this GPU has {capability[0]}.{capability[1]}"
    if compute_dtype(config) not in HALF:
        return "sdpa", "its kernel computes in 16 bits; --precision bfloat16 allows it"
    if head > MAX_HEAD or head % 8:
        return "sdpa", f"its kernel takes heads of 8 to {MAX_HEAD}, in steps of 8; this model's have {head}"
    if config.attention == "auto" and is_flash_attn_2_available():
        return "flash_attention_2", ""
    return "varlen", ""


def set_attention(config: TrainConfig, model: Any) -> None:
    """Set the attention implementation of the language part, and log it where the one asked for can't be used."""
    import torch

    capability = torch.cuda.get_device_capability() if torch.cuda.is_available() else None
    name, reason = choose_attention(config, model.config.get_text_config(), capability)
    if reason:
        log.warning("--attention %s isn't used: %s; using %s", config.attention, reason, name)
    model.set_attn_implementation({"text_config": register_varlen() if name == "varlen" else name})


def compute_dtype(config: TrainConfig) -> Any:
    """The dtype of mixed precision on this machine."""
    import torch

    auto = torch.cuda.is_available() and torch.cuda.is_bf16_supported()
    return torch.bfloat16 if config.precision == "bfloat16" or (config.precision == "auto" and auto) else torch.float32


def frozen_dtype(config: TrainConfig) -> Any:
    """The dtype of frozen weights: that of the compute, but float32 under FSDP, which wants one dtype in a layer."""
    import torch
    from accelerate.utils import parse_flag_from_env

    return torch.float32 if parse_flag_from_env("ACCELERATE_USE_FSDP") else compute_dtype(config)


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

    dialogues, said = [], "it is empty"
    for row in rows:
        try:
            dialogues.append(to_conversation(row).dialogue)
        except Skipped as error:  # reported and counted when it is encoded for training
            said = str(error)
    if not dialogues:
        raise ValueError(f"{' '.join(config.data)}: no usable row to train the tokenizer of {config.model} on: {said}")
    return build_tiny(family, dialogues, config.seed)


def _tell_rounding(config: TrainConfig) -> None:
    """Log that frozen weights lose digits, where the checkpoint has more than the compute."""
    from transformers import AutoConfig

    known = AutoConfig.from_pretrained(config.model, revision=config.revision, trust_remote_code=False)
    stored, kept = known.dtype, frozen_dtype(config)
    if stored is not None and stored.itemsize > kept.itemsize:
        log.warning(
            "frozen weights of %s are rounded from %s to %s, in final/ too; --precision float32 keeps them",
            config.model, stored, kept,
        )  # fmt: skip


def _quantization(config: TrainConfig) -> dict[str, Any]:
    """Arguments that load quantized weights.

    Raises:
        ValueError: there is no GPU, or no bitsandbytes.
    """
    if config.quantization == "none":
        return {}
    import torch
    from transformers import BitsAndBytesConfig

    if not torch.cuda.is_available() or importlib.util.find_spec("bitsandbytes") is None:
        raise ValueError(f"--quantization {config.quantization} needs a GPU and bitsandbytes: pip install bitsandbytes")
    four = {"bnb_4bit_quant_type": "nf4", "bnb_4bit_compute_dtype": compute_dtype(config)}
    if config.quantization == "4bit":
        return {"quantization_config": BitsAndBytesConfig(load_in_4bit=True, **four)}
    return {"quantization_config": BitsAndBytesConfig(load_in_8bit=True)}


def _placement() -> dict[str, Any]:
    """Arguments that read no weights in a process that gets its shards from the first one of its machine (FSDP2)."""
    from transformers.distributed.utils import is_local_dist_rank_0
    from transformers.integrations import is_fsdp_enabled

    return {"device_map": "meta"} if is_fsdp_enabled() and not is_local_dist_rank_0() else {}


def _reserve(model: Any) -> Any:
    """The model with memory reserved for weights on the meta device; what is never written takes none.

    accelerate tells the weights of an optimizer apart by their addresses, and on the meta device all have the same.
    """
    import torch

    model._apply(lambda tensor: torch.empty_like(tensor, device="cpu") if tensor.is_meta else tensor)
    model.tie_weights()
    return model


def _load_checkpoint(config: TrainConfig) -> tuple[Any, Any]:
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
    # Trained weights are float32: at learning rates near 2e-6 most updates are below the precision of bfloat16.
    dtype = frozen_dtype(config) if config.lora_rank else torch.float32
    if config.lora_rank or config.freeze:
        _tell_rounding(config)
    try:
        model = AutoModelForImageTextToText.from_pretrained(
            config.model,
            revision=config.revision,
            dtype=dtype,
            trust_remote_code=False,
            **_quantization(config),
            **_placement(),
        )
    except (OSError, SafetensorError) as error:
        raise ValueError(f"{config.model}: its weights can't be loaded ({error})") from error
    return _reserve(model), processor
