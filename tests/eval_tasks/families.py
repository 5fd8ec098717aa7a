"""Tiny random-weight checkpoints of further families, each built like the published ones: image tokens, template, ends.

`FAMILIES` has a builder for each; tiny_vlm.py has the five that training supports too. `why_not_walked` has the others.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

from tests.eval_tasks.tiny_vlm import BUILDERS, Built, chat_template, make_tokenizer, write_tiny_vlm

QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"


def text_of(tokenizer: Any, **changed: Any) -> dict[str, Any]:
    """Settings of a small text model."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 4096,
        "bos_token_id": None,
        "eos_token_id": tokenizer.eos_token_id,
        "pad_token_id": tokenizer.pad_token_id,
        "tie_word_embeddings": False,
        **changed,
    }


def vision_of(**changed: Any) -> dict[str, Any]:
    """Settings of a small vision tower."""
    base = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    return {**base, "image_size": 56, "patch_size": 14, **changed}


def with_first_token(tokenizer: Any) -> None:
    """The tokenizer writes a first token before every text, as Llama's and Gemma's do."""
    from tokenizers import processors

    tokenizer.add_special_tokens({"bos_token": "<|begin|>"})
    first = [("<|begin|>", tokenizer.bos_token_id)]
    tokenizer.backend_tokenizer.post_processor = processors.TemplateProcessing(
        single="<|begin|> $A", pair="<|begin|> $A $B", special_tokens=first
    )


def name_tokens(tokenizer: Any, **tokens: str) -> None:
    """Special tokens of a family, as attributes of its tokenizer that are saved with it: `image_token`, ..."""
    tokenizer.add_special_tokens({"additional_special_tokens": list(tokens.values())})
    tokenizer._set_model_specific_special_tokens(tokens)


def qwen_ids(tokenizer: Any) -> dict[str, Any]:
    names = {"image_token_id": "image_pad", "video_token_id": "video_pad"}
    names |= {"vision_start_token_id": "vision_start", "vision_end_token_id": "vision_end"}
    ids = {name: tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()}
    return {**ids, "tie_word_embeddings": False}


def build_llava(tokenizer: Any) -> Built:
    from transformers import (
        CLIPImageProcessor,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    config = LlavaConfig(
        text_config=LlamaConfig(**text_of(tokenizer)),
        vision_config=CLIPVisionConfig(**vision_of()),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    images = CLIPImageProcessor(size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56})
    processor = LlavaProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat_template("<image>\n", images_first=True),
    )
    return LlavaForConditionalGeneration(config), processor


def build_llava_next(tokenizer: Any) -> Built:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessor,
        LlavaNextProcessor,
    )

    pins = [[56, 112], [112, 56], [112, 112]]
    config = LlavaNextConfig(
        text_config=LlamaConfig(**text_of(tokenizer)),
        vision_config=CLIPVisionConfig(**vision_of()),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=pins,
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    images = LlavaNextImageProcessor(
        size={"shortest_edge": 56}, crop_size={"height": 56, "width": 56}, image_grid_pinpoints=pins
    )
    processor = LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=chat_template("<image>\n", images_first=True),
    )
    return LlavaNextForConditionalGeneration(config), processor


def build_internvl(tokenizer: Any) -> Built:
    from transformers import (
        GotOcr2ImageProcessor,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVideoProcessor,
        InternVLVisionConfig,
        Qwen2Config,
    )

    tokens = {"start_image_token": "<img>", "end_image_token": "</img>", "context_image_token": "<IMG_CONTEXT>"}
    name_tokens(tokenizer, **tokens, video_token="<video>")
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(**vision_of(image_size=[56, 56], patch_size=[14, 14])),
        text_config=Qwen2Config(**text_of(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        tie_word_embeddings=False,
    )
    images = GotOcr2ImageProcessor(crop_to_patches=True, size={"height": 56, "width": 56}, max_patches=4)
    processor = InternVLProcessor(
        images, tokenizer, InternVLVideoProcessor(), image_seq_length=4, chat_template=chat_template("<IMG_CONTEXT>\n")
    )
    return InternVLForConditionalGeneration(config), processor


def build_qwen2_vl(tokenizer: Any) -> Built:
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessor,
        Qwen2VLProcessor,
        Qwen2VLVideoProcessor,
    )

    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e6}
    vision = {"depth": 2, "embed_dim": 32, "hidden_size": 64, "num_heads": 2, "patch_size": 14, "mlp_ratio": 2}
    config = Qwen2VLConfig(
        text_config=text_of(tokenizer, rope_parameters=rope), vision_config=vision, **qwen_ids(tokenizer)
    )
    images = Qwen2VLImageProcessor(min_pixels=56**2, max_pixels=112**2)
    processor = Qwen2VLProcessor(images, tokenizer, Qwen2VLVideoProcessor(), chat_template=chat_template(QWEN_IMAGE))
    return Qwen2VLForConditionalGeneration(config), processor


