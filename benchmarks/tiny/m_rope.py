"""Tiny models whose positions have axes of time, height and width."""

from __future__ import annotations

from typing import Any

from benchmarks.tiny.model import CHATML, PATCH, SIDE, Tiny, content_template
from training.families.family import trl_template

GLM = {
    "image_token": "<|image|>", "video_token": "<|video|>", "image_start_token": "<|begin_of_image|>",
    "image_end_token": "<|end_of_image|>",
}  # fmt: skip
GLM_TEMPLATE = (
    "[gMASK]<sop>{% for message in messages %}<|{{ message['role'] }}|>\n"
    f"{content_template('<|begin_of_image|><|image|><|end_of_image|>')}"
    "{% if message['role'] == 'assistant' %}<|endoftext|>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>\n{% endif %}"
)
QWEN = {
    "image_token": "<|image_pad|>", "video_token": "<|video_pad|>", "vision_bos_token": "<|vision_start|>",
    "vision_eos_token": "<|vision_end|>",
}  # fmt: skip


def _qwen2_vl(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6}
    config = t.Qwen2VLConfig(
        text_config=text | {"rope_parameters": rope},
        vision_config={
            "depth": 2, "embed_dim": 48, "hidden_size": text["hidden_size"], "num_heads": 2, "patch_size": PATCH,
            "spatial_merge_size": 2, "mlp_ratio": 2,
        },
        image_token_id=tokenizer.image_token_id, video_token_id=tokenizer.video_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id, vision_end_token_id=tokenizer.vision_eos_token_id,
        tie_word_embeddings=True,
    )  # fmt: skip
    images = t.Qwen2VLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})
    processor = t.Qwen2VLProcessor(images, tokenizer, t.Qwen2VLVideoProcessor())
    return t.Qwen2VLForConditionalGeneration(config), processor


def _qwen3_vl_moe(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [6, 5, 5], "rope_theta": 5e6, "mrope_interleaved": True}
    more = {"head_dim": 32, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
    config = t.Qwen3VLMoeConfig(
        text_config=text | more | {"rope_parameters": rope, "output_router_logits": True},
        vision_config={
            "depth": 2, "hidden_size": 48, "intermediate_size": 96, "num_heads": 2, "patch_size": 16,
            "spatial_merge_size": 2, "out_hidden_size": text["hidden_size"], "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0, 1],
        },
        image_token_id=tokenizer.image_token_id, video_token_id=tokenizer.video_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id, vision_end_token_id=tokenizer.vision_eos_token_id,
    )  # fmt: skip
    size = {"shortest_edge": 64 * 64, "longest_edge": 128 * 128}
    images = t.Qwen2VLImageProcessor(patch_size=16, size=size)
    processor = t.Qwen3VLProcessor(images, tokenizer, t.Qwen3VLVideoProcessor())
    return t.Qwen3VLMoeForConditionalGeneration(config), processor


def _qwen3_5(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e6, "partial_rotary_factor": 0.25}
    linear = {
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    layers = ["linear_attention", "linear_attention", "full_attention"]
    config = t.Qwen3_5Config(
        text_config=text | linear | {"head_dim": 32, "layer_types": layers, "rope_parameters": rope},
        vision_config={
            "depth": 2, "hidden_size": 48, "intermediate_size": 96, "num_heads": 2, "patch_size": 16,
            "spatial_merge_size": 2, "out_hidden_size": text["hidden_size"], "num_position_embeddings": 64,
        },
        image_token_id=tokenizer.image_token_id, video_token_id=tokenizer.video_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id, vision_end_token_id=tokenizer.vision_eos_token_id,
        tie_word_embeddings=True,
    )  # fmt: skip
    size = {"shortest_edge": 64 * 64, "longest_edge": 128 * 128}
    images = t.Qwen2VLImageProcessor(patch_size=16, size=size)
    return t.Qwen3_5ForConditionalGeneration(config), t.Qwen3VLProcessor(images, tokenizer, t.Qwen3VLVideoProcessor())


def _glm4v(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    config = t.Glm4vConfig(
        text_config=text | {"rope_parameters": rope},
        vision_config={
            "depth": 2, "hidden_size": 48, "intermediate_size": 96, "num_heads": 2, "patch_size": PATCH,
            "spatial_merge_size": 2, "out_hidden_size": text["hidden_size"], "image_size": SIDE,
        },
        image_token_id=tokenizer.image_token_id, video_token_id=tokenizer.video_token_id,
        image_start_token_id=tokenizer.image_start_token_id, image_end_token_id=tokenizer.image_end_token_id,
        video_start_token_id=tokenizer.video_token_id, video_end_token_id=tokenizer.video_token_id,
    )  # fmt: skip
    images = t.Glm4vImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 2 * 112 * 112})
    return t.Glm4vForConditionalGeneration(config), t.Glm4vProcessor(images, tokenizer, t.Glm4vVideoProcessor())


_GLM_TOKENS = ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|begin_of_video|>")
M_ROPE = {
    "glm4v": Tiny(GLM_TEMPLATE, "<|endoftext|>", GLM, _GLM_TOKENS, _glm4v),
    "qwen2_vl": Tiny(
        trl_template("qwen2_5_vl"), "<|im_end|>", QWEN, CHATML, _qwen2_vl,
    ),
    "qwen3_5": Tiny(trl_template("qwen3_vl"), "<|im_end|>", QWEN, CHATML, _qwen3_5),
    "qwen3_vl_moe": Tiny(trl_template("qwen3_vl"), "<|im_end|>", QWEN, CHATML, _qwen3_vl_moe),
}  # fmt: skip
