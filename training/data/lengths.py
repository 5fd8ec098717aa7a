"""Length of a row in tokens without decoding its images: text by the tokenizer, images by their size.

Exact, so that a bin packed by these lengths never exceeds its size.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from PIL import Image

from mmcr_dataset.record.dialogue import DialogueImage
from mmcr_dataset.record.images import ImageError, open_image
from mmcr_dataset.record.messages import Question, to_messages
from training.data.conversation import to_conversation
from training.data.encode import LIMITS, Encoder
from training.families.family import Family

_ORIENTATION = 0x0112  # EXIF tag; values 5 to 8 swap width and height


class Length(NamedTuple):
    """Number of tokens of a row, 0 if it can't be trained, and whether it has images."""

    tokens: int
    has_images: bool


@dataclass(frozen=True)
class Measurer:
    """Counts the tokens of rows for one encoder."""

    encoder: Encoder
    family: Family

    def measure(self, row: Mapping[str, Any]) -> Length:
        """The length of a row; 0 if it can't be trained, which is reported when it is encoded."""
        processor = self.encoder.processor
        count = self.family.count_image_tokens or _count_with_processor
        try:
            asked = to_conversation(row)
            text, _ = self.encoder.render(asked)
            sizes = [self.encoder.limits.size(*_upright_size(image.data)) for image in asked.dialogue.images]
            added = sum(count(processor, width, height, len(sizes) > 1) - 1 for width, height in sizes)
        except (ValueError, ImageError):  # the row's, the template's, an image's, or the processor's
            return Length(0, False)
        special = self.encoder.adds_special_tokens(text)
        tokens = len(processor.tokenizer(text, add_special_tokens=special)["input_ids"]) + added
        limit = self.encoder.max_length_tokens
        return Length(0 if limit is not None and tokens > limit else tokens, bool(sizes))


def _upright_size(data: bytes) -> tuple[int, int]:
    """Width and height after EXIF orientation, as in `decode_rgb`; of a PNG only the header chunks are read."""
    image = open_image(data, LIMITS)
    width, height = image.size
    tagged = image.format != "PNG" or "exif" in image.info
    return (height, width) if tagged and image.getexif().get(_ORIENTATION, 1) >= 5 else (width, height)


@functools.lru_cache(maxsize=65536)
def _count_with_processor(processor: Any, width: int, height: int, several: bool) -> int:
    """Tokens of an image of this size, by running the processor: for a family without a formula."""
    count = 2 if several else 1
    text = Encoder(processor).render_text(to_messages(Question("", (DialogueImage(b""),) * count)))
    images = [Image.new("RGB", (width, height), (90, 120, 150))] * count
    with_images = processor(text=[text], images=[images], add_special_tokens=False, return_tensors="pt")
    bare = processor.tokenizer(text, add_special_tokens=False)["input_ids"]
    return (int(with_images["input_ids"].shape[1]) - len(bare)) // count + 1
