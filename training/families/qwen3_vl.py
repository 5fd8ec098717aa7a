"""Qwen3-VL (Alibaba, arXiv 2511.21631): as Qwen2.5-VL, with DeepStack features and without a system prompt."""

from __future__ import annotations

from typing import Any

from training.families.family import (
    QWEN_TOKENS,
    TINY_QWEN_VISION,
    Family,
    count_patch_tokens,
    qwen_ids,
    tiny_text_settings,
    trl_template,
)


def _to_tiny(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    text = tiny_text_settings(tokenizer, FAMILY.end_of_turn) | {"head_dim": 32}
    text["rope_parameters"] = {
        "rope_type": "default", "mrope_section": [6, 5, 5], "rope_theta": 5e6, "mrope_interleaved": True,
    }  # fmt: skip
    config = Qwen3VLConfig(
        text_config=text,
        vision_config=TINY_QWEN_VISION
        | {"patch_size": 16, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]},
        **qwen_ids(tokenizer),
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
    chat_template=trl_template("qwen3_vl"),
    parts={
        "vision": ("model.visual.patch_embed.", "model.visual.pos_embed.", "model.visual.blocks."),
        "connector": ("model.visual.merger.", "model.visual.deepstack_merger_list."),
        "language": ("model.language_model.", "lm_head."),
    },
    special_tokens=QWEN_TOKENS,
    end_of_turn="<|im_end|>",
    to_tiny=_to_tiny,
    uint8_pixels=True,
    has_m_rope=True,
    count_image_tokens=count_patch_tokens,
)  # fmt: skip
