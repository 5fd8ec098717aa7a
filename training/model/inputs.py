"""From a micro-batch to the arguments of the model: attention boundaries, pixels."""

from __future__ import annotations

from typing import Any

from training.data.collate import LONGEST
from training.data.pixels import rescale_and_normalize
from training.model.varlen import NAME as VARLEN


def model_attention(model: Any) -> str:
    """Attention implementation of a model's language part."""
    return str(model.config.get_text_config()._attn_implementation)


def bare_model(model: Any) -> Any:
    """The model without adapters around it."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def has_backbone(model: Any) -> bool:
    """Whether the model has one without a head, which TRL's fused head needs; Llama 4 has none."""
    bare = bare_model(model)
    return bare.base_model is not bare


def to_inputs(batch: dict[str, Any], model: Any, image_processor: Any) -> dict[str, Any]:
    """The model's arguments; boundaries of packed dialogues only where its attention reads them."""
    inputs = dict(batch)
    begins, longest = inputs.pop("cu_seq_lens", None), inputs.pop(LONGEST, None)
    if begins is not None and model_attention(model) == VARLEN:
        inputs |= {"cu_seq_lens_q": begins, "cu_seq_lens_k": begins}
        inputs |= {"max_length_q": longest, "max_length_k": longest}
    if "pixel_values" in inputs:
        inputs["pixel_values"] = rescale_and_normalize(inputs["pixel_values"], image_processor)
    return inputs
