"""How a model is loaded and how it writes: settings of a run that every reply depends on."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmcr_dataset.record.messages import text_block

TOKEN_LIMITS = ("max_new_tokens", "max_gen_toks")
_MARK = re.compile(r"‹image (\d)›")  # as plain_text escapes it
QUANTIZATIONS = ("bitsandbytes-4bit", "bitsandbytes-8bit")


@dataclass(frozen=True)
class LoadSettings:
    """How a local checkpoint is loaded.

    Attributes:
        dtype: `auto` for the checkpoint's, or a torch dtype such as float32.
        device_map: None for one device, else accelerate's, such as auto.
        attn_implementation: None for transformers' choice.
        quantization: None, bitsandbytes-4bit or bitsandbytes-8bit.
    """

    dtype: str = "auto"
    device_map: str | None = None
    attn_implementation: str | None = None
    quantization: str | None = None

    def __post_init__(self) -> None:
        if self.dtype not in ("auto", "float32", "float16", "bfloat16"):
            raise ValueError(f"--dtype {self.dtype}: expected auto, float32, float16 or bfloat16")
        if self.quantization is not None and self.quantization not in QUANTIZATIONS:
            raise ValueError(f"--quantization {self.quantization}: expected {' or '.join(QUANTIZATIONS)}")

    def options(self) -> dict[str, Any]:
        """Arguments of `from_pretrained`.

        Raises:
            ValueError: bitsandbytes is asked for and not installed.
        """
        options: dict[str, Any] = {"dtype": self.dtype}
        if self.device_map is not None:
            options["device_map"] = self.device_map
        if self.attn_implementation is not None:
            options["attn_implementation"] = self.attn_implementation
        if self.quantization is not None:
            import importlib.util

            if importlib.util.find_spec("bitsandbytes") is None:
                raise ValueError(f"--quantization {self.quantization} needs bitsandbytes: pip install bitsandbytes")
            from transformers import BitsAndBytesConfig

            bits = {"load_in_4bit": True} if self.quantization.endswith("4bit") else {"load_in_8bit": True}
            options["quantization_config"] = BitsAndBytesConfig(**bits)
            options.setdefault("device_map", "auto")
        return options


@dataclass(frozen=True)
class Wording:
    """How the rules put a task to a local checkpoint, where that is not the chat template's own way.

    Attributes:
        image_options: options of the image processor, such as pixel limits.
        only_of_type: type of the models that the options are for; others are asked as they are. Empty: for all.
        max_tiles: tiles of all images of a prompt, 0 without limit.
        first_image_scale: the first image is enlarged by this factor.
        image_mark: an image as a part of the message's text; None for the template's image blocks.
        own_lines: texts and images between them stand on lines of their own.
        has_marks: `<image 1>` stands in the text as the benchmark wrote it.
        reply_begin: what stands after the generation prompt, so that the reply goes on from it.
        only_if_lettered: `reply_begin` only where the prompt lists options A and B.
    """

    image_options: Mapping[str, Any] = field(default_factory=dict)
    only_of_type: str = ""
    max_tiles: int = 0
    first_image_scale: int = 1
    image_mark: str | None = None
    own_lines: bool = False
    has_marks: bool = False
    reply_begin: str = ""
    only_if_lettered: bool = False

    def describe(self) -> dict[str, Any]:
        """What differs from the template's own way, for the identity of replies."""
        found: dict[str, Any] = {"images": dict(self.image_options)} if self.image_options else {}
        names = ("max_tiles", "first_image_scale", "image_mark", "own_lines", "reply_begin", "only_if_lettered")
        return found | {name: getattr(self, name) for name in names if getattr(self, name) != getattr(Wording, name)}

    def write(self, messages: Sequence[Any]) -> list[Any]:
        """The messages for the chat template."""
        return [{**message, "content": self._blocks(message["content"])} for message in messages]

    def _blocks(self, content: Sequence[Any]) -> list[Any]:
        blocks = [
            {**block, "text": _MARK.sub(r"<image \1>", block["text"])} if "text" in block and self.has_marks else block
            for block in content
        ]
        if self.own_lines:
            blocks = _on_own_lines(blocks)
        if self.image_mark is None:
            return blocks
        return [text_block("".join(block.get("text", self.image_mark) for block in blocks))]

    def begin(self, prompt: str) -> str:
        """What stands after a rendered prompt."""
        is_lettered = "A." in prompt and "B." in prompt
        return self.reply_begin if is_lettered or not self.only_if_lettered else ""

    def options_of(self, num_images: int) -> dict[str, Any]:
        """Options of the image processor for a prompt of so many images."""
        options = dict(self.image_options)
        if self.max_tiles and num_images:
            options["max_patches"] = max(1, min(options["max_patches"], self.max_tiles // num_images))
        return options


def _on_own_lines(blocks: Sequence[Any]) -> list[Any]:
    """Stripped texts, each with its line break but the last; an empty one where an image begins or follows another."""
    found: list[Any] = []
    for block in blocks:
        is_image = "text" not in block
        if is_image and (not found or "text" not in found[-1]):
            found.append(text_block("\n"))
        found.append(block if is_image else text_block(block["text"].strip() + "\n"))
    if "text" in found[-1]:
        found[-1] = text_block(found[-1]["text"][:-1])
    return found


@dataclass(frozen=True)
class GenerationSettings:
    """How a model writes.

    Attributes:
        gen_kwargs: generation settings by their names in `generate` or in the chat API; greedy if empty.
        system_prompt: system message in front of every dialogue, None for the template's own.
        template_options: options of the chat template, such as enable_thinking.
        extra_body: further fields of a server's requests.
    """

    gen_kwargs: Mapping[str, Any] = field(default_factory=dict)
    system_prompt: str | None = None
    template_options: Mapping[str, Any] = field(default_factory=dict)
    extra_body: Mapping[str, Any] = field(default_factory=dict)

    def for_api(self, sample_id: str, turn: int, repeat: int) -> dict[str, Any]:
        """Fields of a request to a chat API, besides messages and token limit."""
        given = {name: value for name, value in self.gen_kwargs.items() if name not in ("do_sample", *TOKEN_LIMITS)}
        fields: dict[str, Any] = {"temperature": 0.0, **given}
        if self.samples:
            fields["seed"] = self.seed_of(sample_id, turn, repeat)
        return fields | dict(self.extra_body)

    def describe(self) -> dict[str, Any]:
        """The settings that differ from the default, for the identity of a run."""
        found: dict[str, Any] = {
            "gen_kwargs": dict(self.gen_kwargs),
            "system_prompt": self.system_prompt,
            "template_options": dict(self.template_options),
            "extra_body": dict(self.extra_body),
        }
        return {name: value for name, value in found.items() if value}

    @property
    def samples(self) -> bool:
        """True if replies are drawn, not greedy."""
        given = self.gen_kwargs.get("do_sample")
        return bool(given) if given is not None else float(self.gen_kwargs.get("temperature") or 0) > 0

    def seed_of(self, sample_id: str, turn: int, repeat: int) -> int:
        """Seed of a reply: the same whatever else is asked beside it."""
        text = f"{self.gen_kwargs.get('seed', 0)}\0{sample_id}\0{turn}\0{repeat}"
        return int.from_bytes(hashlib.sha256(text.encode()).digest()[:4], "big") >> 1
