"""How long a row will be, without decoding its pictures: words through the tokenizer, pictures by their size alone.

Good to a few tokens in a hundred, which is what filling bins evenly needs; the exact length is checked when the
dialogue is encoded.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from PIL import Image

from mmcr_dataset.images import PictureError, open_picture
from training.encode import LIMITS, Encoder, Skipped, to_dialogue

_SIDE_STEP_PX = 32  # pictures whose sides round to the same multiple count as one size


@dataclass(frozen=True)
class Measurer:
    """Estimates the tokens of rows for one encoder."""

    encoder: Encoder

    def measure(self, row: Mapping[str, Any]) -> int:
        """Estimated tokens of a row; what can't be read counts nothing here and is named when it is encoded."""
        try:
            dialogue = to_dialogue(row)
        except Skipped:
            return 0
        processor = self.encoder.processor
        text, _ = self.encoder.render(dialogue)
        num_tokens = len(processor.tokenizer(text, add_special_tokens=False)["input_ids"])
        for picture in dialogue.pictures:
            try:
                width, height = open_picture(picture.data, LIMITS).size
            except PictureError:
                continue
            num_tokens += _count_picture_tokens(
                processor, _rounded(width), _rounded(height), several=len(dialogue.pictures) > 1
            )
        return num_tokens


def _rounded(side: int) -> int:
    return max(1, round(side / _SIDE_STEP_PX)) * _SIDE_STEP_PX


@functools.lru_cache(maxsize=4096)
def _count_picture_tokens(processor: Any, width: int, height: int, several: bool) -> int:
    """Tokens of a picture of that size, counted once by letting the processor do it."""
    count = 2 if several else 1
    messages = [{"role": "user", "content": [{"type": "image"}] * count}]
    text = processor.apply_chat_template(messages)
    pictures = [Image.new("RGB", (width, height), (90, 120, 150))] * count
    with_pictures = processor(text=[text], images=[pictures], add_special_tokens=False, return_tensors="pt")
    bare = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    return int(with_pictures["input_ids"].shape[1] - len(bare)) // count
