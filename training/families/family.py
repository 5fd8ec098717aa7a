"""The contract of a model family: its chat template, special tokens, parts, and a tiny model of its kind.

Adding a family is one file in training/families/ that holds FAMILY.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

Images = dict[str, Any]  # what a processor made of one dialogue's images: name -> tensor


def concatenate_images(images: Sequence[Images]) -> Images:
    """The image tensors of several dialogues, joined along their first dimension, in order."""
    import torch

    if len(images) == 1:
        return images[0]
    names = {name: None for one in images for name in one}
    return {name: torch.cat([one[name] for one in images if name in one]) for name in names}


def count_patch_tokens(processor: Any, width: int, height: int, several: bool) -> int:
    """Tokens of an image between its start and its end, for the Qwen-VL families."""
    num_patches = processor.image_processor.get_number_of_image_patches(height, width)
    return int(num_patches) // int(processor.image_processor.merge_size) ** 2


def _nothing_else(model: Any) -> None:
    pass


@dataclass(frozen=True)
class Family:
    """A kind of vision-language model: everything that training needs to know about it.

    Attributes:
        model_type: what `config.json` of a checkpoint says.
        chat_template: Jinja text with `{% generation %}` around what carries loss; saved with the checkpoint, so that
            evaluation asks the text that was trained.
        parts: name of a part -> beginnings of its parameters' names; what `freeze` can name.
        special_tokens: what a tokenizer of a tiny model must hold.
        end_of_turn: the token that ends an answer, and is trained.
        to_tiny: a tokenizer -> a small model with random weights and its processor, of the family's true classes.
        join_images: the image tensors of several dialogues -> those of one batch.
        count_image_tokens: (processor, width, height, whether it is one of several) -> tokens of an image, without
            decoding it; None finds out by letting the processor do it, which is slow.
        has_m_rope: positions are in time, height and width (packing.m_rope_positions).
        pixels_as_bytes: its image processor ends with mean and deviation and nothing after, so pixels can leave the
            workers as bytes (pixels.py).
        save_memory: what else can be computed again instead of kept, besides the layers.
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
    pixels_as_bytes: bool = False
    save_memory: Callable[[Any], None] = _nothing_else


def tiny_text_settings(tokenizer: Any, end_of_turn: str, width: int = 128) -> dict[str, Any]:
    """Settings of the small language model that every tiny model has."""
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
    """A ChatML template whose loss covers each answer and its `<|im_end|>`, not the line break after it.

    An image block becomes `image` and nothing more: the line break after it is in the dialogue's own text.

    Args:
        image: what the family's processor reads as one image.
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
