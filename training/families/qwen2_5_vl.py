"""Qwen2.5-VL (Alibaba, arXiv 2502.13923): native resolution, M-RoPE."""

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
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    text = tiny_text_settings(tokenizer, FAMILY.end_of_turn)
    text["rope_parameters"] = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6}
    config = Qwen2_5_VLConfig(
        text_config=text,
        vision_config=TINY_QWEN_VISION | {"patch_size": 14, "window_size": 56, "fullatt_block_indexes": [1]},
        **qwen_ids(tokenizer),
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
    chat_template=trl_template("qwen2_5_vl"),
    parts={
        "vision": ("model.visual.patch_embed.", "model.visual.blocks.", "model.visual.rotary"),
        "connector": ("model.visual.merger.",),
        "language": ("model.language_model.", "lm_head."),
    },
    special_tokens=QWEN_TOKENS,
    end_of_turn="<|im_end|>",
    to_tiny=_to_tiny,
    uint8_pixels=True,
    has_m_rope=True,
    count_image_tokens=count_patch_tokens,
)  # fmt: skip
