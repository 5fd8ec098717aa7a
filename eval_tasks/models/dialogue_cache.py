"""What a local model remembers of a dialogue between its turns, and how several dialogues decode side by side.

Dimensions: B dialogues, H key-value heads, L tokens, D head size; M is 3 for models with multimodal rotary positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from mmcr_dataset.schema import Picture

Layers = list[tuple[Tensor, Tensor]]  # keys and values of each layer, (1, H, L, D)


@dataclass
class DialogueState:
    """One dialogue's tokens and their keys and values.

    Attributes:
        text: the conversation as the chat template wrote it, up to where the model answers.
        ids: the tokens of `text`, pictures expanded.
        written: the tokens of the model's last answer.
        layers: keys and values of `ids + written`, the last written token possibly missing.
        pictures: those that have been through the vision tower.
        next_position: rotary position after `ids`.
        extras: per-picture inputs that positions depend on (grids), joined over the turns.
    """

    text: str = ""
    ids: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    layers: Layers = field(default_factory=list)
    pictures: tuple[Picture, ...] = ()
    next_position: int = 0
    extras: dict[str, Tensor] = field(default_factory=dict)

    def cached(self, num_tokens: int) -> DynamicCache:
        """A cache of the first tokens."""
        return to_cache([(keys[:, :, :num_tokens], values[:, :, :num_tokens]) for keys, values in self.layers])

    @property
    def num_pictures(self) -> int:
        """How many pictures have been through the vision tower."""
        return len(self.pictures)

    @property
    def num_cached(self) -> int:
        """Tokens whose keys and values are held."""
        return int(self.layers[0][0].shape[2]) if self.layers else 0


def to_cache(layers: Layers) -> DynamicCache:
    """Keys and values as a cache that grows."""
    cache = DynamicCache()
    for number, (keys, values) in enumerate(layers):
        cache.update(keys, values, number)
    return cache


def to_layers(cache: DynamicCache) -> Layers:
    """The keys and values of a cache."""
    return [(layer.keys, layer.values) for layer in cache.layers]


def join_caches(states: Sequence[DialogueState]) -> tuple[DynamicCache, Tensor]:
    """The caches of several dialogues as one, shorter ones padded on the left, and the mask of what is real.

    Returns:
        The cache of B dialogues and `mask_BL`, 1 for a real token.
    """
    longest = max(state.num_cached for state in states)
    layers: Layers = []
    for number in range(len(states[0].layers)):
        pair = []
        for side in (0, 1):
            rows = [state.layers[number][side] for state in states]
            pair.append(torch.cat([_padded(row, longest) for row in rows]))
        layers.append((pair[0], pair[1]))
    device = layers[0][0].device
    mask_BL = torch.zeros(len(states), longest, dtype=torch.long, device=device)  # noqa: N806
    for row, state in enumerate(states):
        mask_BL[row, longest - state.num_cached :] = 1
    return to_cache(layers), mask_BL


def _padded(row: Tensor, length: int) -> Tensor:
    missing = length - row.shape[2]
    return torch.nn.functional.pad(row, (0, 0, missing, 0)) if missing else row


def split_cache(cache: DynamicCache, states: Sequence[DialogueState], first_column: Sequence[int]) -> None:
    """Give each dialogue its rows of a joint cache back, without the padding and what came after its answer."""
    for row, (state, first) in enumerate(zip(states, first_column, strict=True)):
        kept = len(state.ids) + len(state.written)
        state.layers = [
            (
                layer.keys[row : row + 1, :, first : first + kept].clone(),
                layer.values[row : row + 1, :, first : first + kept].clone(),
            )
            for layer in cache.layers
        ]


def has_full_attention(config: Any) -> bool:  # noqa: ANN401  (a transformers config)
    """True if each layer sees all tokens, so that a cache can be cut at any token."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    if kinds:
        return all(kind == "full_attention" for kind in kinds)
    return getattr(text, "sliding_window", None) is None
