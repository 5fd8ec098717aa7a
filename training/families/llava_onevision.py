"""LLaVA-OneVision (arXiv 2408.03326): a grid of tiles for a single image, one tile each for several.

Its original template moves all images before the text; ours keeps each at its place in the text.
"""

from __future__ import annotations

from typing import Any

from training.families.family import TINY_VISION, Family, chatml_template, tiny_text_settings


def _count_image_tokens(processor: Any, width: int, height: int, several: bool) -> int:
    if several:
        return int(processor.num_image_tokens) + int(processor.vision_feature_select_strategy != "default")
    return int(processor._get_num_multimodal_tokens(image_sizes=[(height, width)])["num_image_tokens"][0])


def _to_tiny(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        Qwen2Config,
        SiglipVisionConfig,
    )

    token_id = tokenizer.convert_tokens_to_ids
    text = tiny_text_settings(tokenizer, FAMILY.end_of_turn)
    side_px, patch_px = 56, 14
    grids = [[side_px * rows, side_px * columns] for rows in (1, 2) for columns in (1, 2)]
    size = {"height": side_px, "width": side_px}
    config = LlavaOnevisionConfig(
        text_config=Qwen2Config(**text),
        vision_config=SiglipVisionConfig(**TINY_VISION, image_size=side_px, patch_size=patch_px, vision_use_head=False),
        image_token_index=token_id("<image>"),
        video_token_index=token_id("<video>"),
        image_grid_pinpoints=grids,
        tie_word_embeddings=True,
    )
    processor = LlavaOnevisionProcessor(
        image_processor=LlavaOnevisionImageProcessor(size=size, image_grid_pinpoints=grids),
        tokenizer=tokenizer,
        video_processor=LlavaOnevisionVideoProcessor(size=size),
        num_image_tokens=(side_px // patch_px) ** 2,
        vision_feature_select_strategy="full",
        chat_template=FAMILY.chat_template,
    )
    return LlavaOnevisionForConditionalGeneration(config), processor


FAMILY = Family(
    model_type="llava_onevision",
    chat_template=chatml_template("<image>"),
    parts={
        "vision": ("model.vision_tower.",),
        "connector": ("model.multi_modal_projector.", "model.image_newline"),
        "language": ("model.language_model.", "lm_head."),
    },
    special_tokens=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<video>"),
    end_of_turn="<|im_end|>",
    to_tiny=_to_tiny,
    count_image_tokens=_count_image_tokens,
)
