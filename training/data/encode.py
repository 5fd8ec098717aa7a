"""Encode a dialogue: token ids, labels, image tensors; or the named reason why it can't be trained.

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
from training.data.pixels import ask_for_bytes

_TEXT_OUTPUTS = ("input_ids", "attention_mask", "offset_mapping", "text_replacement_offsets")
LIMITS = ImageLimits(side_min_px=1, aspect_max=1000.0)  # a row's images were judged when it was built


class Skipped(ValueError):
    """A row can't be trained; `.reason` is a short name for counting, the message says which row and why."""

    def __init__(self, row_id: str, reason: str, detail: str) -> None:
        super().__init__(f"row {row_id!r}: {reason}: {detail}")
        self.row_id = row_id
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Encoded:
    """One dialogue as tensors.

    Attributes:
        id: the row's id.
        input_ids_T: its tokens.
        labels_T: the same where an answer is, -100 elsewhere.
        images: what the processor made of the images (`pixel_values`, ...); empty for a dialogue of text alone.
        token_types_T: `mm_token_type_ids` where the family has them.
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
        """How many tokens carry loss."""
        return int((self.labels_T != NO_LOSS).sum())


def to_dialogue(row: Mapping[str, Any]) -> Dialogue:
    """The dialogue of a row with undecoded images.

    Raises:
        Skipped: the row breaks an invariant (more marks than images, unknown roles, ...); the reason is its name.
    """
    try:
        return from_row(row)
    except InvalidDialogue as error:
        raise Skipped(str(row.get("id")), error.invariant, error.detail) from error
    except (KeyError, TypeError, AttributeError) as error:
        raise Skipped(str(row.get("id")), "not_a_row", f"{type(error).__name__}: {error}") from error


@dataclass(frozen=True)
class Encoder:
    """Turns dialogues into tensors with one processor.

    Attributes:
        processor: the family's processor, its `chat_template` the one with generation marks.
        max_length_tokens: longer dialogues are refused by name, never cut; None for no limit.
        pixels_as_bytes: `pixel_values` are what `to_floats` of pixels.py reads, where the processor can give that.
    """

    processor: Any
    max_length_tokens: int | None = None
    pixels_as_bytes: bool = False

    @functools.cached_property
    def _images_kwargs(self) -> dict[str, Any]:
        bytes_kwargs = ask_for_bytes(self.processor.image_processor) if self.pixels_as_bytes else {}
        # decoded as RGB already; tensors for the images alone, because transformers walks those of texts slowly
        return {"return_tensors": "pt", "do_convert_rgb": False} | bytes_kwargs

    def render(self, dialogue: Dialogue) -> tuple[str, list[tuple[int, int]]]:
        """The text of a whole dialogue and the character spans of its answers with their ends of turn."""
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, spans = render_jinja_template(
            conversations=[to_messages(dialogue, dialogue.references)],
            chat_template=self.processor.chat_template,
            return_assistant_tokens_mask=True,
            **self.processor.tokenizer.special_tokens_map,
        )
        return texts[0], spans[0]

    def encode(self, dialogue: Dialogue) -> Encoded:
        """The dialogue as tensors; loss on the assistant's tokens and their end of turn only.

        Raises:
            Skipped: corrupt_image and its like, alternation, processor_refused, no_trained_tokens, too_long.
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
        except ValueError as error:  # Qwen-VL's takes no side more than 200 times as long as the other
            raise Skipped(dialogue.id, "processor_refused", str(error)) from error
        input_ids_T = torch.tensor(out["input_ids"][0])
        self._check_length(dialogue, len(input_ids_T))
        replacements = (out.get("text_replacement_offsets") or [[]])[0]
        mask_T = spans_to_mask(np.array(out["offset_mapping"][0]), shift_spans(np.array(spans), replacements))
        if not mask_T.any():
            raise Skipped(dialogue.id, "no_trained_tokens", "no token of the dialogue lies in an answer")
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
                f"{length_tokens} tokens, max_length_tokens is {self.max_length_tokens}; a dialogue is never cut",
            )
