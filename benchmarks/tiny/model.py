"""A tiny model of a type with random weights: its chat template, tokens and processor."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import torch

from training.families.family import TINY_VISION, Family, tiny_text_settings
from training.model.tiny import train_tokenizer

SIDE, PATCH = 56, 14
VISION = TINY_VISION | {"image_size": SIDE, "patch_size": PATCH}
SIZE = {"height": SIDE, "width": SIDE}
CHATML = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")


def content_template(image: str) -> str:
    """The part of a template that renders a message's content, a string or blocks."""
    return (
        "{% if message['content'] is string %}{{ message['content'] }}"
        "{% else %}{% for content in message['content'] %}"
        f"{{% if content['type'] in ('image', 'image_url') %}}{image}"
        "{% elif content['type'] == 'text' %}{{ content['text'] }}"
        "{% else %}{{ raise_exception('content of type ' + content['type'] + ': expected text or image') }}"
        "{% endif %}{% endfor %}{% endif %}"
    )


@dataclass(frozen=True)
class Tiny:
    """A tiny model of a type: its chat template, its tokens, and how it is built.

    Attributes:
        template: the chat template.
        end: the token that ends a turn.
        named: tokens that the processor knows by name.
        others: more special tokens.
        build: (tokenizer, settings of the language part) -> model and processor.
    """

    template: str
    end: str
    named: dict[str, str]
    others: tuple[str, ...]
    build: Callable[[Any, dict[str, Any]], tuple[Any, Any]]

    def make(self, texts: Iterable[str]) -> tuple[Any, Any]:
        """The model and its processor, with a tokenizer trained on these texts."""
        from transformers import PreTrainedTokenizerFast

        special = tuple(dict.fromkeys(("<|endoftext|>", self.end, *self.others, *self.named.values())))
        family = Family("", "", {}, special_tokens=special, end_of_turn=self.end)
        bare = train_tokenizer(texts, family)
        tokenizer = PreTrainedTokenizerFast(
            tokenizer_object=bare.backend_tokenizer, pad_token="<|endoftext|>", eos_token=self.end,
            extra_special_tokens=self.named,
        )  # fmt: skip
        torch.manual_seed(0)
        model, processor = self.build(tokenizer, tiny_text_settings(tokenizer, self.end))
        processor.chat_template = self.template
        return model, processor
