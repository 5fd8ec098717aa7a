"""Run rows through TRL's own collator, where TRL is installed, with a small processor that needs no download.

The processor is transformers' LlavaProcessor with a vocabulary of bytes: an image becomes `_PATCHES` placeholders.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping, Sequence
from importlib.util import find_spec
from typing import Any

_SIDE_PX, _PATCH_PX = 28, 14
_PATCHES = (_SIDE_PX // _PATCH_PX) ** 2
_IMAGE = "<image>"
_TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{% for block in message['content'] %}"
    "{% if block['type'] == 'image' %}<image>{% else %}{{ block['text'] }}{% endif %}{% endfor %}<|end|>{% endfor %}"
)
ShowProblem = Callable[[Sequence[Mapping[str, Any]]], str | None]


def is_installed() -> bool:
    """Whether TRL is installed."""
    return find_spec("trl") is not None and find_spec("transformers") is not None


def open_collator() -> ShowProblem | None:
    """A function that collates rows with decoded images and says what is wrong with them; None without TRL."""
    if not is_installed():
        return None
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    processor = _small_processor()
    collator = DataCollatorForVisionLanguageModeling(processor)
    image_id = processor.tokenizer.convert_tokens_to_ids(_IMAGE)

    def show_problem(rows: Sequence[Mapping[str, Any]]) -> str | None:
        examples = [{name: copy.copy(row[name]) for name in ("images", "messages")} for row in rows]
        wanted = [len(row["images"]) for row in rows]
        try:
            batch = collator(examples)
        except (ValueError, TypeError, KeyError, IndexError, AttributeError, RuntimeError, OSError) as error:
            return f"TRL's collator rejects it: {type(error).__name__}: {error}"
        shown = (batch["input_ids"] == image_id).sum(dim=1).tolist()
        if shown != [_PATCHES * count for count in wanted]:
            return f"TRL's collator shows {[count / _PATCHES for count in shown]} images, expected {wanted}"
        num_pixels = len(batch["pixel_values"]) if "pixel_values" in batch else 0
        if num_pixels != sum(wanted):
            return f"TRL's collator makes {num_pixels} images of pixels, expected {sum(wanted)}"
        return None

    return show_problem


def _small_processor() -> Any:  # noqa: ANN401  (transformers is not typed)
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import CLIPImageProcessor, LlavaProcessor, PreTrainedTokenizerFast

    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    tokenizer = Tokenizer(models.BPE({character: place for place, character in enumerate(alphabet)}, []))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    names = [_IMAGE, "<|user|>", "<|assistant|>", "<|end|>"]
    special = {"pad_token": "<|pad|>", "eos_token": "<|end|>", "additional_special_tokens": names}
    fast = PreTrainedTokenizerFast(tokenizer_object=tokenizer, **special)
    side = {"height": _SIDE_PX, "width": _SIDE_PX}
    images = CLIPImageProcessor(size=side, crop_size=side, do_center_crop=False)
    return LlavaProcessor(
        images, fast, patch_size=_PATCH_PX, vision_feature_select_strategy="full", chat_template=_TEMPLATE
    )
