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
from transformers.cache_utils import DynamicLayer

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

    @property
    def num_pictures(self) -> int:
        """How many pictures have been through the vision tower."""
        return len(self.pictures)

    @property
    def num_cached(self) -> int:
        """Tokens whose keys and values are held."""
        return int(self.layers[0][0].shape[2]) if self.layers else 0


class RoomyLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed
    """Keys and values of one layer with room for what comes, so that a new token doesn't copy all before it."""

    def __init__(self, keys_BHLD: Tensor, values_BHLD: Tensor, num_filled: int) -> None:
        super().__init__()
        self.lazy_initialization(keys_BHLD, values_BHLD)
        self._keys, self._values, self._num_filled = keys_BHLD, values_BHLD, num_filled
        self._show()

    def _show(self) -> None:
        self.keys, self.values = self._keys[:, :, : self._num_filled], self._values[:, :, : self._num_filled]

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Put new keys and values behind the others; all of them."""
        end = self._num_filled + key_states.shape[2]
        assert end <= self._keys.shape[2], f"room for {self._keys.shape[2]} tokens, {end} are needed"
        self._keys[:, :, self._num_filled : end] = key_states
        self._values[:, :, self._num_filled : end] = value_states
        self._num_filled = end
        self._show()
        return self.keys, self.values


def to_layers(cache: DynamicCache) -> Layers:
    """The keys and values of a cache."""
    return [(layer.keys, layer.values) for layer in cache.layers]


def join_caches(states: Sequence[DialogueState], lengths: Sequence[int], room: int) -> tuple[DynamicCache, Tensor]:
    """The first tokens of several dialogues as one cache, shorter ones padded on the left.

    Args:
        states: the dialogues.
        lengths: how many tokens of each.
        room: for so many tokens more.

    Returns:
        The cache of B dialogues and `mask_BL`, 1 for a real token.
    """
    longest = max(lengths)
    cache = DynamicCache()
    for number in range(len(states[0].layers)):
        pair = []
        for side in (0, 1):
            first = states[0].layers[number][side]
            joint = first.new_zeros(len(states), first.shape[1], longest + room, first.shape[3])
            for row, (state, length) in enumerate(zip(states, lengths, strict=True)):
                joint[row, :, longest - length : longest] = state.layers[number][side][0, :, :length]
            pair.append(joint)
        cache.layers.append(RoomyLayer(pair[0], pair[1], longest))
    device = states[0].layers[0][0].device
    mask_BL = torch.zeros(len(states), longest, dtype=torch.long, device=device)
    for row, length in enumerate(lengths):
        mask_BL[row, longest - length :] = 1
    return cache, mask_BL


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


def has_full_attention(config: Any) -> bool:
    """True if each layer sees all tokens, so that a cache can be cut at any token."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    if kinds:
        return all(kind == "full_attention" for kind in kinds)
    return getattr(text, "sliding_window", None) is None
