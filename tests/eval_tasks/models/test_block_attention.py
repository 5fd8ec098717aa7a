"""Attention block by block is attention to all that a token may see."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from transformers import AutoModelForImageTextToText

from eval_tasks.models.block_attention import BlockAttention, block_mask, use_block_attention


@pytest.mark.parametrize(("num_before", "num_new"), [(0, 2), (0, 300), (7, 128), (500, 129), (3, 1)])
def test_new_tokens_see_what_a_whole_mask_lets_them_see(num_before: int, num_new: int) -> None:
    torch.manual_seed(0)
    query, end = torch.randn(1, 4, num_new, 16), num_before + num_new
    key, value = torch.randn(1, 2, end, 16), torch.randn(1, 2, end, 16)
    seen = torch.ones(num_new, end, dtype=torch.bool).tril(num_before)
    scores = (query @ key.repeat_interleave(2, 1).transpose(2, 3)) / 4
    expected = scores.masked_fill(~seen, -torch.inf).softmax(-1) @ value.repeat_interleave(2, 1)
    taken, _ = BlockAttention()(SimpleNamespace(num_key_value_groups=2), query, key, value, None)
    torch.testing.assert_close(taken, expected.transpose(1, 2))


def test_a_longer_read_after_a_short_one_and_a_shorter_after_that_are_right() -> None:
    attend, module = BlockAttention(), SimpleNamespace(num_key_value_groups=1)
    for num in (4, 700, 150):
        query, key, value = torch.randn(3, 1, 2, num, 8).unbind()
        expected = torch.nn.functional.scaled_dot_product_attention(query, key, value, is_causal=True)
        torch.testing.assert_close(attend(module, query, key, value, None)[0], expected.transpose(1, 2))


def test_a_model_that_sees_more_than_what_is_before_gets_its_own_mask() -> None:
    sizes = {"batch_size": 1, "q_length": 3, "kv_length": 3, "device": "cpu"}
    assert block_mask(**sizes) is None
    mask = block_mask(**sizes, mask_function=lambda b, h, q, k: (k <= q) | (k < 2), allow_is_causal_skip=False)
    assert mask is not None
    assert mask[0, 0].tolist() == [[True, True, False], [True, True, False], [True, True, True]]


def test_a_model_that_attends_otherwise_stays_as_it_is(tiny_ovis2: Path) -> None:
    eager = AutoModelForImageTextToText.from_pretrained(tiny_ovis2, attn_implementation="eager")
    assert not use_block_attention(eager)
    assert eager.config.get_text_config()._attn_implementation == "eager"
    model = AutoModelForImageTextToText.from_pretrained(tiny_ovis2)
    assert use_block_attention(model)
    assert model.config.vision_config._attn_implementation == "sdpa"
