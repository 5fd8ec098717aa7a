"""Qwen3-VL (Alibaba, arXiv 2511.21631): as Qwen2.5-VL, with DeepStack features and without a system prompt."""

from __future__ import annotations

from typing import Any

from training.families.family import Family, chatml_template, count_patch_tokens, tiny_text_settings


def _to_tiny(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    token_id = tokenizer.convert_tokens_to_ids
    text = tiny_text_settings(tokenizer, FAMILY.end_of_turn) | {"head_dim": 32}
    text["rope_parameters"] = {
        "rope_type": "default", "mrope_section": [6, 5, 5], "rope_theta": 5e6, "mrope_interleaved": True,
    }  # fmt: skip
    config = Qwen3VLConfig(
        text_config=text,
        vision_config={
            "depth": 2,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_heads": 2,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "out_hidden_size": text["hidden_size"],
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=token_id("<|image_pad|>"),
        video_token_id=token_id("<|video_pad|>"),
        vision_start_token_id=token_id("<|vision_start|>"),
        vision_end_token_id=token_id("<|vision_end|>"),
        tie_word_embeddings=True,
    )
    processor = Qwen3VLProcessor(
        image_processor=Qwen2VLImageProcessor(patch_size=16, min_pixels=64 * 64, max_pixels=128 * 128),
        tokenizer=tokenizer,
        video_processor=Qwen3VLVideoProcessor(),
        chat_template=FAMILY.chat_template,
    )
    return Qwen3VLForConditionalGeneration(config), processor


FAMILY = Family(
    model_type="qwen3_vl",
    chat_template=chatml_template(image="<|vision_start|><|image_pad|><|vision_end|>", system=None),
    parts={
        "vision": ("model.visual.patch_embed.", "model.visual.pos_embed.", "model.visual.blocks."),
        "connector": ("model.visual.merger.", "model.visual.deepstack_merger_list."),
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