def qwen3_parts(tokenizer: Any) -> tuple[dict[str, Any], dict[str, Any], Any]:
    """Rope, vision settings and processor that Qwen3-VL's relatives share."""
    from transformers import Qwen2VLImageProcessor, Qwen3VLProcessor, Qwen3VLVideoProcessor

    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 5e6, "mrope_interleaved": True}
    vision = {"depth": 2, "hidden_size": 32, "intermediate_size": 64, "num_heads": 2, "patch_size": 16}
    vision |= {"spatial_merge_size": 2, "out_hidden_size": 64, "num_position_embeddings": 64}
    images = Qwen2VLImageProcessor(patch_size=16, min_pixels=64**2, max_pixels=128**2)
    template = chat_template(QWEN_IMAGE)
    return rope, vision, Qwen3VLProcessor(images, tokenizer, Qwen3VLVideoProcessor(), chat_template=template)


def build_qwen3_vl_moe(tokenizer: Any) -> Built:
    from transformers import Qwen3VLMoeConfig, Qwen3VLMoeForConditionalGeneration

    rope, vision, processor = qwen3_parts(tokenizer)
    text = text_of(tokenizer, rope_parameters=rope, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=32)
    vision |= {"deepstack_visual_indexes": [0, 1]}
    config = Qwen3VLMoeConfig(text_config=text, vision_config=vision, **qwen_ids(tokenizer))
    return Qwen3VLMoeForConditionalGeneration(config), processor


def linear_attention(rope: dict[str, Any]) -> dict[str, Any]:
    sizes = {"linear_conv_kernel_dim": 4, "linear_key_head_dim": 16, "linear_value_head_dim": 16}
    sizes |= {"linear_num_key_heads": 2, "linear_num_value_heads": 4}
    rope = {**rope, "mrope_section": [2, 1, 1], "rope_theta": 1e6, "partial_rotary_factor": 0.5}
    return {**sizes, "layer_types": ["linear_attention", "full_attention"], "rope_parameters": rope}


def build_qwen3_5(tokenizer: Any) -> Built:
    from transformers import Qwen3_5Config, Qwen3_5ForConditionalGeneration

    rope, vision, processor = qwen3_parts(tokenizer)
    text = text_of(tokenizer, **linear_attention(rope))
    config = Qwen3_5Config(
        text_config=text, vision_config=vision | {"deepstack_visual_indexes": []}, **qwen_ids(tokenizer)
    )
    return Qwen3_5ForConditionalGeneration(config), processor


def build_qwen3_5_moe(tokenizer: Any) -> Built:
    from transformers import Qwen3_5MoeConfig, Qwen3_5MoeForConditionalGeneration

    rope, vision, processor = qwen3_parts(tokenizer)
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    text = text_of(tokenizer, **linear_attention(rope), **experts, shared_expert_intermediate_size=32)
    config = Qwen3_5MoeConfig(
        text_config=text, vision_config=vision | {"deepstack_visual_indexes": []}, **qwen_ids(tokenizer)
    )
    return Qwen3_5MoeForConditionalGeneration(config), processor


def build_idefics2(tokenizer: Any) -> Built:
    from transformers import (
        Idefics2Config,
        Idefics2ForConditionalGeneration,
        Idefics2ImageProcessor,
        Idefics2Processor,
        MistralConfig,
    )

    config = Idefics2Config(
        text_config=MistralConfig(**text_of(tokenizer, sliding_window=None)),
        vision_config=vision_of(),
        perceiver_config={
            "resampler_n_latents": 4,
            "resampler_depth": 1,
            "resampler_n_heads": 2,
            "resampler_head_dim": 16,
            "num_key_value_heads": 2,
        },
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        tie_word_embeddings=False,
    )
    images = Idefics2ImageProcessor(do_image_splitting=False, size={"longest_edge": 56, "shortest_edge": 28})
    processor = Idefics2Processor(images, tokenizer, image_seq_len=4, chat_template=chat_template("<image>"))
    return Idefics2ForConditionalGeneration(config), processor


