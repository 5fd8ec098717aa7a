"""Any other model that `AutoModelForImageTextToText` loads: its parts and how it is packed are read from the model."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Sequence
from typing import Any

from training.families.family import Family, Images

_PLAIN_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}  # others carry a state along the row


def any_family(model_type: str) -> Family:
    """A family for a model type without a file here; `read_model` completes it.

    Raises:
        ValueError: transformers has no vision-language model of this type.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    if model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise ValueError(f"transformers has no vision-language model of type {model_type!r}")
    return Family(model_type=model_type, chat_template="", parts={}, join_images=join_padded)


def read_model(family: Family, model: Any) -> Family:
    """The family with its parts, and the reason if it can't be packed, for a family without a file here.

    Raises:
        ValueError: the model has no separate image encoder and language model, or reads images by cross-attention.
    """
    if family.parts:
        return family
    inputs = _inputs(model) | _inputs(model.base_model)
    if "cross_attention_mask" in inputs:
        raise ValueError(f"a {family.model_type} reads images by cross-attention, which isn't supported")
    return dataclasses.replace(family, parts=_find_parts(family, model), no_packing=_why_not_packed(model, inputs))


def _inputs(model: Any) -> set[str]:
    return set(inspect.signature(type(model).forward).parameters)


def _find_parts(family: Family, model: Any) -> dict[str, tuple[str, ...]]:
    names = {id(module): name for name, module in model.named_modules()}
    vision, language = names.get(id(model.get_encoder("image"))), names.get(id(model.get_decoder()))
    if not vision or not language:
        raise ValueError(f"a {family.model_type} has no separate image encoder and language model; add its family file")
    known = (f"{vision}.", f"{language}.", "lm_head.")
    rest = {name for name, _ in model.named_parameters() if not name.startswith(known)}
    head = names.get(id(model.get_output_embeddings()), "lm_head")
    beginnings = sorted({".".join(name.split(".")[:2]) + ("." if name.count(".") > 1 else "") for name in rest})
    connector = tuple(name for name in beginnings if not name.startswith(f"{head}."))
    return {"vision": (known[0],), "connector": connector, "language": (known[1], f"{head}.")}


def _why_not_packed(model: Any, inputs: set[str]) -> str | None:
    text = model.config.get_text_config()
    if hasattr(model.base_model, "get_rope_index"):
        return "its positions have three axes"
    if "token_type_ids" in inputs or getattr(text, "use_bidirectional_attention", None):
        return "its image tokens attend to each other in both directions"
    others = set(getattr(text, "layer_types", None) or ()) - _PLAIN_LAYERS
    if others:
        return f"it has layers of type {', '.join(sorted(others))}"
    module = inspect.getmodule(type(model.get_decoder()))
    if module is None or "create_causal_mask" not in vars(module):  # it makes the mask of a packed row
        return "its attention masks don't follow position ids"
    return None


def join_padded(images: Sequence[Images]) -> Images:
    """The image tensors of several dialogues along the first dimension, others filled up with zeros to the largest.

    Models with a varying number of tiles drop tiles of zeros; those with a varying size crop to `image_sizes`.
    """
    import torch
    from torch.nn.functional import pad

    joined: Images = {}
    for name in {name: None for one in images for name in one}:
        tensors = [torch.as_tensor(one[name]) for one in images if name in one]
        largest = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
        filled = []
        for tensor in tensors:
            missing = [most - size for most, size in zip(largest, tensor.shape[1:], strict=True)]
            filled.append(pad(tensor, [side for more in reversed(missing) for side in (0, more)]))
        joined[name] = torch.cat(filled)
    return joined
