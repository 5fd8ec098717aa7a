"""Block-wise causal attention of the prefill on a CPU.

A block of new tokens attends only to the columns that one of its tokens may see, so there is no full [T, L] mask, and
keys and values shared by several heads (GQA) aren't copied for each head.

Shapes: R rows, H heads, K key-value heads, T new tokens, L columns, B tokens of a block, D head size.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import sdpa_attention_forward
from transformers.masking_utils import causal_mask_function, sdpa_mask

BLOCK = 128  # tokens; run time from 64 to 256 differs by less than 10 %


class BlockAttention:
    """An attention function with the interface of transformers."""

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
        """Attention output [R, T, H, D] of the new tokens; without a mask these are the last columns."""
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
        """Additive mask [B, end] of a block, which is the last columns: -inf where a token doesn't see a column."""
        unseen_BL = self._unseen_BL
        if unseen_BL is None or unseen_BL.shape[1] < end + BLOCK or unseen_BL.dtype != block_RHBD.dtype:
            first_later = 2 * end + 1
            unseen_BL = block_RHBD.new_full((BLOCK, first_later + BLOCK), -torch.inf).triu(first_later)
            self._unseen_BL = unseen_BL
        num, offset = block_RHBD.shape[2], unseen_BL.shape[1] - BLOCK - 1
        return unseen_BL[:num, offset + num - end : offset + num]


def block_mask(*args: Any, mask_function: Any = causal_mask_function, **kwargs: Any) -> Tensor | None:
    """None for plain causal attention, else the mask that the model requests."""
    if mask_function is causal_mask_function and kwargs.get("attention_mask") is None:
        return None
    mask: Tensor | None = sdpa_mask(*args, mask_function=mask_function, **kwargs)
    return mask


def use_block_attention(model: Any) -> bool:
    """Switch the text layers to block-wise attention; False, without change, unless they run SDPA on a CPU."""
    text = model.config.get_text_config()
    names = [name for name in model.config.sub_configs if getattr(model.config, name) is text]
    if model.device.type != "cpu" or text._attn_implementation != "sdpa" or len(names) != 1:
        return False
    AttentionInterface.register("mmcr_blocks", BlockAttention())
    AttentionMaskInterface.register("mmcr_blocks", block_mask)
    model.set_attn_implementation({names[0]: "mmcr_blocks"})
    return bool(text._attn_implementation == "mmcr_blocks")
