"""Ovis2's visual head in chunks: probabilities over 65,536 visual words are recomputed in the backward pass.

The original head keeps 0.4 to 0.8 MB per visual token for the backward pass (gigabytes for a full bin); in chunks only
its input is kept.

Shapes: N tiles, V visual tokens of a tile, D width of the head's input, H hidden size of the language model.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch.nn.functional import softmax
from torch.utils.checkpoint import checkpoint

PIECE_TOKENS = 512  # visual tokens per chunk: with 65,536 probabilities each 134 MB in float32


def chunk_visual_head(model: Any) -> None:
    """Make an Ovis2 model compute its image features in chunks; same results, less memory."""
    model.model.get_image_features = types.MethodType(_image_features, model.model)


def _image_features(core: Any, pixel_values: torch.Tensor, **kwargs: Any) -> Any:
    """Image features [N, V, H] and those of the indicators, as `Ovis2Model.get_image_features`."""
    from transformers.models.ovis2.modeling_ovis2 import BaseModelOutputWithVisualIndicatorFeatures

    tower, table = core.vision_tower, core.visual_embeddings_table
    if tower.config.tokenize_function != "softmax":
        raise ValueError(
            f"the chunked visual head supports tokenize_function softmax, this checkpoint has "
            f"{tower.config.tokenize_function!r}; use --gradient_checkpointing none"
        )
    hidden_NVD = _merge_neighbours(tower.transformer(pixel_values)[0], tower.config.hidden_stride)
    num_words = tower.vocab_size - tower.num_visual_indicator_tokens

    def to_features(piece_PD: torch.Tensor) -> torch.Tensor:
        words_PW = softmax(tower.head_norm(tower.head_linear(piece_PD)), dim=-1)
        features_PH: torch.Tensor = words_PW @ table.weight[:num_words]
        return features_PH

    pieces = torch.split(hidden_NVD.flatten(0, 1), PIECE_TOKENS)
    features = torch.cat([checkpoint(to_features, piece, use_reentrant=False) for piece in pieces])
    return BaseModelOutputWithVisualIndicatorFeatures(
        last_hidden_state=hidden_NVD,
        pooler_output=features.view(*hidden_NVD.shape[:2], -1),
        visual_indicator_features=table.weight[num_words:],
    )


def _merge_neighbours(hidden_NTC: torch.Tensor, stride: int) -> torch.Tensor:
    """Concatenate the patches of each stride x stride square into one token."""
    num_tiles, num_patches, width = hidden_NTC.shape
    side = round(num_patches**0.5)
    assert side**2 == num_patches, f"{num_patches} patches don't form a square"
    assert side % stride == 0, f"{side} patches a side aren't a multiple of {stride}"
    cells = hidden_NTC.reshape(num_tiles, side // stride, stride, side // stride, stride, width)
    return cells.transpose(2, 3).reshape(num_tiles, -1, stride * stride * width)
