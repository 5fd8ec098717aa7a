"""The rules by which VLMEvalKit asks a checkpoint, from its type and size: `--rules vlmevalkit@2025-03:auto`."""

from __future__ import annotations

from eval_tasks.models.open_model import SERVED

AUTO = "vlmevalkit@2025-03:auto"
_OF_TYPE = {name: f"vlmevalkit@2025-03:{name}" for name in ("qwen2_vl", "qwen2_5_vl", "internvl", "llava_onevision")}
_OF_TYPE |= {"smolvlm": "vlmevalkit@2025-03:smolvlm"}
_SMOLVLM_WIDEST = 2048  # SmolVLM 1 has the type of Idefics3-8B, whose hidden size is 4096
# Hidden size of the language model -> size in the name of the Ovis2 adapter; 1B and 4B share the plain rules.
_OVIS2_SIZES = {896: "", 1536: ":2B", 2048: "", 3584: ":8B", 5120: ":8B"}
_OVIS2_34B_LAYERS = 64  # as wide as 16B


def rules_of_model(model: str) -> str:
    """The rules of the adapter of a `--model` value.

    Raises:
        ValueError: the model is not a local checkpoint, or there is no adapter for its type.
    """
    kind, _, place = model.partition(":")
    if kind not in ("hf", *SERVED):
        raise ValueError(
            f"--rules {AUTO}: needs a checkpoint (hf:..., {', '.join(SERVED)}), got --model {model}; name the rules"
        )
    from transformers import AutoConfig

    name, _, revision = place.partition("@")
    try:
        config = AutoConfig.from_pretrained(name, revision=revision or None, trust_remote_code=False)
    except (OSError, ValueError) as error:
        raise ValueError(f"--model {model} can't be loaded: {error}") from error
    text = config.get_text_config()
    if config.model_type == "ovis2" and text.hidden_size in _OVIS2_SIZES:
        size = ":34B" if text.num_hidden_layers >= _OVIS2_34B_LAYERS else _OVIS2_SIZES[text.hidden_size]
        return f"vlmevalkit@2025-03{size}"
    if config.model_type == "idefics3" and text.hidden_size <= _SMOLVLM_WIDEST:
        return _OF_TYPE["smolvlm"]
    if config.model_type in _OF_TYPE:
        return _OF_TYPE[config.model_type]
    raise ValueError(
        f"--rules {AUTO}: no adapter is written for the type {config.model_type} (hidden size {text.hidden_size}), "
        f"only for Ovis2, {', '.join(_OF_TYPE)}; name other rules, such as vlmevalkit@2024-07"
    )
