"""The interface of a model family: chat template, special tokens, parts, and a tiny model of its architecture.

To add a family, add a file with FAMILY to training/families/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

QWEN_IMAGE = "<|vision_start|><|image_pad|><|vision_end|>"
QWEN_TOKENS = (
    "<|endoftext|>", "<|im_start|>", "<|im_end|>",
    "<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>",
)  # fmt: skip
TINY_VISION = {"hidden_size": 48, "intermediate_size": 96, "num_hidden_layers": 2, "num_attention_heads": 2}
TINY_QWEN_VISION = {
    "depth": 2, "hidden_size": 48, "intermediate_size": 96, "num_heads": 2, "spatial_merge_size": 2,
    "out_hidden_size": 128,
}  # fmt: skip

Images = dict[str, Any]  # image outputs of a processor for one dialogue: name -> tensor


def join_padded(images: Sequence[Images]) -> Images:
    """The image tensors of several dialogues along the first dimension, others filled up with zeros to the largest.

    Models with a varying number of tiles drop tiles of zeros; those with a varying size crop to `image_sizes`.
    """
    import torch
    from torch.nn.functional import pad

    joined: Images = {}
    for name in {name: None for one in images for name in one}:
        tensors = [torch.as_tensor(one[name]) for one in images if name in one]
        largest = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
        filled = []
        for tensor in tensors:
            missing = [most - size for most, size in zip(largest, tensor.shape[1:], strict=True)]
            sides = [side for more in reversed(missing) for side in (0, more)]
            filled.append(pad(tensor, sides) if any(missing) else tensor)
        joined[name] = torch.cat(filled)
    return joined


def count_patch_tokens(processor: Any, width: int, height: int, several: bool) -> int:
    """Tokens of an image without its start and end tokens, for the Qwen-VL families.

    Args:
        processor: the family's processor.
        width: of the image in pixels.
        height: of the image in pixels.
        several: whether the dialogue has several images.
    """
    num_patches = processor.image_processor.get_number_of_image_patches(height, width)
    return int(num_patches) // int(processor.image_processor.merge_size) ** 2


def _save_nothing(model: Any) -> None:
    pass


def _no_tiny(tokenizer: Any) -> tuple[Any, Any]:
    raise ValueError("this family has no tiny model; name a checkpoint")


@dataclass(frozen=True)
class Family:
    """A family of vision-language models: everything that training needs to know about it.

    Attributes:
        model_type: `model_type` of a checkpoint's `config.json`.
        chat_template: Jinja template of a tiny model, as in the family's checkpoints; theirs is their own.
        parts: name of a part (for `freeze`) -> prefixes of its parameters' names.
        special_tokens: special tokens of a tiny model's tokenizer.
        end_of_turn: the token that ends an answer; it has loss.
        to_tiny: a tokenizer -> a small model with random weights and its processor, of the family's real classes.
        join_images: the image tensors of several dialogues -> those of one batch.
        count_image_tokens: (processor, width, height, whether it is one of several) -> tokens of an image, without
            decoding it; None runs the processor, which is slow.
        has_m_rope: M-RoPE: positions in time, height and width, by the model's `get_rope_index`.
        uint8_pixels: its image processor ends with normalization, so that pixels can leave the workers as uint8
            (pixels.py).
        alone: a dialogue is not computed in a batch as it is alone, so a micro-batch has one, and needs an image.
        no_packing: why its dialogues can't be packed; None if they can.
        save_memory: applied with gradient checkpointing of the vision part, for modules other than its layers.
    """

    model_type: str
    chat_template: str
    parts: dict[str, tuple[str, ...]]
    special_tokens: tuple[str, ...] = ()
    end_of_turn: str = ""
    to_tiny: Callable[[Any], tuple[Any, Any]] = _no_tiny
    join_images: Callable[[Sequence[Images]], Images] = join_padded
    count_image_tokens: Callable[[Any, int, int, bool], int] | None = None
    has_m_rope: bool = False
    uint8_pixels: bool = False
    alone: bool = False
    no_packing: str | None = None
    save_memory: Callable[[Any], None] = _save_nothing


def qwen_ids(tokenizer: Any) -> dict[str, int]:
    """Ids of Qwen-VL's tokens, by their names in its configuration."""
    names = {"image": "image_pad", "video": "video_pad", "vision_start": "vision_start", "vision_end": "vision_end"}
    return {f"{name}_token_id": tokenizer.convert_tokens_to_ids(f"<|{token}|>") for name, token in names.items()}


def tiny_text_settings(tokenizer: Any, end_of_turn: str, width: int = 128) -> dict[str, Any]:
    """Configuration of the language part of tiny models."""
    return {
        "vocab_size": len(tokenizer),
        "hidden_size": width,
        "intermediate_size": 3 * width,
        "num_hidden_layers": 3,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "max_position_embeddings": 8192,
        "bos_token_id": None,
        "eos_token_id": tokenizer.convert_tokens_to_ids(end_of_turn),
        "pad_token_id": tokenizer.convert_tokens_to_ids("<|endoftext|>"),
        "tie_word_embeddings": True,
    }


def trl_template(name: str) -> str:
    """A chat template of published checkpoints that TRL has."""
    from importlib.resources import files

    return files("trl").joinpath("chat_templates", f"{name}.jinja").read_text(encoding="utf-8")


def chatml_template(image: str, system: bool = False) -> str:
    """The ChatML template of Qwen-VL with another image placeholder.

    Args:
        image: the image placeholder of the family's processor.
        system: dialogues without a system message get "You are a helpful assistant."
    """
    return trl_template("qwen2_5_vl" if system else "qwen3_vl").replace(QWEN_IMAGE, image)
