"""Attention `varlen`: torch's variable-length flash attention for packed dialogues, without an extra package.

On a GPU `torch.nn.attention.varlen`, in one 16-bit dtype (rotary embeddings leave queries and keys in float32 under
autocast); elsewhere scaled-dot-product attention per dialogue. Neither computes attention
across dialogues, which masked implementations compute and discard.

Shapes: H heads, L tokens of a bin, D head size, N dialogues.
"""

from __future__ import annotations

import itertools
from typing import Any

import torch
from torch.nn.functional import scaled_dot_product_attention

NAME = "dialogue_varlen"
HALF = (torch.bfloat16, torch.float16)  # what the kernel takes
MAX_HEAD = 256  # largest head size of the kernel, in steps of 8


def register_varlen() -> str:
    """Register the attention with transformers; returns its name."""
    from transformers import AttentionInterface

    AttentionInterface.register(NAME, attend)
    return NAME


def attend(
    module: torch.nn.Module,
    query_1HLD: torch.Tensor,
    key_1HLD: torch.Tensor,
    value_1HLD: torch.Tensor,
    attention_mask: torch.Tensor | None,
    scaling: float | None = None,
    dropout: float = 0.0,
    cu_seq_lens_q: torch.Tensor | None = None,
    max_length_q: int | None = None,
    sliding_window: int | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Causal attention within each dialogue; without `cu_seq_lens_q` (generation) plain attention.

    Args:
        module: the attention layer.
        query_1HLD: queries.
        key_1HLD: keys, possibly of fewer heads (GQA).
        value_1HLD: values, like the keys.
        attention_mask: [1, 1, L, L] in generation; None for packed rows.
        scaling: scale of the scores.
        dropout: ignored.
        cu_seq_lens_q: boundaries of the dialogues, shape [N + 1].
        max_length_q: length of the longest dialogue.
        sliding_window: number of tokens that a token attends to, itself included; None for all before it.
        **kwargs: ignored.

    Returns:
        [1, L, H, D], and no weights.
    """
    if cu_seq_lens_q is None or max_length_q is None:
        causal = attention_mask is None and query_1HLD.shape[2] > 1
        return _plain(query_1HLD, key_1HLD, value_1HLD, attention_mask, causal, scaling), None
    assert attention_mask is None, "a packed row is distinguished by cu_seq_lens, not by a mask"
    dtype = kernel_dtype(query_1HLD, key_1HLD, value_1HLD)
    if query_1HLD.is_cuda and dtype is not None:
        from torch.nn.attention.varlen import varlen_attn

        query_LHD, key_LHD, value_LHD = (x[0].transpose(0, 1).to(dtype) for x in (query_1HLD, key_1HLD, value_1HLD))
        before = -1 if sliding_window is None else sliding_window - 1
        out = varlen_attn(
            query_LHD, key_LHD, value_LHD, cu_seq_lens_q, cu_seq_lens_q, max_length_q, max_length_q,
            scale=scaling, window_size=(before, 0), enable_gqa=key_LHD.shape[1] != query_LHD.shape[1],
        )  # fmt: skip
        assert isinstance(out, torch.Tensor)
        return out[None], None
    begins = cu_seq_lens_q.tolist()
    pieces = []
    for a, b in itertools.pairwise(begins):
        window = _window_mask(b - a, sliding_window, query_1HLD.device)
        query, key, value = (x[:, :, a:b] for x in (query_1HLD, key_1HLD, value_1HLD))
        pieces.append(_plain(query, key, value, window, window is None, scaling))
    return torch.cat(pieces, dim=1), None


def kernel_dtype(*tensors: torch.Tensor) -> torch.dtype | None:
    """The 16-bit dtype for the kernel: of a tensor that has one, else of autocast; None for float32 throughout."""
    for tensor in tensors:
        if tensor.dtype in HALF:
            return tensor.dtype
    kind = tensors[0].device.type
    auto = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else None
    return auto if auto in HALF else None


def _window_mask(length: int, sliding_window: int | None, device: torch.device) -> torch.Tensor | None:
    """Causal mask of a sliding window [T, T]; None if the dialogue fits into it."""
    if sliding_window is None or length <= sliding_window:
        return None
    distance_TT = torch.arange(length, device=device)[:, None] - torch.arange(length, device=device)
    return (distance_TT >= 0) & (distance_TT < sliding_window)


def _plain(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    causal: bool,
    scaling: float | None,
) -> torch.Tensor:
    out = scaled_dot_product_attention(
        query, key, value, attn_mask=mask, is_causal=causal, scale=scaling, enable_gqa=key.shape[1] != query.shape[1]
    )
    return out.transpose(1, 2)
