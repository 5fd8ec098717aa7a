"""The KV cache of several dialogues: kept from turn to turn, one row per dialogue, decoded as one batch.

Shapes: R dialogues (rows), H key-value heads, L tokens (columns), D head size.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer

from mmcr_dataset.record.dialogue import DialogueImage


@dataclass
class DialogueState:
    """Tokens of one dialogue, whose keys and values are a row of the KV cache.

    Attributes:
        row: row of the KV cache.
        text: the rendered chat template up to the generation prompt.
        text_ids: token ids of `text`, one placeholder per image.
        ids: token ids of `text`, placeholders expanded.
        written: token ids of the model's last answer.
        images: images encoded by the vision tower so far.
        next_position: rotary position after `ids`.
        extras: per-image inputs that positions depend on (grids), concatenated over the turns.
    """

    row: int
    text: str = ""
    text_ids: list[int] = field(default_factory=list)
    ids: list[int] = field(default_factory=list)
    written: list[int] = field(default_factory=list)
    images: tuple[DialogueImage, ...] = ()
    next_position: int = 0
    extras: dict[str, Tensor] = field(default_factory=dict)

    @property
    def num_images(self) -> int:
        """Number of images encoded so far."""
        return len(self.images)


class DialogueKVCache(Cache):  # type: ignore[misc]  # transformers is not typed
    """The KV cache of all open dialogues: one tensor per layer, one row per dialogue, left-aligned.

    Rows are updated in place, so nothing is copied from turn to turn. Call `set_target` before each call of the model.
    `release` may be called from another thread than the model's.

    Args:
        num_rows: number of rows to allocate at first.
    """

    def __init__(self, num_rows: int = 1) -> None:
        super().__init__(layer_class_to_replicate=lambda: _RowsLayer(self))
        self.num_rows = num_rows
        self.lengths: list[int] = []  # of each row: number of filled columns
        self._left: dict[int, DialogueState] = {}  # free rows, with the dialogue whose columns they still hold
        self.rows = slice(0, 0)
        self.columns: int | Tensor = 0
        self.num_before = self.end = 0

    def take(self, shown: tuple[DialogueImage, ...]) -> tuple[int, DialogueState | None]:
        """A row for a new dialogue, and its former dialogue if that starts with the same images."""
        same = [row for row, left in list(self._left.items()) if shown and left.images[: len(shown)] == shown]
        if not self._left:
            self.lengths.append(0)
            return len(self.lengths) - 1, None
        row = same[0] if same else min(self._left)
        before = self._left.pop(row)
        self.lengths[row] = 0
        return row, before if same else None

    def release(self, state: DialogueState) -> None:
        """Free the row of a finished dialogue; its columns stay valid until the row is reused."""
        self._left[state.row] = state

    def clear(self) -> None:
        """Free the memory of all rows; from now on rows are allocated on demand."""
        self.lengths, self._left, self.num_rows = [], {}, 1
        for layer in self.layers:
            layer.keys = layer.values = None

    def copy(self, source: int, row: int, num_columns: int) -> None:
        """Copy the first columns of a row to another row: a shared prefix needs no prefill."""
        self.end = num_columns
        for layer in self.layers if source != row else ():
            for kept in layer.make_room(layer.keys, layer.values):
                kept[row, :, :num_columns] = kept[source, :, :num_columns]

    def set_target(self, rows: slice, columns: int | Tensor, end: int, num_new: int = 1) -> None:
        """Set the rows and columns that the next call of the model writes.

        Args:
            rows: range of rows.
            columns: the first new column of a single row, or the new column of each row [R].
            end: number of columns attended to, including the new ones.
            num_new: number of new columns.
        """
        self.rows, self.columns, self.end, self.num_before = rows, columns, end, end - num_new


class _RowsLayer(DynamicLayer):  # type: ignore[misc]  # transformers is not typed
    """One layer of `DialogueKVCache`."""

    def __init__(self, cache: DialogueKVCache) -> None:
        super().__init__()
        self._cache = cache
        self.keys: Tensor | None = None
        self.values: Tensor | None = None
        self.is_initialized = True

    def get_seq_length(self) -> int:
        """Columns before the new ones."""
        return self._cache.num_before

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write the new keys and values [R, H, L, D]; returns all columns of the target rows."""
        cache = self._cache
        keys, values = self.make_room(key_states, value_states)
        for kept, new in ((keys, key_states), (values, value_states)):
            if isinstance(cache.columns, int):
                kept[cache.rows, :, cache.columns : cache.end] = new
            else:
                rows = torch.arange(cache.rows.start, cache.rows.stop, device=kept.device)
                kept[rows, :, cache.columns.to(kept.device)] = new[:, :, 0]  # a layer may be on another device
        return keys[cache.rows, :, : cache.end], values[cache.rows, :, : cache.end]

    def make_room(self, key_states: Tensor, value_states: Tensor) -> tuple[Tensor, Tensor]:
        """Keys and values, grown to all rows and the target columns; the states define the other sizes."""
        keys = self._with_room(self.keys, key_states)
        values = self._with_room(self.values, value_states)
        self.keys, self.values = keys, values
        return keys, values

    def _with_room(self, kept: Tensor | None, new_RHLD: Tensor) -> Tensor:
        """The tensor itself, or a larger copy with 2 x rows and 1.5 x columns."""
        num_rows, num_columns = max(len(self._cache.lengths), self._cache.num_rows), self._cache.end
        if kept is not None:
            if kept.shape[0] >= num_rows and kept.shape[2] >= num_columns:
                return kept
            num_rows = kept.shape[0] if kept.shape[0] >= num_rows else max(num_rows, 2 * kept.shape[0])
            num_columns = kept.shape[2] if kept.shape[2] >= num_columns else num_columns * 3 // 2
        larger = new_RHLD.new_zeros(num_rows, new_RHLD.shape[1], num_columns, new_RHLD.shape[3])
        if kept is not None:
            larger[: kept.shape[0], :, : kept.shape[2]] = kept
        return larger


def row_range(states: Sequence[DialogueState]) -> slice:
    """The range of rows from the first to the last of these dialogues."""
    rows = [state.row for state in states]
    return slice(min(rows), max(rows) + 1)


def causal_mask(known: int, end: int, device: torch.device) -> Tensor | None:
    """Boolean causal mask [1, 1, end - known, end] of the tokens from `known` to `end`; None if `known` is 0."""
    if known == 0:
        return None
    return torch.ones(end - known, end, dtype=torch.bool, device=device).tril(known)[None, None]


def has_full_attention(config: Any) -> bool:
    """True if no layer uses sliding-window attention, so that the KV cache can be truncated at any token."""
    text = config.get_text_config()
    kinds = getattr(text, "layer_types", None)
    if kinds:
        return all(kind == "full_attention" for kind in kinds)
    return getattr(text, "sliding_window", None) is None
