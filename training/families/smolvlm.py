"""SmolVLM / SmolVLM2 (Hugging Face, arXiv 2504.05299), of the Idefics3 family: images as rows and columns of tiles.

Its generation prompt is `Assistant:`, so the space before an answer has loss.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.families.family import TINY_VISION, Family, Images, tiny_text_settings, trl_template


def _join_images(images: Sequence[Images]) -> Images:
    """One row with all tiles in order, without padding tiles, which the model would drop."""
    import torch

    names = {name: None for one in images for name in one}
    return {name: torch.cat([one[name][0] for one in images])[None] for name in names}


def _count_image_tokens(processor: Any, width: int, height: int, several: bool) -> int:
    _, rows, columns = processor.image_processor.get_number_of_image_patches(height, width)
    text = processor.replace_image_token({"rows": [[rows]], "cols": [[columns]]}, 0)
    return len(processor.tokenizer(text, add_special_tokens=False)["input_ids"])


def _to_tiny(tokenizer: Any) -> tuple[Any, Any]:
    from transformers import (
        LlamaConfig,
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
    )
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

    token_id = tokenizer.convert_tokens_to_ids
    text = tiny_text_settings(tokenizer, FAMILY.end_of_turn)
    tile = {"longest_edge": 64}
    config = SmolVLMConfig(
        text_config=LlamaConfig(**text),
        vision_config=TINY_VISION | {"image_size": 64, "patch_size": 16},
        image_token_id=token_id("<image>"),
        pad_token_id=text["pad_token_id"],
        scale_factor=2,
        tie_word_embeddings=True,
    )
    processor = SmolVLMProcessor(
        image_processor=SmolVLMImageProcessor(size={"longest_edge": 128}, max_image_size=tile, do_image_splitting=True),
        tokenizer=tokenizer,
        video_processor=SmolVLMVideoProcessor(size=tile, max_image_size=tile),
        image_seq_len=4,
        chat_template=FAMILY.chat_template,
    )
    return SmolVLMForConditionalGeneration(config), processor


FAMILY = Family(
    model_type="smolvlm",
    chat_template=trl_template("smolvlm"),
    parts={
        "vision": ("model.vision_model.",),
        "connector": ("model.connector.",),
        "language": ("model.text_model.", "lm_head."),
    },
    special_tokens=(
        "<|endoftext|>", "<|im_start|>", "<end_of_utterance>", "<image>", "<video>",
        "<fake_token_around_image>", "<global-img>",
        *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
    ),
    end_of_turn="<end_of_utterance>",
    to_tiny=_to_tiny,
    join_images=_join_images,
    count_image_tokens=_count_image_tokens,
)  # fmt: skip
