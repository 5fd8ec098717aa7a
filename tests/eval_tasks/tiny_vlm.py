"""Tiny random-weight checkpoints of the supported families, written to disk as a user's checkpoint would be."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

SPECIAL = [
    *("<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|image_pad|>"),
    *("<|video_pad|>", "<image>", "<video>", "<IMG_ATOM>", "<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>"),
    *("<IMG_END>", "<fake_token_around_image>", "<global-img>", "<end_of_utterance>"),
    *(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7)),
]
WORDS = ("the", "image", "shows", "a", "red", "bicycle", "near", "an", "old", "stone", "bridge", "people", "walk")
Tower = tuple[int, int]  # the vision tower's width and depth
Built = tuple[Any, Any]  # model and processor
SYSTEM = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"


def chat_template(image: str, system: str = "", images_first: bool = False) -> str:
    """A ChatML template in which an image block becomes `image`."""
    block = "{% if c['type'] == 'image' %}" + image + "{% else %}{{ c['text'] }}{% endif %}"
    blocks = "{% for c in m['content'] %}" + block + "{% endfor %}"
    if images_first:
        picked = "{% for c in m['content'] | selectattr('type', 'equalto', 'KIND') %}"
        blocks = picked.replace("KIND", "image") + image + "{% endfor %}"
        blocks += picked.replace("KIND", "text") + "{{ c['text'] }}{% endfor %}"
    turn = "{{ '<|im_start|>' + m['role'] + '\n' }}" + blocks + "{{ '<|im_end|>\n' }}"
    end = "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
    return system + "{% for m in messages %}" + turn + "{% endfor %}" + end


def make_tokenizer(end: str = "<|im_end|>") -> Any:
    """A byte-level BPE tokenizer trained on the spot."""
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    rng = random.Random(0)
    corpus = [" ".join(rng.choices(WORDS, k=20)) for _ in range(100)] + ["user\nassistant\nsystem\nImage_1: "] * 20
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=500, special_tokens=SPECIAL, initial_alphabet=alphabet, show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    kept = {"pad_token": "<|endoftext|>", "eos_token": end}
    others = [token for token in SPECIAL if token not in kept.values()]
    return PreTrainedTokenizerFast(tokenizer_object=tokenizer, additional_special_tokens=others, **kept)


def write_tiny_vlm(
    family: str,
    folder: Path,
    window: int = 8192,
    seed: int = 0,
    width: int = 64,
    depth: int = 2,
    scale: int = 1,
    tower: Tower = (32, 2),
) -> Path:
    """A checkpoint folder of a family with random weights, spread so that answers depend on what is asked.

    An image becomes `scale * scale` times as many tokens as the smallest there can be.
    """
    import torch

    torch.manual_seed(seed)
    tokenizer = make_tokenizer("<end_of_utterance>" if family == "smolvlm" else "<|im_end|>")
    ids = {token: tokenizer.convert_tokens_to_ids(token) for token in SPECIAL}
    text = {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 2 * width,
        "num_hidden_layers": depth,
        "num_attention_heads": max(4, width // 64),
        "num_key_value_heads": 2,
        "max_position_embeddings": window,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": False,
    }
    model, processor = BUILDERS[family](tokenizer, ids, text, scale, tower)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 0.15)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def build_ovis2(tokenizer: Any, ids: dict[str, int], text: dict[str, Any], scale: int, tower: Tower) -> Built:
    from transformers import (
        Ovis2Config,
        Ovis2ForConditionalGeneration,
        Ovis2ImageProcessor,
        Ovis2Processor,
        Qwen2Config,
    )
    from transformers.models.ovis2.configuration_ovis2 import Ovis2VisionConfig

    indicators = [ids[f"<IMG_{name}>"] for name in ("START", "GRID", "COL", "ROW", "END")]
    vision = Ovis2VisionConfig(
        hidden_size=tower[0],
        intermediate_size=2 * tower[0],
        num_hidden_layers=tower[1],
        num_attention_heads=2,
        image_size=56 * scale,
        patch_size=14,
        vocab_size=128,
        hidden_stride=2,
        num_visual_indicator_tokens=5,
    )
    config = Ovis2Config(
        vision_config=vision,
        text_config=Qwen2Config(**text),
        image_token_id=ids["<IMG_ATOM>"],
        visual_indicator_token_ids=indicators,
        vocab_size=text["vocab_size"],
        hidden_size=text["hidden_size"],
        tie_word_embeddings=False,
    )
    images = Ovis2ImageProcessor(crop_to_patches=True, size={"height": 56 * scale, "width": 56 * scale}, max_patches=4)
    template = chat_template("<image>", SYSTEM)
    processor = Ovis2Processor(images, tokenizer, chat_template=template, image_seq_length=4 * scale**2)
    return Ovis2ForConditionalGeneration(config), processor


def build_qwen2_5_vl(tokenizer: Any, ids: dict[str, int], text: dict[str, Any], scale: int, tower: Tower) -> Built:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessor,
        Qwen2VLVideoProcessor,
    )

    vision = {
        "depth": tower[1],
        "hidden_size": tower[0],
        "intermediate_size": 2 * tower[0],
        "num_heads": 2,
        "patch_size": 14,
        "spatial_merge_size": 2,
        "window_size": 56,
        "out_hidden_size": text["hidden_size"],
        "fullatt_block_indexes": [1],
    }
    rope = {
        "rope_type": "default",
        "mrope_section": [n * _head_dim(text) // 16 for n in (2, 3, 3)],
        "rope_theta": 1e6,
    }
    config = Qwen2_5_VLConfig(text_config=text | {"rope_parameters": rope}, vision_config=vision, **_qwen_ids(ids))
    images = Qwen2VLImageProcessor(min_pixels=(56 * scale) ** 2, max_pixels=(112 * scale) ** 2)
    template = chat_template("<|vision_start|><|image_pad|><|vision_end|>", SYSTEM)
    processor = Qwen2_5_VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(), chat_template=template)
    return Qwen2_5_VLForConditionalGeneration(config), processor


def build_qwen3_vl(tokenizer: Any, ids: dict[str, int], text: dict[str, Any], scale: int, tower: Tower) -> Built:
    from transformers import (
        Qwen2VLImageProcessor,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
        Qwen3VLVideoProcessor,
    )

    vision = {
        "depth": tower[1],
        "hidden_size": tower[0],
        "intermediate_size": 2 * tower[0],
        "num_heads": 2,
        "patch_size": 16,
        "spatial_merge_size": 2,
        "out_hidden_size": text["hidden_size"],
        "num_position_embeddings": 64,
        "deepstack_visual_indexes": [0, 1],
    }
    rope = {
        "rope_type": "default",
        "mrope_section": [n * _head_dim(text) // 16 for n in (4, 2, 2)],
        "rope_theta": 5e6,
        "mrope_interleaved": True,
    }
    config = Qwen3VLConfig(
        text_config=text | {"rope_parameters": rope, "head_dim": _head_dim(text)},
        vision_config=vision,
        **_qwen_ids(ids),
    )
    images = Qwen2VLImageProcessor(patch_size=16, min_pixels=(64 * scale) ** 2, max_pixels=(128 * scale) ** 2)
    template = chat_template("<|vision_start|><|image_pad|><|vision_end|>")
    processor = Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(), chat_template=template)
    return Qwen3VLForConditionalGeneration(config), processor


def _head_dim(text: dict[str, Any]) -> int:
    return int(text["hidden_size"] // text["num_attention_heads"])


def _qwen_ids(ids: dict[str, int]) -> dict[str, Any]:
    return {
        "image_token_id": ids["<|image_pad|>"],
        "video_token_id": ids["<|video_pad|>"],
        "vision_start_token_id": ids["<|vision_start|>"],
        "vision_end_token_id": ids["<|vision_end|>"],
        "tie_word_embeddings": False,
    }


def build_smolvlm(tokenizer: Any, ids: dict[str, int], text: dict[str, Any], scale: int, tower: Tower) -> Built:
    from transformers import (
        LlamaConfig,
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessor,
        SmolVLMProcessor,
    )
    from transformers.models.smolvlm.video_processing_smolvlm import SmolVLMVideoProcessor

    sides = {"size": {"longest_edge": 128 * scale}, "max_image_size": {"longest_edge": 64 * scale}}
    vision = {
        "hidden_size": tower[0],
        "intermediate_size": 2 * tower[0],
        "num_hidden_layers": tower[1],
        "num_attention_heads": 2,
        "image_size": 64 * scale,
        "patch_size": 16,
    }
    config = SmolVLMConfig(
        text_config=LlamaConfig(**text),
        vision_config=vision,
        image_token_id=ids["<image>"],
        scale_factor=2,
        tie_word_embeddings=False,
    )
    images = SmolVLMImageProcessor(do_image_splitting=True, **sides)
    template = chat_template("<image>").replace("<|im_end|>", "<end_of_utterance>")
    video = SmolVLMVideoProcessor(**sides)
    processor = SmolVLMProcessor(images, tokenizer, video, image_seq_len=4 * scale**2, chat_template=template)
    return SmolVLMForConditionalGeneration(config), processor


def build_llava_onevision(tokenizer: Any, ids: dict[str, int], text: dict[str, Any], scale: int, tower: Tower) -> Built:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessor,
        LlavaOnevisionProcessor,
        LlavaOnevisionVideoProcessor,
        Qwen2Config,
        SiglipVisionConfig,
    )

    side = {"size": {"height": 56 * scale, "width": 56 * scale}}
    pins = [[56 * scale * rows, 56 * scale * columns] for rows in (1, 2) for columns in (1, 2)]
    vision = SiglipVisionConfig(
        hidden_size=tower[0],
        intermediate_size=2 * tower[0],
        num_hidden_layers=tower[1],
        num_attention_heads=2,
        image_size=56 * scale,
        patch_size=14,
        vision_use_head=False,
    )
    config = LlavaOnevisionConfig(
        text_config=Qwen2Config(**text),
        vision_config=vision,
        image_token_index=ids["<image>"],
        video_token_index=ids["<video>"],
        image_grid_pinpoints=pins,
        tie_word_embeddings=False,
    )
    processor = LlavaOnevisionProcessor(
        LlavaOnevisionImageProcessor(image_grid_pinpoints=pins, **side),
        tokenizer,
        LlavaOnevisionVideoProcessor(**side),
        num_image_tokens=16 * scale**2,
        vision_feature_select_strategy="full",
        chat_template=chat_template("<image>\n", images_first=True),
    )
    return LlavaOnevisionForConditionalGeneration(config), processor


BUILDERS = {
    "ovis2": build_ovis2,
    "qwen2_5_vl": build_qwen2_5_vl,
    "qwen3_vl": build_qwen3_vl,
    "smolvlm": build_smolvlm,
    "llava_onevision": build_llava_onevision,
}