def build_idefics3(tokenizer: Any) -> Built:
    """Both its template and its tokenizer write the first token, as with Gemma 3, Llama 3.2 Vision, Mistral 3.1."""
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessor,
        Idefics3Processor,
        LlamaConfig,
    )

    with_first_token(tokenizer)
    config = Idefics3Config(
        text_config=LlamaConfig(**text_of(tokenizer)),
        vision_config=vision_of(image_size=64, patch_size=16),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
        tie_word_embeddings=False,
    )
    images = Idefics3ImageProcessor(size={"longest_edge": 128}, max_image_size={"longest_edge": 64})
    template = "{{ bos_token }}" + chat_template("<image>")
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=template)
    return Idefics3ForConditionalGeneration(config), processor


def build_mllama(tokenizer: Any) -> Built:
    from transformers import MllamaConfig, MllamaForConditionalGeneration, MllamaImageProcessor, MllamaProcessor
    from transformers.models.mllama.configuration_mllama import MllamaTextConfig, MllamaVisionConfig

    with_first_token(tokenizer)
    name_tokens(tokenizer, image_token="<|image|>")
    ratios = [[1, 1], [1, 2], [1, 3], [1, 4], [2, 1], [2, 2], [3, 1], [4, 1]]
    text = text_of(tokenizer, num_hidden_layers=3, bos_token_id=tokenizer.bos_token_id)
    rope = {"rope_type": "default", "rope_theta": 1e4}
    vision = vision_of(num_global_layers=1, attention_heads=2, max_num_tiles=4, vision_output_dim=64)
    config = MllamaConfig(
        text_config=MllamaTextConfig(**text, cross_attention_layers=[1], rope_parameters=rope),
        vision_config=MllamaVisionConfig(**vision, intermediate_layers_indices=[0], supported_aspect_ratios=ratios),
        image_token_index=tokenizer.image_token_id,
    )
    images = MllamaImageProcessor(size={"height": 56, "width": 56}, max_image_tiles=4)
    template = "{{ bos_token }}" + chat_template("<|image|>")
    return MllamaForConditionalGeneration(config), MllamaProcessor(images, tokenizer, chat_template=template)


def build_gemma3(tokenizer: Any) -> Built:
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessor,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    with_first_token(tokenizer)
    tokens = {"boi_token": "<start_of_image>", "eoi_token": "<end_of_image>", "image_token": "<image_soft_token>"}
    name_tokens(tokenizer, **tokens)
    kinds = ["sliding_attention", "full_attention"]
    config = Gemma3Config(
        text_config=Gemma3TextConfig(**text_of(tokenizer, sliding_window=32, layer_types=kinds)),
        vision_config=SiglipVisionConfig(**vision_of(vision_use_head=False)),
        mm_tokens_per_image=4,
        boi_token_index=tokenizer.boi_token_id,
        eoi_token_index=tokenizer.eoi_token_id,
        image_token_index=tokenizer.image_token_id,
        tie_word_embeddings=False,
    )
    images = Gemma3ImageProcessor(size={"height": 56, "width": 56})
    template = "{{ bos_token }}" + chat_template("<start_of_image>")
    processor = Gemma3Processor(images, tokenizer, chat_template=template, image_seq_length=4)
    return Gemma3ForConditionalGeneration(config), processor


