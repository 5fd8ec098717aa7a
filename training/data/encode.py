"""Encode a dialogue: token ids, labels, image tensors; or the reason why it is skipped.

Shapes: T tokens of one dialogue.
"""

from __future__ import annotations

import functools
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mmcr_dataset.record.dialogue import Dialogue, InvalidDialogue
from mmcr_dataset.record.images import ImageError, ImageLimits, decode_rgb
from mmcr_dataset.record.messages import to_messages
from mmcr_dataset.record.row import from_row
from training.data.loss_mask import NO_LOSS, shift_spans, spans_to_mask
from training.data.pixels import uint8_kwargs

_TEXT_OUTPUTS = ("input_ids", "attention_mask", "offset_mapping", "text_replacement_offsets")
LIMITS = ImageLimits(side_min_px=1, aspect_max=1000.0)  # loose: images were filtered when the data set was built


class Skipped(ValueError):
    """A row can't be trained; `.reason` is an error code for counting, the message names the row and the cause."""

    def __init__(self, row_id: str, reason: str, detail: str) -> None:
        super().__init__(f"row {row_id!r}: {reason}: {detail}")
        self.row_id = row_id
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Encoded:
    """One dialogue as tensors.

    Attributes:
        id: id of the row.
        input_ids_T: token ids.
        labels_T: token ids of the answers, -100 elsewhere.
        images: image outputs of the processor (`pixel_values`, ...); empty for a text-only dialogue.
        token_types_T: `mm_token_type_ids` if the family has them.
    """

    id: str
    input_ids_T: torch.Tensor
    labels_T: torch.Tensor
    images: dict[str, torch.Tensor] = field(default_factory=dict)
    token_types_T: torch.Tensor | None = None

    def __len__(self) -> int:
        return len(self.input_ids_T)

    @property
    def num_trained(self) -> int:
        """Number of tokens with loss."""
        return int((self.labels_T != NO_LOSS).sum())


def to_dialogue(row: Mapping[str, Any]) -> Dialogue:
    """The dialogue of a row with undecoded images.

    Raises:
        Skipped: the row violates an invariant (more placeholders than images, unknown roles, ...), named in `.reason`.
    """
    try:
        return from_row(row)
    except InvalidDialogue as error:
        raise Skipped(str(row.get("id")), error.invariant, error.detail) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise Skipped(str(row.get("id")), "not_a_row", f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Encoder:
    """Encodes dialogues with a processor.

    Attributes:
        processor: the family's processor, whose `chat_template` marks the generated spans.
        max_length_tokens: longer dialogues are skipped, never truncated; None for no limit.
        uint8_pixels: leave `pixel_values` as uint8 for `rescale_and_normalize` of pixels.py, if the processor can.
    """

    processor: Any
    max_length_tokens: int | None = None
    uint8_pixels: bool = False

    @functools.cached_property
    def _images_kwargs(self) -> dict[str, Any]:
        kwargs = uint8_kwargs(self.processor.image_processor) if self.uint8_pixels else {}
        # images are RGB already; tensors for images only, since transformers converts text outputs slowly
        return {"return_tensors": "pt", "do_convert_rgb": False} | kwargs

    def render(self, dialogue: Dialogue) -> tuple[str, list[tuple[int, int]]]:
        """Render the chat template: the text, and the character spans of the answers with their end-of-turn tokens."""
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, spans = render_jinja_template(
            conversations=[to_messages(dialogue, dialogue.references)],
            chat_template=self.processor.chat_template,
            return_assistant_tokens_mask=True,
            **self.processor.tokenizer.special_tokens_map,
        )
        return texts[0], spans[0]

    def encode(self, dialogue: Dialogue) -> Encoded:
        """Encode a dialogue; loss only on the assistant's tokens with their end of turn.

        Raises:
            Skipped: an image error such as corrupt_image, alternation, processor_refused, no_trained_tokens, too_long.
        """
        text, spans = self.render(dialogue)
        if len(spans) != len(dialogue.turns):
            raise Skipped(
                dialogue.id,
                "alternation",
                f"the chat template marks {len(spans)} answers in {len(dialogue.turns)} turns; it drops or joins turns",
            )
        try:
            images = [decode_rgb(image.data, LIMITS) for image in dialogue.images]
        except ImageError as error:
            raise Skipped(dialogue.id, error.reason, error.detail) from error
        try:
            out = self.processor(
                text=[text],
                images=[images] if images else None,
                add_special_tokens=False,
                return_offsets_mapping=True,
                return_text_replacement_offsets=True,
                images_kwargs=self._images_kwargs,
            )
        except ValueError as error:  # Qwen-VL's processor refuses aspect ratios above 200
            raise Skipped(dialogue.id, "processor_refused", str(error)) from error
        input_ids_T = torch.tensor(out["input_ids"][0])
        self._check_length(dialogue, len(input_ids_T))
        replacements = (out.get("text_replacement_offsets") or [[]])[0]
        mask_T = spans_to_mask(np.array(out["offset_mapping"][0]), shift_spans(np.array(spans), replacements))
        if not mask_T.any():
            raise Skipped(dialogue.id, "no_trained_tokens", "no token of the dialogue is part of an answer")
        labels_T = torch.where(torch.from_numpy(mask_T), input_ids_T, NO_LOSS)
        types = out.pop("mm_token_type_ids", None)
        return Encoded(
            id=dialogue.id,
            input_ids_T=input_ids_T,
            labels_T=labels_T,
            images={name: value for name, value in out.items() if name not in _TEXT_OUTPUTS},
            token_types_T=None if types is None else torch.tensor(types[0]),
        )

    def _check_length(self, dialogue: Dialogue, length_tokens: int) -> None:
        if self.max_length_tokens is not None and length_tokens > self.max_length_tokens:
            raise Skipped(
                dialogue.id,
                "too_long",
                f"{length_tokens} tokens, max_length_tokens is {self.max_length_tokens}; dialogues are never truncated",
            )
