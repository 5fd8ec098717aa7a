"""Tiny models with plain positions."""

from __future__ import annotations

from typing import Any

import torch

from benchmarks.tiny.model import CHATML, PATCH, SIDE, SIZE, VISION, Tiny, content_template
from training.families import load_family
from training.families.family import chatml_template

INTERNVL = {
    "start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>",
    "video_token": "<video>",
}  # fmt: skip
MISTRAL = {"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"}
GEMMA = {"image_token": "<image_soft_token>", "boi_token": "<start_of_image>", "eoi_token": "<end_of_image>"}
GEMMA_TEMPLATE = (
    "{% for message in messages %}<start_of_turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    f"{content_template('<start_of_image>')}"
    "<end_of_turn>\n{% endfor %}{% if add_generation_prompt %}<start_of_turn>model\n{% endif %}"
)
VICUNA_TEMPLATE = (
    "{% for message in messages %}{{ message['role'] | upper }}: "
    f"{content_template('<image>')}"
    "{% if message['role'] == 'assistant' %}</s>{% else %} {% endif %}{% endfor %}"
    "{% if add_generation_prompt %}ASSISTANT: {% endif %}"
)
MISTRAL_TEMPLATE = (
    "{% for message in messages %}{% if message['role'] == 'assistant' %}"
    f" {content_template('[IMG]')}</s>"
    "{% else %}[INST]"
    f"{content_template('[IMG]')}[/INST]"
    "{% endif %}{% endfor %}"
)
ROWS = tuple(f"<row_{row}_col_{column}>" for row in range(1, 7) for column in range(1, 7))


def _internvl(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    length = (SIDE // PATCH // 2) ** 2
    config = t.InternVLConfig(
        text_config=t.Qwen2Config(**text), vision_config=t.InternVLVisionConfig(**VISION),
        image_token_id=tokenizer.context_image_token_id, image_seq_length=length, tie_word_embeddings=True,
    )  # fmt: skip
    images = t.GotOcr2ImageProcessor(crop_to_patches=True, size=SIZE, min_patches=1, max_patches=4)
    videos = t.InternVLVideoProcessor(size=SIZE)
    processor = t.InternVLProcessor(images, tokenizer, videos, image_seq_length=length)
    return t.InternVLForConditionalGeneration(config), processor


def _llava(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.LlavaConfig(
        text_config=t.LlamaConfig(**text), vision_config=t.CLIPVisionConfig(**VISION),
        image_token_index=tokenizer.image_token_id, tie_word_embeddings=True,
    )  # fmt: skip
    images = t.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIZE)
    processor = t.LlavaProcessor(images, tokenizer, PATCH, "default", num_additional_image_tokens=1)
    return t.LlavaForConditionalGeneration(config), processor


def _llava_next(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    grids = [[SIDE * rows, SIDE * columns] for rows in (1, 2) for columns in (1, 2)]
    config = t.LlavaNextConfig(
        text_config=t.MistralConfig(**text), vision_config=t.CLIPVisionConfig(**VISION),
        image_token_index=tokenizer.image_token_id, image_grid_pinpoints=grids, tie_word_embeddings=True,
    )  # fmt: skip
    images = t.LlavaNextImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIZE, image_grid_pinpoints=grids)
    processor = t.LlavaNextProcessor(images, tokenizer, PATCH, "default", num_additional_image_tokens=1)
    return t.LlavaNextForConditionalGeneration(config), processor


def _gemma3(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.Gemma3Config(
        text_config=t.Gemma3TextConfig(**text | {"head_dim": 32, "sliding_window": 64}),
        vision_config=t.SiglipVisionConfig(**VISION, vision_use_head=False), mm_tokens_per_image=4,
        boi_token_index=tokenizer.boi_token_id, eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
    )  # fmt: skip
    processor = t.Gemma3Processor(t.Gemma3ImageProcessor(size=SIZE), tokenizer, image_seq_length=4)
    model = t.Gemma3ForConditionalGeneration(config)
    torch.nn.init.normal_(model.model.multi_modal_projector.mm_input_projection_weight, std=0.02)  # zero by default
    return model, processor


def _idefics3(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    vision = VISION | {"image_size": 64, "patch_size": 16}
    config = t.Idefics3Config(
        text_config=t.LlamaConfig(**text), vision_config=vision, image_token_id=tokenizer.image_token_id,
        pad_token_id=text["pad_token_id"], scale_factor=2, tie_word_embeddings=True,
    )  # fmt: skip
    edge = {"longest_edge": 64}
    images = t.Idefics3ImageProcessor(size={"longest_edge": 128}, max_image_size=edge, do_image_splitting=True)
    return t.Idefics3ForConditionalGeneration(config), t.Idefics3Processor(images, tokenizer, image_seq_len=4)


def _mistral3(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.Mistral3Config(
        text_config=t.MistralConfig(**text), vision_config=t.PixtralVisionConfig(**VISION | {"head_dim": 24}),
        image_token_index=tokenizer.image_token_id, spatial_merge_size=2, tie_word_embeddings=True,
    )  # fmt: skip
    images = t.PixtralImageProcessor(size={"longest_edge": 112}, patch_size={"height": PATCH, "width": PATCH})
    processor = t.PixtralProcessor(images, tokenizer, patch_size=PATCH, spatial_merge_size=2, image_token="[IMG]")
    return t.Mistral3ForConditionalGeneration(config), processor


PLAIN = {
    "gemma3": Tiny(GEMMA_TEMPLATE, "<end_of_turn>", GEMMA, ("<start_of_turn>",), _gemma3),
    "idefics3": Tiny(
        load_family("smolvlm").chat_template, "<end_of_utterance>", {"image_token": "<image>"},
        ("<|im_start|>", "<fake_token_around_image>", "<global-img>", *ROWS), _idefics3,
    ),
    "internvl": Tiny(chatml_template("<IMG_CONTEXT>"), "<|im_end|>", INTERNVL, CHATML, _internvl),
    "llava": Tiny(VICUNA_TEMPLATE, "</s>", {"image_token": "<image>"}, (), _llava),
    "llava_next": Tiny(VICUNA_TEMPLATE, "</s>", {"image_token": "<image>"}, (), _llava_next),
    "mistral3": Tiny(MISTRAL_TEMPLATE, "</s>", MISTRAL, ("[INST]", "[/INST]"), _mistral3),
}  # fmt: skip