def build_aya_vision(tokenizer: Any) -> Built:
    from transformers import (
        AyaVisionConfig,
        AyaVisionForConditionalGeneration,
        AyaVisionProcessor,
        Cohere2Config,
        GotOcr2ImageProcessor,
        SiglipVisionConfig,
    )

    kinds = ["full_attention", "full_attention"]
    config = AyaVisionConfig(
        text_config=Cohere2Config(**text_of(tokenizer, layer_types=kinds)),
        vision_config=SiglipVisionConfig(**vision_of(vision_use_head=False)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        downsample_factor=2,
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    names = ["<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "<|IMG_LINE_BREAK|>", "TILE", "TILE_GLOBAL"]
    tokenizer.add_special_tokens({"additional_special_tokens": names})
    config.image_token_index = tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>")
    config.text_config.vocab_size = len(tokenizer)
    images = GotOcr2ImageProcessor(crop_to_patches=True, size={"height": 56, "width": 56}, max_patches=4)
    processor = AyaVisionProcessor(
        images,
        tokenizer,
        patch_size=14,
        img_size=56,
        downsample_factor=2,
        chat_template=chat_template("<image>"),
    )
    return AyaVisionForConditionalGeneration(config), processor


def build_mistral3(tokenizer: Any) -> Built:
    from transformers import (
        Mistral3Config,
        Mistral3ForConditionalGeneration,
        MistralConfig,
        PixtralImageProcessor,
        PixtralProcessor,
        PixtralVisionConfig,
    )

    with_first_token(tokenizer)
    tokenizer.add_special_tokens({"additional_special_tokens": ["[IMG]", "[IMG_BREAK]", "[IMG_END]"]})
    config = Mistral3Config(
        text_config=MistralConfig(**text_of(tokenizer, sliding_window=None)),
        vision_config=PixtralVisionConfig(**vision_of(head_dim=16)),
        image_token_index=tokenizer.convert_tokens_to_ids("[IMG]"),
        spatial_merge_size=2,
        vision_feature_layer=-1,
        tie_word_embeddings=False,
    )
    images = PixtralImageProcessor(size={"longest_edge": 112}, patch_size={"height": 14, "width": 14})
    template = "{{ bos_token }}" + chat_template("[IMG]")
    processor = PixtralProcessor(images, tokenizer, patch_size=14, spatial_merge_size=2, chat_template=template)
    return Mistral3ForConditionalGeneration(config), processor


def build_glm4v(tokenizer: Any) -> Built:
    from transformers import (
        Glm4vConfig,
        Glm4vForConditionalGeneration,
        Glm4vImageProcessor,
        Glm4vProcessor,
        Glm4vVideoProcessor,
    )

    tokens = (
        "<|image|>",
        "<|video|>",
        "<|begin_of_image|>",
        "<|end_of_image|>",
        "<|begin_of_video|>",
        "<|end_of_video|>",
    )
    tokenizer.add_special_tokens({"additional_special_tokens": tokens})
    tokenizer._set_model_specific_special_tokens({"image_token": tokens[0], "video_token": tokens[1]})
    ids = [tokenizer.convert_tokens_to_ids(token) for token in tokens]
    names = ("image_token_id", "video_token_id", "image_start_token_id", "image_end_token_id")
    names += ("video_start_token_id", "video_end_token_id")
    rope = {"rope_type": "default", "mrope_section": [2, 3, 3], "rope_theta": 1e4, "partial_rotary_factor": 1.0}
    vision = {
        "depth": 2,
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_heads": 2,
        "image_size": 56,
        "patch_size": 14,
    }
    vision |= {"out_hidden_size": 64, "spatial_merge_size": 2}
    config = Glm4vConfig(
        text_config=text_of(tokenizer, rope_parameters=rope),
        vision_config=vision,
        tie_word_embeddings=False,
        **dict(zip(names, ids, strict=True)),
    )
    size = {"shortest_edge": 56**2, "longest_edge": 112**2}
    template = chat_template("<|begin_of_image|><|image|><|end_of_image|>")
    images = Glm4vImageProcessor(size=size, patch_size=14, merge_size=2)
    processor = Glm4vProcessor(images, tokenizer, Glm4vVideoProcessor(size=size), chat_template=template)
    return Glm4vForConditionalGeneration(config), processor


def build_lfm2_vl(tokenizer: Any) -> Built:
    from transformers import (
        Lfm2Config,
        Lfm2VlConfig,
        Lfm2VlForConditionalGeneration,
        Lfm2VlImageProcessor,
        Lfm2VlProcessor,
        Siglip2VisionConfig,
    )

    tokens = {"image_start_token": "<|image_start|>", "image_end_token": "<|image_end|>", "image_token": "<image>"}
    name_tokens(tokenizer, **tokens, image_thumbnail="<|img_thumbnail|>")
    vision = vision_of(num_patches=64)
    del vision["image_size"]
    config = Lfm2VlConfig(
        text_config=Lfm2Config(**text_of(tokenizer, layer_types=["conv", "full_attention"], conv_L_cache=3)),
        vision_config=Siglip2VisionConfig(**vision),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        downsample_factor=2,
        projector_hidden_size=64,
        tie_word_embeddings=False,
    )
    images = Lfm2VlImageProcessor(
        do_image_splitting=False, min_image_tokens=4, max_image_tokens=8, encoder_patch_size=14, tile_size=56
    )
    processor = Lfm2VlProcessor(images, tokenizer, chat_template=chat_template("<image>"))
    return Lfm2VlForConditionalGeneration(config), processor


def build_perception_lm(tokenizer: Any) -> Built:
    from transformers import (
        LlamaConfig,
        PerceptionLMConfig,
        PerceptionLMForConditionalGeneration,
        PerceptionLMImageProcessor,
        PerceptionLMProcessor,
        PerceptionLMVideoProcessor,
        TimmWrapperConfig,
    )

    name_tokens(tokenizer, image_token="<image>", video_token="<video>")
    sizes = {"embed_dim": 32, "depth": 2, "num_heads": 2, "img_size": [56, 56], "use_post_transformer_norm": False}
    tower = TimmWrapperConfig(architecture="vit_pe_core_large_patch14_336", model_args=sizes | {"global_pool": ""})
    config = PerceptionLMConfig(
        text_config=LlamaConfig(**text_of(tokenizer)),
        vision_config=tower,
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        projector_pooling_ratio=2,
        tie_word_embeddings=False,
    )
    images = PerceptionLMImageProcessor(tile_size=56, max_num_tiles=4, vision_input_type="thumb+tile")
    processor = PerceptionLMProcessor(
        PerceptionLMVideoProcessor(),
        images,
        tokenizer,
        patch_size=14,
        pooling_ratio=2,
        chat_template=chat_template("<image>"),
    )
    return PerceptionLMForConditionalGeneration(config), processor


def build_deepseek_vl(tokenizer: Any) -> Built:
    from transformers import (
        DeepseekVLConfig,
        DeepseekVLForConditionalGeneration,
        DeepseekVLImageProcessor,
        DeepseekVLProcessor,
        LlamaConfig,
        SiglipVisionConfig,
    )

    name_tokens(tokenizer, image_token="<image_placeholder>")
    config = DeepseekVLConfig(
        text_config=LlamaConfig(**text_of(tokenizer)),
        vision_config=SiglipVisionConfig(**vision_of(vision_use_head=False)),
        image_token_id=tokenizer.image_token_id,
        tie_word_embeddings=False,
    )
    images = DeepseekVLImageProcessor(size={"height": 56, "width": 56}, min_size=14)
    template = chat_template("<image_placeholder>")
    processor = DeepseekVLProcessor(images, tokenizer, chat_template=template, num_image_tokens=16)
    return DeepseekVLForConditionalGeneration(config), processor


_NO_CHAT = "no chat template with images: one prompt, not a dialogue"
_OTHER_OUTPUT = "it writes images, boxes or actions beside text, or decodes by its own loop"
_TO_WRITE = "no tiny build of it is written yet"
NOT_BUILT = {  # type -> why it isn't walked
    **dict.fromkeys(("blip", "blip-2", "git", "instructblip", "instructblipvideo", "kosmos-2", "kosmos-2.5"), _NO_CHAT),
    **dict.fromkeys(("pix2struct", "paligemma", "fuyu", "florence2", "idefics", "vision-encoder-decoder"), _NO_CHAT),
    **dict.fromkeys(("pp_chart2table", "pp_formulanet", "got_ocr2", "evolla", "video_llava", "udop"), _NO_CHAT),
    **dict.fromkeys(("chameleon", "emu3", "janus", "pi0", "diffusion_gemma", "shieldgemma2"), _OTHER_OUTPUT),
}

Builder = Callable[[Any], Built]
FAMILIES: dict[str, Builder] = {
    name.removeprefix("build_"): builder for name, builder in list(globals().items()) if name.startswith("build_")
}


def why_not_walked(model_type: str) -> str | None:
    """Why a type of `AutoModelForImageTextToText` isn't walked; None if it is."""
    if model_type in FAMILIES or model_type in BUILDERS:
        return None
    return NOT_BUILT.get(model_type, _TO_WRITE)


def write_family(family: str, folder: Path) -> Path:
    """A checkpoint folder of a family with random weights, spread so that answers depend on what is asked."""
    if family in BUILDERS:
        return write_tiny_vlm(family, folder)
    torch.manual_seed(0)
    tokenizer = make_tokenizer()
    model, processor = FAMILIES[family](tokenizer)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 0.15)
    model.generation_config.eos_token_id = tokenizer.eos_token_id
    model.generation_config.pad_token_id = tokenizer.pad_token_id
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder
