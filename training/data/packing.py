"""Packing: whole dialogues in one sequence, each attending only to itself; no padding, nothing truncated.

A packed row has no attention mask. Its position ids restart at 0 with each dialogue, from which transformers derives
the block-diagonal mask; models with M-RoPE get an additional first row of plain position ids for that.

Shapes: L tokens of a bin, N dialogues in it.
"""

from __future__ import annotations

import bisect
import heapq
from collections.abc import Callable, Sequence
from typing import Any

import torch

from training.data.encode import Encoded
from training.data.loss_mask import NO_LOSS

Rope = Callable[
    ..., tuple[torch.Tensor, torch.Tensor]
]  # (ids, their types, image grids) -> positions [3, 1, T], deltas
_ENDING = 2.6  # a bin is nearly full when fewer than this many dialogues of median length fit


def rope_of(model: Any) -> Rope | None:
    """`get_rope_index` of a model with M-RoPE, without its weights, for workers; None for plain positions."""
    core = model.base_model
    if not hasattr(core, "get_rope_index"):
        return None
    empty = torch.nn.Module.__new__(type(core))
    torch.nn.Module.__init__(empty)
    empty.config = core.config
    found: Rope = empty.get_rope_index
    return found


def pack(dialogues: Sequence[Encoded], rope: Rope | None = None) -> dict[str, torch.Tensor]:
    """Pack all dialogues into one row, without the images.

    Returns:
        `input_ids`, `labels` [1, L]; `position_ids` [1, L], or [4, 1, L] with M-RoPE; `cu_seq_lens` [N + 1], the
        boundaries of the dialogues; `mm_token_type_ids` [1, L] if the family has them.
    """
    labels = [dialogue.labels_T.clone() for dialogue in dialogues]
    for labels_T in labels:
        labels_T[0] = NO_LOSS  # would be predicted from the last token of the dialogue before
    lengths_N = torch.tensor([len(dialogue) for dialogue in dialogues])
    packed = {
        "input_ids": torch.cat([dialogue.input_ids_T for dialogue in dialogues])[None],
        "labels": torch.cat(labels)[None],
        "position_ids": torch.cat([torch.arange(len(dialogue)) for dialogue in dialogues])[None],
        "cu_seq_lens": torch.cat([torch.zeros(1, dtype=torch.int64), lengths_N.cumsum(0)]).to(torch.int32),
    }
    if rope is not None:
        rows = [_positions_in_three(dialogue, rope) for dialogue in dialogues]
        packed["position_ids"] = torch.cat([packed["position_ids"], torch.cat(rows, dim=1)])[:, None]
        packed["mm_token_type_ids"] = torch.cat([_token_types(dialogue) for dialogue in dialogues])[None]
    return packed


def _token_types(dialogue: Encoded) -> torch.Tensor:
    return torch.zeros_like(dialogue.input_ids_T) if dialogue.token_types_T is None else dialogue.token_types_T


def _positions_in_three(dialogue: Encoded, rope: Rope) -> torch.Tensor:
    """M-RoPE positions [3, T] in time, height and width."""
    positions_31T, _ = rope(
        dialogue.input_ids_T[None],
        mm_token_type_ids=_token_types(dialogue)[None],
        image_grid_thw=dialogue.images.get("image_grid_thw"),
    )
    return positions_31T[:, 0]


def fill_bins(lengths: Sequence[int], room: int) -> list[list[int]]:
    """Bin packing: indices of the dialogues by bin, few bins and none larger than `room` tokens.

    A bin takes the longest dialogues that fit, and last the two that fill it best. Bins are sorted by size, so that
    ranks which take one each in round-robin order have similar work.
    """
    assert max(lengths, default=0) <= room, f"a dialogue of {max(lengths)} tokens for bins of {room}"
    rest = sorted((length, index) for index, length in enumerate(lengths))
    bins = []
    while rest:
        load, one = 0, []
        while chosen := _choose(rest, room - load):
            for place in chosen:  # the larger index first, so that the other stays valid
                length, index = rest.pop(place)
                load += length
                one.append(index)
        bins.append((load, one))
    return [one for _, one in sorted(bins, key=lambda filled: -filled[0])]


def _choose(rest: Sequence[tuple[int, int]], room: int) -> tuple[int, ...]:
    """Indices of the next dialogues of a bin, in a list sorted by length: the longest that fits, or two to fill it."""
    fitting = bisect.bisect_right(rest, room, key=lambda entry: entry[0])
    if not fitting:
        return ()
    best: tuple[int, ...] = (fitting - 1,)
    best_sum = rest[fitting - 1][0]
    if room < _ENDING * rest[len(rest) // 2][0]:
        low, high = 0, fitting - 1
        while low < high:
            both = rest[low][0] + rest[high][0]
            if both > room:
                high -= 1
                continue
            if both > best_sum:
                best, best_sum = (high, low), both
            low += 1
    return best


def spread_evenly(lengths: Sequence[int], num_bins: int) -> list[list[int]]:
    """Indices of the dialogues by bin, balanced over `num_bins`: longest first, each into the least full bin.

    Bins stay empty if there are fewer dialogues than bins.
    """
    bins: list[list[int]] = [[] for _ in range(num_bins)]
    heap = [(0, number) for number in range(num_bins)]
    for index in sorted(range(len(lengths)), key=lambda index: (-lengths[index], index)):
        load, number = heapq.heappop(heap)
        bins[number].append(index)
        heapq.heappush(heap, (load + lengths[index], number))
    return bins
