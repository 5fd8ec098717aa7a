"""Causal attention of the prefill on a CPU, block by block: new tokens to all before them.

A block of new tokens is compared only with the columns that one of its tokens may see. There is no mask of all new
tokens by all columns, and keys and values that several heads share aren't copied for each head.

Dimensions: R rows, H heads, K key-value heads, T new tokens, L columns, B tokens of a block, D head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, sdpa_mask

BLOCK = 128  # 64 to 256 differ by less than a tenth


class BlockAttention:
    """An attention function in the form that transformers calls."""

    def __init__(self) -> None:
        self._unseen_BL: Tensor | None = None

    def __call__(
        self,
        module: Any,
        query_RHTD: Tensor,
        key_RKLD: Tensor,
        value_RKLD: Tensor,
        attention_mask: Tensor | None,
        scaling: float | None = None,
        **kwargs: Any,
    ) -> tuple[Tensor, None]:
        """What the new tokens take from the columns, `(R, T, H, D)`; without a mask they are the last columns."""
        num_rows, num_heads, num_new, _ = query_RHTD.shape
        if attention_mask is not None or num_new == 1:
            attended: tuple[Tensor, None] = sdpa_attention_forward(
                module, query_RHTD, key_RKLD, value_RKLD, attention_mask, scaling=scaling, **kwargs
            )
            return attended
        taken_RTHD = query_RHTD.new_empty(num_rows, num_new, num_heads, value_RKLD.shape[3])
        for start in range(0, num_new, BLOCK):
            block_RHBD = query_RHTD[:, :, start : start + BLOCK]
            end = key_RKLD.shape[2] - num_new + start + block_RHBD.shape[2]
            taken_RTHD[:, start : start + BLOCK] = scaled_dot_product_attention(
                block_RHBD,
                key_RKLD[:, :, :end],
                value_RKLD[:, :, :end],
                attn_mask=self._unseen(block_RHBD, end),
                scale=scaling,
                enable_gqa=True,
            ).transpose(1, 2)
        return taken_RTHD, None

    def _unseen(self, block_RHBD: Tensor, end: int) -> Tensor:
        """Minus infinity where a token of a block doesn't see a column, `(B, end)`; the block is the last columns."""
        unseen_BL = self._unseen_BL
        if unseen_BL is None or unseen_BL.shape[1] < end + BLOCK or unseen_BL.dtype != block_RHBD.dtype:
            first_later = 2 * end + 1
            unseen_BL = block_RHBD.new_full((BLOCK, first_later + BLOCK), -torch.inf).triu(first_later)
            self._unseen_BL = unseen_BL
        num, offset = block_RHBD.shape[2], unseen_BL.shape[1] - BLOCK - 1
        return unseen_BL[:num, offset + num - end : offset + num]


def block_mask(*args: Any, mask_function: Any = causal_mask_function, **kwargs: Any) -> Tensor | None:
    """No mask where each token sees all before it; else the one that the model asks for."""
    if mask_function is causal_mask_function and kwargs.get("attention_mask") is None:
        return None
    mask: Tensor | None = sdpa_mask(*args, mask_function=mask_function, **kwargs)
    return mask


def use_block_attention(model: Any) -> bool:
    """Let the text layers read in blocks; False, and nothing changed, off the CPU or if they attend otherwise."""
    text = model.config.get_text_config()
    names = [name for name in model.config.sub_configs if getattr(model.config, name) is text]
    if model.device.type != "cpu" or text._attn_implementation != "sdpa" or len(names) != 1:
        return False
    AttentionInterface.register("mmcr_blocks", BlockAttention())
    AttentionMaskInterface.register("mmcr_blocks", block_mask)
    model.set_attn_implementation({names[0]: "mmcr_blocks"})
    return bool(text._attn_implementation == "mmcr_blocks")
