"""Tiny models of types that vary one of another file: optical character recognition, videos, a second image encoder."""

from __future__ import annotations

from typing import Any

from benchmarks.tiny.m_rope import GLM, GLM_TEMPLATE, QWEN
from benchmarks.tiny.model import CHATML, PATCH, SIDE, SIZE, VISION, Tiny
from benchmarks.tiny.plain import VICUNA_TEMPLATE
from training.families.family import TINY_QWEN_VISION, chatml_template, qwen_ids, trl_template

_M_ROPE = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6}
_COMPASS = ("<|IMAGE_PAD|>", "<|VIDEO_PAD|>", "<|VISION_START|>", "<|VISION_END|>")
_NEXT_VIDEO = {"image_token": "<image>", "video_token": "<video>"}


def _glm_ocr(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    names = ("image_token", "video_token", "image_start_token", "image_end_token")
    config = t.GlmOcrConfig(
        text_config=text | {"rope_parameters": rope},
        vision_config=TINY_QWEN_VISION | {"patch_size": PATCH, "image_size": SIDE},
        **{f"{name}_id": getattr(tokenizer, f"{name}_id") for name in names},
        video_start_token_id=tokenizer.video_token_id,
        video_end_token_id=tokenizer.video_token_id,
    )
    images = t.Glm46VImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 2 * 112 * 112})
    return t.GlmOcrForConditionalGeneration(config), t.Glm46VProcessor(images, tokenizer, t.Glm46VVideoProcessor())


def _cohere_compass(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    image, video, begin, end = (tokenizer.convert_tokens_to_ids(token) for token in _COMPASS)
    vision = {"patch_size": 16, "num_position_embeddings": 64, "deepstack_visual_indexes": [0, 1]}
    config = t.CohereCompassConfig(
        text_config=text | {"rope_parameters": {"full_attention": _M_ROPE | {"mrope_interleaved": True}}},
        vision_config=TINY_QWEN_VISION | vision,
        image_token_id=image,
        video_token_id=video,
        vision_start_token_id=begin,
        vision_end_token_id=end,
        tie_word_embeddings=True,
    )
    images = t.CohereCompassImageProcessor(patch_size=16, size={"shortest_edge": 64 * 64, "longest_edge": 128 * 128})
    processor = t.CohereCompassProcessor(images, tokenizer, t.CohereCompassVideoProcessor())
    return t.CohereCompassForConditionalGeneration(config), processor


def _llava_next_video(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    grids = [[SIDE * rows, SIDE * columns] for rows in (1, 2) for columns in (1, 2)]
    config = t.LlavaNextVideoConfig(
        text_config=t.LlamaConfig(**text),
        vision_config=t.CLIPVisionConfig(**VISION),
        image_token_index=tokenizer.image_token_id,
        video_token_index=tokenizer.video_token_id,
        image_grid_pinpoints=grids,
        tie_word_embeddings=True,
    )
    images = t.LlavaNextImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIZE, image_grid_pinpoints=grids)
    processor = t.LlavaNextVideoProcessor(
        t.LlavaNextVideoVideoProcessor(size={"shortest_edge": SIDE}, crop_size=SIZE), images, tokenizer,
        patch_size=PATCH, vision_feature_select_strategy="default", num_additional_image_tokens=1,
    )  # fmt: skip
    return t.LlavaNextVideoForConditionalGeneration(config), processor


def _lfm3_vl(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    vision = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 3, "num_attention_heads": 2}
    config = t.Lfm3VlConfig(
        text_config=text | {"model_type": "lfm3"},
        vision_config=vision | {"num_key_value_heads": 2, "patch_size": 16},
        **qwen_ids(tokenizer),
        projector_hidden_size=64,
        tie_word_embeddings=True,
    )
    images = t.Qwen2VLImageProcessor(patch_size=16, size={"shortest_edge": 64 * 64, "longest_edge": 128 * 128})
    return t.Lfm3VlForConditionalGeneration(config), t.Lfm3VlProcessor(images, tokenizer, t.Qwen3VLVideoProcessor())


def _deepseek_vl_hybrid(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    large = {
        "hidden_size": 32, "output_channels": 16, "num_hidden_layers": 2, "num_attention_heads": 2, "image_size": 128,
        "patch_size": 16, "global_attn_indexes": [1], "mlp_dim": 64, "window_size": 4, "model_type": "sam_vision_model",
        "initializer_range": 0.02,
    }  # fmt: skip
    config = t.DeepseekVLHybridConfig(
        text_config=text | {"model_type": "llama"},
        vision_config=VISION | {"model_type": "siglip_vision_model", "vision_use_head": False},
        high_res_vision_config=large,
        image_token_id=tokenizer.image_token_id,
    )
    images = t.DeepseekVLHybridImageProcessor(size=SIZE, min_size=14, high_res_size={"height": 128, "width": 128})
    processor = t.DeepseekVLHybridProcessor(images, tokenizer, num_image_tokens=16)
    model = t.DeepseekVLHybridForConditionalGeneration(config)
    model.model.high_res_vision_alpha.data.fill_(0.5)  # zero by default: the second encoder would change nothing
    return model, processor


FURTHER = {
    "cohere_compass": Tiny(
        chatml_template("<|VISION_START|><|IMAGE_PAD|><|VISION_END|>"), "<|im_end|>", {}, (*CHATML, *_COMPASS),
        _cohere_compass,
    ),
    "deepseek_vl_hybrid": Tiny(VICUNA_TEMPLATE, "</s>", {"image_token": "<image>"}, (), _deepseek_vl_hybrid),
    "glm_ocr": Tiny(
        GLM_TEMPLATE, "<|endoftext|>", GLM, ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|begin_of_video|>"),
        _glm_ocr,
    ),
    "lfm3_vl": Tiny(trl_template("qwen3_vl"), "<|im_end|>", QWEN, CHATML, _lfm3_vl),
    "llava_next_video": Tiny(VICUNA_TEMPLATE, "</s>", _NEXT_VIDEO, (), _llava_next_video),
}  # fmt: skip
