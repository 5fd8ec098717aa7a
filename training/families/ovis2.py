"""Ovis2 (AIDC-AI, arXiv 2405.20797): a visual vocabulary in front of a Qwen2.5 language model.

Labels as in the original code: each answer and its `<|im_end|>`, not the line break after it.
"""

from __future__ import annotations

import math
from typing import Any

from training.families.family import TINY_VISION, Family, chatml_template, tiny_text_settings

_INDICATORS = ("<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>")


def _to_tiny(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import Ovis2Config, Ovis2ForConditionalGeneration, Ovis2ImageProcessor, Ovis2Processor
    from transformers import Qwen2Config as TextConfig
    from transformers.models.ovis2.configuration_ovis2 import Ovis2VisionConfig

    token_id = tokenizer.convert_tokens_to_ids
    side_px, patch_px, stride = 56, 14, 2
    text = tiny_text_settings(tokenizer, FAMILY.end_of_turn)
    vision = Ovis2VisionConfig(
        **TINY_VISION,
        image_size=side_px,
        patch_size=patch_px,
        vocab_size=128,
        hidden_stride=stride,
        num_visual_indicator_tokens=len(_INDICATORS),
    )
    config = Ovis2Config(
        vision_config=vision,
        text_config=TextConfig(**text),
        image_token_id=token_id("<IMG_ATOM>"),
        visual_indicator_token_ids=[token_id(token) for token in _INDICATORS],
        vocab_size=len(tokenizer),
        hidden_size=text["hidden_size"],
        tie_word_embeddings=True,
    )
    images = Ovis2ImageProcessor(
        crop_to_patches=True, size={"height": side_px, "width": side_px}, min_patches=1, max_patches=4
    )
    processor = Ovis2Processor(
        image_processor=images,
        tokenizer=tokenizer,
        chat_template=FAMILY.chat_template,
        image_seq_length=(side_px // patch_px // stride) ** 2,
    )
    return Ovis2ForConditionalGeneration(config), processor


def _count_image_tokens(processor: Any, width: int, height: int, several: bool) -> int:
    from transformers.models.ovis2.image_processing_ovis2 import get_min_tile_covering_grid

    from training.ovis2.tiling import OriginalTiling

    images = processor.image_processor
    side_px = int(images.size["height"])
    if isinstance(images, OriginalTiling):
        tiles = math.prod(images.grid(width, height, several))
    elif images.crop_to_patches and images.max_patches > 1:
        tiles = math.prod(get_min_tile_covering_grid((height, width), side_px, images.max_patches))
    else:
        tiles = 1
    whole, rest = int(processor.image_seq_length), 3  # start, separator after the thumbnail, end
    return whole + rest + (tiles * (whole + 1) - 1 if tiles > 1 else 0)


def _save_memory(model: Any) -> None:
    from training.ovis2.head import chunk_visual_head

    chunk_visual_head(model)


FAMILY = Family(
    model_type="ovis2",
    chat_template=chatml_template("<image>", system=True),
    parts={
        "vision": ("model.vision_tower.transformer.",),
        "connector": ("model.vision_tower.head_", "model.visual_embeddings_table."),
        "language": ("model.language_model.", "lm_head."),
    },
    special_tokens=("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<image>", "<IMG_ATOM>", *_INDICATORS),
    end_of_turn="<|im_end|>",
    to_tiny=_to_tiny,
    uint8_pixels=True,
    count_image_tokens=_count_image_tokens,
    save_memory=_save_memory,
)
