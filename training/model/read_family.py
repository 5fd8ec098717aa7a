"""What a family without a file in training/families/ is like, read from its model: its parts, and how it is packed."""

from __future__ import annotations

import dataclasses
import inspect
import logging
from typing import Any

from training.families.family import Family

log = logging.getLogger(__name__)

_EXPERTS = ("num_experts", "num_local_experts", "n_routed_experts")
_PLAIN_LAYERS = {"full_attention", "sliding_attention", "chunked_attention"}  # others carry a state along the row


def read_model(family: Family, model: Any) -> Family:
    """The family with its parts, and the reason if it can't be packed, for a family without a file here.

    Raises:
        ValueError: the model has no separate image encoder and language model.
    """
    if family.parts:
        return family
    inputs = _inputs(model) | _inputs(model.base_model)
    if "cross_attention_mask" in inputs:
        family = dataclasses.replace(family, alone=True)
    return dataclasses.replace(
        family,
        parts=_find_parts(family, model),
        no_packing=_why_not_packed(model, inputs),
        has_m_rope=hasattr(model.base_model, "get_rope_index"),
    )


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
    parts = {"vision": (known[0],), "connector": connector, "language": (known[1], f"{head}.")}
    return {name: prefixes for name, prefixes in parts.items() if prefixes}  # Qwen-VL's connector is in the encoder


def _why_not_packed(model: Any, inputs: set[str]) -> str | None:
    text = model.config.get_text_config()
    if hasattr(model.base_model, "get_rope_index") and not _packs_m_rope(model):
        return "its positions have three axes, and it takes no others beside them"
    if "token_type_ids" in inputs or getattr(text, "use_bidirectional_attention", None):
        return "its image tokens attend to each other in both directions"
    if "cross_attention_mask" in inputs:
        return "it reads images by cross-attention, one dialogue at a time"
    others = set(getattr(text, "layer_types", None) or ()) - _PLAIN_LAYERS
    if others:
        return f"it has layers of type {', '.join(sorted(others))}"
    module = inspect.getmodule(type(model.get_decoder()))
    if module is None or "create_causal_mask" not in vars(module):  # it makes the mask of a packed row
        return "its attention masks don't follow position ids"
    return None


def _packs_m_rope(model: Any) -> bool:
    """True if the model's positions come from token types and grids, and text positions may be a fourth row of them."""
    takes = inspect.signature(model.base_model.get_rope_index).parameters.keys()
    four = "position_ids.shape[0] == 4" in inspect.getsource(type(model.get_decoder()).forward)
    return four and {"mm_token_type_ids", "image_grid_thw"} <= takes


def keep_router_loss(model: Any) -> None:
    """Give a mixture of experts what TRL's loss of its router needs, or turn that loss off with a line that says so."""
    text = model.config.get_text_config()
    if not getattr(text, "router_aux_loss_coef", 0):
        return
    recorded = getattr(model.get_decoder(), "_can_record_outputs", None) or {}
    count = next((getattr(text, name) for name in _EXPERTS if hasattr(text, name)), None)
    if "router_logits" in recorded and model.base_model is not model and count is not None:
        text.num_experts = count
        return
    log.warning("no router loss: a %s gives no router logits in transformers", model.config.model_type)
    text.router_aux_loss_coef = 0.0
