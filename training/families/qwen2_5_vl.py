"""Qwen2.5-VL (Alibaba, arXiv 2502.13923): native resolution, M-RoPE."""

from __future__ import annotations

from typing import Any

from training.families.family import Family, chatml_template, count_patch_tokens, tiny_text_settings


def _to_tiny(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    token_id = tokenizer.convert_tokens_to_ids
    text = tiny_text_settings(tokenizer, FAMILY.end_of_turn)
    text["rope_parameters"] = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6}
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config={
            "depth": 2,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_heads": 2,
            "patch_size": 14,
            "spatial_merge_size": 2,
            "window_size": 56,
            "out_hidden_size": text["hidden_size"],
            "fullatt_block_indexes": [1],
        },
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    processor = Qwen2_5_VLProcessor(
        image_processor=Qwen2VLImageProcessor(min_pixels=56 * 56, max_pixels=112 * 112),
        tokenizer=tokenizer,
        video_processor=Qwen2VLVideoProcessor(),
        chat_template=FAMILY.chat_template,
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


FAMILY = Family(
    model_type="qwen2_5_vl",
    chat_template=chatml_template(
        image="<|vision_start|><|image_pad|><|vision_end|>", system="You are a helpful assistant."
    ),
    parts={
        "vision": ("model.visual.patch_embed.", "model.visual.blocks.", "model.visual.rotary"),
        "connector": ("model.visual.merger.",),
        "language": ("model.language_model.", "lm_head."),
    },
    special_tokens=(
        "<|endoftext|>", "<|im_start|>", "<|im_end|>",
        "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
    ),
    end_of_turn="<|im_end|>",
    to_tiny=_to_tiny,
    uint8_pixels=True,
    count_image_tokens=count_patch_tokens,
    has_m_rope=True,
)  # fmt: skip
