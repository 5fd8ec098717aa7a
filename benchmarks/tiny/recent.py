"""Tiny models of makers and of years after the first."""

from __future__ import annotations

from typing import Any

from benchmarks.tiny.m_rope import GLM, GLM_TEMPLATE, QWEN
from benchmarks.tiny.model import CHATML, PATCH, SIDE, SIZE, VISION, Tiny, content_template
from benchmarks.tiny.plain import VICUNA_TEMPLATE
from training.families.family import chatml_template, trl_template

_LLAMA_TEMPLATE = (
    "{% for message in messages %}<|start_header_id|>{{ message['role'] }}<|end_header_id|>\n\n"
    f"{content_template('<|image|>')}"
    "<|eot_id|>{% endfor %}{% if add_generation_prompt %}<|start_header_id|>assistant<|end_header_id|>\n\n{% endif %}"
)
_LLAMA_TOKENS = ("<|start_header_id|>", "<|end_header_id|>")
_LLAMA4 = (
    "<|image_start|>",
    "<|image_end|>",
    "<|patch|>",
    "<|tile_x_separator|>",
    "<|tile_y_separator|>",
    "<|image|>",
)
_COHERE_TEMPLATE = (
    "{% for message in messages %}<|START_OF_TURN_TOKEN|>{% if message['role'] == 'assistant' %}<|CHATBOT_TOKEN|>"
    "{% elif message['role'] == 'user' %}<|USER_TOKEN|>{% else %}<|SYSTEM_TOKEN|>{% endif %}"
    f"{content_template('<image>')}"
    "<|END_OF_TURN_TOKEN|>{% endfor %}"
    "{% if add_generation_prompt %}<|START_OF_TURN_TOKEN|><|CHATBOT_TOKEN|>{% endif %}"
)
_COHERE_TOKENS = ("<|START_OF_TURN_TOKEN|>", "<|CHATBOT_TOKEN|>", "<|USER_TOKEN|>", "<|SYSTEM_TOKEN|>")
_AYA_TILES = (
    "<|START_OF_IMG|>",
    "<|END_OF_IMG|>",
    "<|IMG_PATCH|>",
    "<|IMG_LINE_BREAK|>",
    "TILE_GLOBAL",
    *(f"TILE_{n}" for n in range(1, 5)),
)
_COHERE = {
    "image_token": "<image>",
    "boi_token": "<|START_OF_IMG|>",
    "eoi_token": "<|END_OF_IMG|>",
    "img_line_break_token": "<|IMG_LINE_BREAK|>",
}
_MINICPM = {
    "image_token": "<unk_image>",
    "video_token": "<unk_video>",
    "image_start_token": "<image>",
    "image_end_token": "</image>",
    "slice_start_token": "<slice>",
    "slice_end_token": "</slice>",
    "image_id_start_token": "<image_id>",
    "image_id_end_token": "</image_id>",
}
_GEMMA4 = {
    "image_token": "<|image|>",
    "boi_token": "<|image>",
    "eoi_token": "<image|>",
    "audio_token": "<|audio|>",
    "boa_token": "<|audio>",
    "eoa_token": "<audio|>",
}
_GEMMA4_TEMPLATE = (
    "{% for message in messages %}<|turn>{{ 'model' if message['role'] == 'assistant' else message['role'] }}\n"
    f"{content_template('<|image|>')}"
    "<turn|>\n{% endfor %}{% if add_generation_prompt %}<|turn>model\n{% endif %}"
)


def _mllama(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    vision = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_global_layers": 1,
        "attention_heads": 2,
        "image_size": SIDE,
        "patch_size": PATCH,
        "vision_output_dim": 96,
        "intermediate_layers_indices": [0],
        "max_num_tiles": 2,
        "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
    }
    config = t.MllamaConfig(
        vision_config=vision,
        text_config=text | {"cross_attention_layers": [1], "tie_word_embeddings": False, "bos_token_id": 0},
        image_token_index=tokenizer.image_token_id,
    )
    tokenizer.bos_token = "<|begin_of_text|>"
    model = t.MllamaForConditionalGeneration(config)
    for name, gate in model.named_parameters():
        if "gate" in name and gate.numel() == 1:
            gate.data.fill_(0.5)  # zero by default: images would change nothing
    processor = t.MllamaProcessor(t.MllamaImageProcessor(size=SIZE, max_image_tiles=2), tokenizer)
    return model, processor


