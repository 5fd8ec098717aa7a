"""The interface of a model family: chat template, special tokens, parts, and a tiny model of its architecture.

To add a family, add a file with FAMILY to training/families/.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Images = dict[str, Any]  # image outputs of a processor for one dialogue: name -> tensor


def concatenate_images(images: Sequence[Images]) -> Images:
    """The image tensors of several dialogues, concatenated along their first dimension."""
    import torch

    if len(images) == 1:
        return images[0]
    names = {name: None for one in images for name in one}
    return {name: torch.cat([one[name] for one in images if name in one]) for name in names}


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
        has_m_rope: M-RoPE: positions in time, height and width (packing.m_rope_positions).
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
    join_images: Callable[[Sequence[Images]], Images] = concatenate_images
    count_image_tokens: Callable[[Any, int, int, bool], int] | None = None
    has_m_rope: bool = False
    uint8_pixels: bool = False
    alone: bool = False
    no_packing: str | None = None
    save_memory: Callable[[Any], None] = _save_nothing


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


def chatml_template(image: str, system: str | None) -> str:
    """The ChatML template of many checkpoints; a block that is neither text nor an image is an error.

    An image block is rendered as `image` without a line break, which is part of the dialogue's text.

    Args:
        image: the image placeholder of the family's processor.
        system: the family's system prompt for dialogues without a system message, None for none.
    """
    default = (
        f"{{% if loop.first and message['role'] != 'system' %}}<|im_start|>system\n{system}<|im_end|>\n{{% endif %}}"
        if system
        else ""
    )
    return (
        "{% for message in messages %}"
        f"{default}"
        "<|im_start|>{{ message['role'] }}\n"
        f"{content_template(image)}"
        "<|im_end|>\n"
        "{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )


def content_template(image: str) -> str:
    """The part of a template that renders a message's content, a string or blocks; servers look for this loop."""
    return (
        "{% if message['content'] is string %}{{ message['content'] }}"
        "{% else %}{% for content in message['content'] %}"
        f"{{% if content['type'] in ('image', 'image_url') %}}{image}"
        "{% elif content['type'] == 'text' %}{{ content['text'] }}"
        "{% else %}{{ raise_exception('content of type ' + content['type'] + ': expected text or image') }}"
        "{% endif %}{% endfor %}{% endif %}"
    )
