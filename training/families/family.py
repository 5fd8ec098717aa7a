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


@dataclass(frozen=True)
class Family:
    """A family of vision-language models: everything that training needs to know about it.

    Attributes:
        model_type: `model_type` of a checkpoint's `config.json`.
        chat_template: Jinja template with `{% generation %}` around the spans with loss; saved with the checkpoint, so
            that evaluation uses the same template.
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
        save_memory: applied with gradient checkpointing of the vision part, for modules other than its layers.
    """

    model_type: str
    chat_template: str
    parts: dict[str, tuple[str, ...]]
    special_tokens: tuple[str, ...]
    end_of_turn: str
    to_tiny: Callable[[Any], tuple[Any, Any]]
    join_images: Callable[[Sequence[Images]], Images] = concatenate_images
    count_image_tokens: Callable[[Any, int, int, bool], int] | None = None
    has_m_rope: bool = False
    uint8_pixels: bool = False
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
    """A ChatML template with loss on each answer and its `<|im_end|>`, not on the line break after it.

    An image block is rendered as `image` without a line break, which is part of the dialogue's text.

    Args:
        image: the image placeholder of the family's processor.
        system: the family's system prompt, None for none.
    """
    opening = f"<|im_start|>system\\n{system}<|im_end|>\\n" if system else ""
    return (
        "{%- macro show(content) %}"
        "{%- if content is string %}{{- content }}"
        "{%- else %}{%- for block in content %}"
        f"{{%- if block['type'] == 'image' %}}{{{{- '{image}' }}}}{{%- else %}}{{{{- block['text'] }}}}{{%- endif %}}"
        "{%- endfor %}{%- endif %}"
        "{%- endmacro %}"
        f"{{{{- '{opening}' }}}}"
        "{%- for message in messages %}"
        "{{- '<|im_start|>' + message['role'] + '\\n' }}"
        "{%- if message['role'] == 'assistant' %}"
        "{% generation %}{{- show(message['content']) + '<|im_end|>' }}{% endgeneration %}"
        "{%- else %}{{- show(message['content']) + '<|im_end|>' }}{%- endif %}"
        "{{- '\\n' }}"
        "{%- endfor %}"
        "{%- if add_generation_prompt %}{{- '<|im_start|>assistant\\n' }}{%- endif %}"
    )