def _llama4(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    token_id = tokenizer.convert_tokens_to_ids
    vision = {
        "hidden_size": 48,
        "intermediate_size": 192,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": PATCH,
        "vision_output_dim": 96,
        "projector_input_dim": 96,
        "projector_output_dim": 96,
    }
    more = {
        "head_dim": 32,
        "intermediate_size_mlp": 128,
        "num_local_experts": 2,
        "interleave_moe_layer_step": 2,
        "attention_chunk_size": 64,
    }
    config = t.Llama4Config(
        vision_config=vision,
        text_config=text | more,
        boi_token_index=token_id("<|image_start|>"),
        eoi_token_index=token_id("<|image_end|>"),
        image_token_index=token_id("<|patch|>"),
        tie_word_embeddings=True,
    )
    images = t.Llama4ImageProcessor(size=SIZE, max_patches=4)
    return t.Llama4ForConditionalGeneration(config), t.Llama4Processor(images, tokenizer, patch_size=PATCH)


def _aya_vision(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.AyaVisionConfig(
        text_config=t.Cohere2Config(**text | {"sliding_window": 64}),
        vision_config=t.SiglipVisionConfig(**VISION, vision_use_head=False),
        image_token_index=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
        downsample_factor=2,
        tie_word_embeddings=True,
    )
    images = t.GotOcr2ImageProcessor(crop_to_patches=True, size=SIZE, min_patches=1, max_patches=4)
    processor = t.AyaVisionProcessor(images, tokenizer, PATCH, SIDE, downsample_factor=2)
    return t.AyaVisionForConditionalGeneration(config), processor


def _cohere2_vision(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    vision = VISION | {"image_size": 32, "patch_size": 4}  # its processor wants patch size x 2 patches on a side
    config = t.Cohere2VisionConfig(
        text_config=t.Cohere2Config(**text | {"sliding_window": 64}),
        vision_config=t.SiglipVisionConfig(**vision, vision_use_head=False),
        image_token_id=tokenizer.image_token_id,
        downsample_factor=2,
        alignment_intermediate_size=128,
        tie_word_embeddings=True,
    )
    images = t.Cohere2VisionImageProcessor(size={"height": 32, "width": 32}, patch_size=4, max_patches=4)
    processor = t.Cohere2VisionProcessor(images, tokenizer)
    return t.Cohere2VisionForConditionalGeneration(config), processor


def _kimi(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    more = {
        "num_key_value_heads": 4,
        "moe_intermediate_size": 32,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "n_group": 1,
        "topk_group": 1,
        "first_k_dense_replace": 1,
        "kv_lora_rank": 32,
        "q_lora_rank": 32,
        "qk_rope_head_dim": 16,
        "qk_nope_head_dim": 16,
        "v_head_dim": 32,
    }
    vision = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": PATCH,
        "pos_emb_height": 8,
        "pos_emb_width": 8,
    }
    token_id = tokenizer.convert_tokens_to_ids
    config = t.Kimi_K25Config(
        text_config=text | more,
        vision_config=vision,
        projection_hidden_size=48,
        image_token_id=token_id("<|media_pad|>"),
        video_token_id=token_id("<|video|>"),
        vision_start_token_id=token_id("<|media_begin|>"),
        vision_end_token_id=token_id("<|media_end|>"),
    )
    images = t.Kimi_K25ImageProcessor(size={"max_height": 112, "max_width": 112}, patch_size=PATCH)
    processor = t.Kimi_K25Processor(images, tokenizer, t.Kimi_K25VideoProcessor())
    return t.Kimi_K25ForConditionalGeneration(config), processor


def _minicpm(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e6, "partial_rotary_factor": 0.25}
    linear = {
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    layers = ["linear_attention", "linear_attention", "full_attention"]
    config = t.MiniCPMV4_6Config(
        text_config=text
        | linear
        | {"model_type": "qwen3_5_text", "head_dim": 32, "layer_types": layers, "rope_parameters": rope},
        vision_config=VISION | {"insert_layer_id": 0, "num_hidden_layers": 3},
        insert_layer_id=0,
        image_size=SIDE,
        patch_size=PATCH,
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        tie_word_embeddings=True,
    )
    images = t.MiniCPMV4_6ImageProcessor(scale_resolution=112, patch_size=PATCH, max_slice_nums=2)
    processor = t.MiniCPMV4_6Processor(images, t.MiniCPMV4_6VideoProcessor(), tokenizer)
    return t.MiniCPMV4_6ForConditionalGeneration(config), processor


def _lfm2_vl(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    vision = VISION | {"num_patches": 64, "vision_use_head": False}
    del vision["image_size"]
    config = t.Lfm2VlConfig(
        text_config=text | {"layer_types": ["conv", "full_attention", "conv"]},
        vision_config=vision,
        image_token_id=tokenizer.image_token_id,
        projector_hidden_size=64,
        tie_word_embeddings=True,
    )
    images = t.Lfm2VlImageProcessor(
        encoder_patch_size=PATCH,
        tile_size=112,
        min_image_tokens=4,
        max_image_tokens=16,
        max_tiles=2,
        size={"height": 112, "width": 112},
    )
    return t.Lfm2VlForConditionalGeneration(config), t.Lfm2VlProcessor(images, tokenizer)


def _vipllava(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.VipLlavaConfig(
        text_config=t.LlamaConfig(**text),
        vision_config=t.CLIPVisionConfig(**VISION),
        vision_feature_layers=[-1, -2],
        image_token_index=tokenizer.image_token_id,
        tie_word_embeddings=True,
    )
    images = t.CLIPImageProcessor(size={"shortest_edge": SIDE}, crop_size=SIZE)
    processor = t.LlavaProcessor(images, tokenizer, PATCH, "default", num_additional_image_tokens=1)
    return t.VipLlavaForConditionalGeneration(config), processor


def _glm4v_moe(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    experts = {
        "moe_intermediate_size": 64,
        "n_routed_experts": 4,
        "num_experts_per_tok": 2,
        "first_k_dense_replace": 1,
        "head_dim": 32,
    }
    config = t.Glm4vMoeConfig(
        text_config=text | experts | {"rope_parameters": rope},
        vision_config=_glm_vision(text),
        **_glm_ids(tokenizer),
    )
    return t.Glm4vMoeForConditionalGeneration(config), _glm_processor(tokenizer)


def _glm_vision(text: dict[str, Any]) -> dict[str, Any]:
    return {
        "depth": 2,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_heads": 2,
        "patch_size": PATCH,
        "spatial_merge_size": 2,
        "out_hidden_size": text["hidden_size"],
        "image_size": SIDE,
    }


def _glm_ids(tokenizer: Any) -> dict[str, int]:
    return {
        "image_token_id": tokenizer.image_token_id,
        "video_token_id": tokenizer.video_token_id,
        "image_start_token_id": tokenizer.image_start_token_id,
        "image_end_token_id": tokenizer.image_end_token_id,
        "video_start_token_id": tokenizer.video_token_id,
        "video_end_token_id": tokenizer.video_token_id,
    }


def _glm_processor(tokenizer: Any) -> Any:
    import transformers as t

    images = t.Glm4vImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 2 * 112 * 112})
    return t.Glm4vProcessor(images, tokenizer, t.Glm4vVideoProcessor())


def _glm46v(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    config = t.Glm46VConfig(
        text_config=text | {"rope_parameters": rope, "model_type": "glm4v_text"},
        vision_config=_glm_vision(text) | {"model_type": "glm4v_vision"},
        **_glm_ids(tokenizer),
    )
    images = t.Glm46VImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 2 * 112 * 112})
    return t.Glm46VForConditionalGeneration(config), t.Glm46VProcessor(images, tokenizer, t.Glm46VVideoProcessor())


def _qwen3_5_moe(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e6, "partial_rotary_factor": 0.25}
    more = {
        "linear_key_head_dim": 16,
        "linear_value_head_dim": 16,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
        "num_experts": 4,
        "num_experts_per_tok": 2,
        "moe_intermediate_size": 64,
        "shared_expert_intermediate_size": 64,
        "layer_types": ["linear_attention", "linear_attention", "full_attention"],
        "head_dim": 32,
    }
    config = t.Qwen3_5MoeConfig(
        text_config=text | more | {"rope_parameters": rope},
        vision_config={
            "depth": 2,
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_heads": 2,
            "patch_size": 16,
            "spatial_merge_size": 2,
            "out_hidden_size": text["hidden_size"],
            "num_position_embeddings": 64,
        },
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        vision_start_token_id=tokenizer.vision_bos_token_id,
        vision_end_token_id=tokenizer.vision_eos_token_id,
    )
    images = t.Qwen2VLImageProcessor(patch_size=16, size={"shortest_edge": 64 * 64, "longest_edge": 128 * 128})
    processor = t.Qwen3VLProcessor(images, tokenizer, t.Qwen3VLVideoProcessor())
    return t.Qwen3_5MoeForConditionalGeneration(config), processor


def _gemma4(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    vision = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "num_key_value_heads": 2,
        "head_dim": 24,
        "patch_size": 8,
        "pooling_kernel_size": 2,
        "position_embedding_size": 64,
    }
    more = {
        "head_dim": 32,
        "global_head_dim": 32,
        "sliding_window": 64,
        "hidden_size_per_layer_input": 16,
        "vocab_size_per_layer_input": text["vocab_size"],
        "layer_types": ["sliding_attention", "sliding_attention", "full_attention"],
    }
    config = t.Gemma4Config(
        text_config=text | more,
        vision_config=vision,
        audio_config=None,
        image_token_id=tokenizer.image_token_id,
        boi_token_id=tokenizer.boi_token_id,
        eoi_token_id=tokenizer.eoi_token_id,
        audio_token_id=tokenizer.audio_token_id,
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
    )
    images = t.Gemma4ImageProcessor(patch_size=8, max_soft_tokens=70, pooling_kernel_size=2)
    processor = t.Gemma4Processor(
        t.Gemma4AudioFeatureExtractor(),
        images,
        tokenizer,
        t.Gemma4VideoProcessor(patch_size=8, pooling_kernel_size=2),
        image_seq_length=70,
    )
    return t.Gemma4ForConditionalGeneration(config), processor


def _janus(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    vision = {
        "hidden_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": SIDE,
        "patch_size": PATCH,
        "projection_dim": text["hidden_size"],
        "num_image_tokens": 16,
        "mlp_ratio": 2.0,
    }
    pictures = {
        "embed_dim": 8,
        "num_embeddings": 16,
        "latent_channels": 8,
        "base_channels": 32,
        "channel_multiplier": [1, 1],
        "num_res_blocks": 1,
        "num_patches": 4,
        "projection_dim": text["hidden_size"],
        "image_token_embed_dim": text["hidden_size"],
    }
    config = t.JanusConfig(
        text_config=text | {"model_type": "llama"},
        vision_config=vision,
        vq_config=pictures,
        image_token_id=tokenizer.image_token_id,
    )
    images = t.JanusImageProcessor(size=SIZE, min_size=14)
    processor = t.JanusProcessor(images, tokenizer, num_image_tokens=16)
    return t.JanusForConditionalGeneration(config), processor


def _deepseek_vl(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.DeepseekVLConfig(
        text_config=text | {"model_type": "llama"},
        vision_config=VISION | {"model_type": "siglip_vision_model", "vision_use_head": False},
        image_token_id=tokenizer.image_token_id,
    )
    images = t.DeepseekVLImageProcessor(size=SIZE, min_size=14)
    processor = t.DeepseekVLProcessor(images, tokenizer, num_image_tokens=16)
    return t.DeepseekVLForConditionalGeneration(config), processor


def _video_llama_3(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    vision = {
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "patch_size": PATCH,
    }
    config = t.VideoLlama3Config(
        text_config=text | {"model_type": "qwen2"},
        vision_config=vision,
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        tie_word_embeddings=True,
    )
    images = t.VideoLlama3ImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})
    processor = t.VideoLlama3Processor(images, tokenizer, t.VideoLlama3VideoProcessor())
    return t.VideoLlama3ForConditionalGeneration(config), processor


def _exaone4_5(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    vision = {
        "depth": 2,
        "hidden_size": 48,
        "intermediate_size": 96,
        "num_heads": 2,
        "num_key_value_heads": 2,
        "patch_size": PATCH,
        "spatial_merge_size": 2,
        "window_size": 56,
        "out_hidden_size": text["hidden_size"],
        "fullatt_block_indexes": [1],
    }
    config = t.Exaone4_5_Config(
        text_config=text | {"model_type": "exaone4", "sliding_window": 64, "sliding_window_pattern": 2},
        vision_config=vision,
        image_token_id=tokenizer.image_token_id,
        video_token_id=tokenizer.video_token_id,
        tie_word_embeddings=True,
    )
    images = t.Qwen2VLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})
    processor = t.Exaone4_5_Processor(images, tokenizer, t.Qwen2VLVideoProcessor())
    return t.Exaone4_5_ForConditionalGeneration(config), processor


def _lighton_ocr(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.LightOnOcrConfig(
        text_config=text | {"model_type": "qwen3", "head_dim": 32},
        vision_config=VISION | {"model_type": "pixtral", "head_dim": 24},
        image_token_id=tokenizer.image_token_id,
        spatial_merge_size=2,
        tie_word_embeddings=True,
    )
    images = t.PixtralImageProcessor(size={"longest_edge": 112}, patch_size={"height": PATCH, "width": PATCH})
    return t.LightOnOcrForConditionalGeneration(config), t.LightOnOcrProcessor(images, tokenizer, PATCH, 2)


def _paddleocr_vl(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    token_id = tokenizer.convert_tokens_to_ids
    rope = {"rope_type": "default", "mrope_section": [4, 6, 6], "rope_theta": 1e6}
    config = t.PaddleOCRVLConfig(
        text_config=text | {"head_dim": 32, "rope_parameters": rope},
        vision_config=VISION,
        image_token_id=tokenizer.image_token_id,
        video_token_id=token_id("<video>"),
        vision_start_token_id=token_id("<start>"),
        vision_end_token_id=token_id("<end>"),
        tie_word_embeddings=True,
    )
    images = t.PaddleOCRVLImageProcessor(size={"shortest_edge": 56 * 56, "longest_edge": 112 * 112})
    return t.PaddleOCRVLForConditionalGeneration(config), t.PaddleOCRVLProcessor(images, tokenizer)


def _aria(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    more = {"moe_num_experts": 4, "moe_topk": 2, "moe_num_shared_experts": 1}
    config = t.AriaConfig(
        text_config=text | more,
        vision_config=VISION | {"image_size": 490, "patch_size": 70, "model_type": "idefics3_vision"},
        projector_patch_to_query_dict={49: 4, 196: 8},
        image_token_index=tokenizer.image_token_id,
    )
    images = t.AriaImageProcessor(max_image_size=490, min_image_size=70)
    processor = t.AriaProcessor(images, tokenizer, size_conversion={490: 4, 980: 8})
    return t.AriaForConditionalGeneration(config), processor


_KIMI_TEMPLATE = chatml_template("<|media_begin|>image<|media_content|><|media_pad|><|media_end|>")
_GLM_TOKENS = ("[gMASK]", "<sop>", "<|user|>", "<|assistant|>", "<|begin_of_video|>")
_IMAGE = {"image_token": "<image>"}
RECENT = {
    "aria": Tiny(chatml_template("<image>"), "<|im_end|>", _IMAGE, CHATML, _aria),
    "deepseek_vl": Tiny(VICUNA_TEMPLATE, "</s>", _IMAGE, (), _deepseek_vl),
    "exaone4_5": Tiny(trl_template("qwen3_vl"), "<|im_end|>", QWEN, CHATML, _exaone4_5),
    "janus": Tiny(
        VICUNA_TEMPLATE,
        "</s>",
        _IMAGE | {"boi_token": "<begin_of_image>", "eoi_token": "<end_of_image>"},
        (),
        _janus,
    ),
    "lighton_ocr": Tiny(
        chatml_template("[IMG]"),
        "<|im_end|>",
        {"image_token": "[IMG]", "image_break_token": "[IMG_BREAK]", "image_end_token": "[IMG_END]"},
        CHATML,
        _lighton_ocr,
    ),
    "paddleocr_vl": Tiny(
        chatml_template("<start><image><end>"),
        "<|im_end|>",
        _IMAGE,
        (*CHATML, "<start>", "<end>", "<video>"),
        _paddleocr_vl,
    ),
    "video_llama_3": Tiny(chatml_template("<|image_pad|>"), "<|im_end|>", QWEN, CHATML, _video_llama_3),
    "aya_vision": Tiny(
        _COHERE_TEMPLATE, "<|END_OF_TURN_TOKEN|>", {}, (*_COHERE_TOKENS, "<image>", *_AYA_TILES), _aya_vision
    ),
    "cohere2_vision": Tiny(
        _COHERE_TEMPLATE,
        "<|END_OF_TURN_TOKEN|>",
        _COHERE,
        (*_COHERE_TOKENS,),
        _cohere2_vision,
    ),
    "gemma4": Tiny(_GEMMA4_TEMPLATE, "<turn|>", _GEMMA4, ("<|turn>", "<|video|>"), _gemma4),
    "glm46v": Tiny(GLM_TEMPLATE, "<|endoftext|>", GLM, _GLM_TOKENS, _glm46v),
    "glm4v_moe": Tiny(GLM_TEMPLATE, "<|endoftext|>", GLM, _GLM_TOKENS, _glm4v_moe),
    "kimi_k25": Tiny(
        _KIMI_TEMPLATE,
        "<|im_end|>",
        {"image_token": "<|media_pad|>", "video_token": "<|video|>"},
        (*CHATML, "<|media_begin|>", "<|media_content|>", "<|media_end|>"),
        _kimi,
    ),
    "lfm2_vl": Tiny(
        chatml_template("<image>"),
        "<|im_end|>",
        _IMAGE
        | {
            "image_start_token": "<|image_start|>",
            "image_end_token": "<|image_end|>",
            "image_thumbnail": "<|img_thumbnail|>",
        },
        (*CHATML,),
        _lfm2_vl,
    ),
    "llama4": Tiny(_LLAMA_TEMPLATE, "<|eot_id|>", {}, (*_LLAMA_TOKENS, *_LLAMA4), _llama4),
    "minicpmv4_6": Tiny(chatml_template("<unk_image>"), "<|im_end|>", _MINICPM, CHATML, _minicpm),
    "mllama": Tiny(
        "{{ bos_token }}" + _LLAMA_TEMPLATE,
        "<|eot_id|>",
        {"image_token": "<|image|>"},
        (*_LLAMA_TOKENS, "<|begin_of_text|>", "<|python_tag|>"),
        _mllama,
    ),
    "qwen3_5_moe": Tiny(trl_template("qwen3_vl"), "<|im_end|>", QWEN, CHATML, _qwen3_5_moe),
    "vipllava": Tiny(VICUNA_TEMPLATE, "</s>", _IMAGE, (), _vipllava),
}
