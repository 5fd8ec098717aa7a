from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch

from training.ovis2 import head as ovis2_head
from training.ovis2.head import chunk_visual_head


def run(model: Any, pixels_N3SS: torch.Tensor) -> tuple[torch.Tensor, dict[str, torch.Tensor], int]:
    """Features, gradients, and the bytes kept for the way back that aren't parameters."""
    parameters = {parameter.data_ptr() for parameter in model.parameters()}
    kept: dict[int, int] = {}

    def keep(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in parameters:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    model.zero_grad()
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        out = model.model.get_image_features(pixels_N3SS, return_dict=True)
    ((out.pooler_output**2).sum() + (out.visual_indicator_features**2).sum()).backward()
    gradients = {name: p.grad.clone() for name, p in model.named_parameters() if p.grad is not None}
    return (
        torch.cat([out.pooler_output.flatten(0, 1), out.visual_indicator_features]).detach(),
        gradients,
        sum(kept.values()),
    )


def test_visual_head_in_pieces_has_the_features_and_gradients_of_the_whole(
    build_family: Callable[..., tuple[Any, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(ovis2_head, "PIECE_TOKENS", 7)
    model, _ = build_family("ovis2")
    pixels_N3SS = torch.randn(5, 3, 56, 56, generator=torch.Generator().manual_seed(0))
    whole, whole_gradients, _ = run(model, pixels_N3SS)
    chunk_visual_head(model)
    pieces, pieces_gradients, _ = run(model, pixels_N3SS)
    assert torch.allclose(whole, pieces, atol=1e-6)
    assert whole_gradients.keys() == pieces_gradients.keys()
    for name, gradient in whole_gradients.items():
        assert (gradient - pieces_gradients[name]).norm() <= 1e-5 * gradient.norm() + 1e-9, name


def test_visual_head_in_pieces_keeps_no_probabilities(build_family: Callable[..., tuple[Any, Any]]) -> None:
    from torch import nn

    model, _ = build_family("ovis2")
    tower, words = model.model.vision_tower, 4096
    tower.vocab_size = model.model.visual_vocab_size = words + 5
    tower.head_linear, tower.head_norm = nn.Linear(192, words, bias=False), nn.LayerNorm(words)
    model.model.visual_embeddings_table = type(model.model.visual_embeddings_table)(words + 5, 128)
    pixels_N3SS = torch.randn(8, 3, 56, 56)
    *_, whole = run(model, pixels_N3SS)
    chunk_visual_head(model)
    *_, pieces = run(model, pixels_N3SS)
    assert whole - pieces > 8 * 4 * words * 4  # at least one float32 for each of 32 tokens and 4,096 words
