"""FLOPs of a training step from a model's weights and configuration, for MFU.

Forward: 2 per weight and unit (a patch in the image layers, an image token in the connector, a token in the language
layers, a trained token in the head), plus attention within dialogues and tiles. Backward: as much again for the
gradients of inputs and of weights, where they are computed. Recomputation (gradient checkpointing) doesn't count.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from training.data.loss_mask import NO_LOSS
from training.families.family import Family
from training.model.trainable import bare_name

_LOOKED_UP = ("embed_tokens", "position_embedding", "pos_embed")  # embedding tables: no matrix product
_PARTS = ("vision", "connector", "language")  # in forward order


@dataclass(frozen=True)
class FlopFormula:
    """Counts the FLOPs of micro-batches, forward and backward.

    Attributes:
        weights: number of weights in matrix products, by part and of the head.
        passes: number of passes by part, 1 to 3: forward, gradients of inputs, gradients of weights.
        config: configuration of the model.
    """

    weights: Mapping[str, int]
    passes: Mapping[str, int]
    config: Any

    def count(self, batch: Mapping[str, Any]) -> float:
        """FLOPs of one batch of a Collator."""
        lengths = batch["cu_seq_lens"].diff() if "cu_seq_lens" in batch else batch["attention_mask"].sum(1)
        text = self.config.get_text_config()
        width = text.num_attention_heads * (
            getattr(text, "head_dim", 0) or text.hidden_size // text.num_attention_heads
        )
        units = {
            "vision": (patches := _tile_patches(self.config, batch)).sum().item(),
            "connector": (batch["input_ids"] == self.config.image_token_id).sum().item(),
            "language": lengths.sum().item(),
            "head": (batch["labels"] != NO_LOSS).sum().item(),
        }
        total = sum(2.0 * self.passes[part] * self.weights[part] * count for part, count in units.items())
        attention = 4.0 * float(text.num_hidden_layers * width) * float((lengths.double() ** 2).sum())
        total += _both_ways(self.passes["language"]) * attention + self._vision_attention(patches)
        return float(total)

    def _vision_attention(self, patches: Any) -> float:
        vision = self.config.vision_config
        layers = getattr(vision, "num_hidden_layers", None) or vision.depth
        seen: float = float((patches.double() ** 2).sum()) * layers
        full = getattr(vision, "fullatt_block_indexes", None)
        if full is not None:  # the other layers use window attention
            window = (vision.window_size // vision.patch_size) ** 2
            in_windows = float((patches * patches.clamp(max=window)).sum())
            seen = seen / layers * len(full) + in_windows * (layers - len(full))
        return float(_both_ways(self.passes["vision"]) * 4.0 * vision.hidden_size * seen)


def _both_ways(passes: int) -> int:
    """Backward FLOPs of attention, which has no weights: gradients go to both of its inputs."""
    return 1 if passes == 1 else 3


def _tile_patches(config: Any, batch: Mapping[str, Any]) -> Any:
    """Number of patches of each image, or of each tile."""
    import torch

    if "image_grid_thw" in batch:
        return batch["image_grid_thw"].prod(1)
    pixels = batch["pixel_values"]
    corners = pixels[..., 0, 0].reshape(-1, pixels.shape[-3])
    filled = corners.any(dim=1)  # padding tiles are all zero; uint8 pixels have none
    num_tiles = len(filled) if pixels.dtype == torch.uint8 else int(filled.sum())
    return torch.full((num_tiles,), (int(pixels.shape[-1]) // int(config.vision_config.patch_size)) ** 2)


def count_flops(model: Any, family: Family) -> Callable[[Mapping[str, Any]], float]:
    """The counter of a model's FLOPs; NaN for a family without a file, whose layers the formula doesn't know."""
    if family.count_image_tokens is None:
        return lambda batch: math.nan
    return flop_formula(model, family).count


def flop_formula(model: Any, family: Family) -> FlopFormula:
    """The formula of a model with its currently trainable parameters."""
    weights = dict.fromkeys((*_PARTS, "head"), 0)
    trained = dict.fromkeys((*_PARTS, "head"), 0)
    for name, parameter in model.named_parameters():
        bare = bare_name(name)
        part = next((part for part in _PARTS if bare.startswith(family.parts[part])), None)
        if part is None or parameter.ndim < 2 or bare.startswith("lm_head") or any(n in bare for n in _LOOKED_UP):
            continue
        weights[part] += parameter.numel()
        trained[part] += parameter.numel() * parameter.requires_grad
    head = model.get_output_embeddings().weight
    weights["head"], trained["head"] = head.numel(), head.numel() * head.requires_grad
    passes, carried = {}, False
    for part in (*_PARTS, "head"):
        carried = carried or trained[part] > 0
        passes[part] = 1 + carried + (trained[part] > weights[part] // 2)
    config = model.get_base_model().config if hasattr(model, "get_base_model") else model.config
    return FlopFormula(weights, passes, config)
