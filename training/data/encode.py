"""Encode a dialogue: token ids, labels, image tensors; or the reason why it is skipped.

Shapes: T tokens of one dialogue.
"""

from __future__ import annotations

import functools
import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

from mmcr_dataset.record.dialogue import Dialogue, Turn
from mmcr_dataset.record.images import ImageError, ImageLimits, decode_rgb
from training.data.answer_spans import NotTurnByTurn, find_answers
from training.data.conversation import Conversation, Skipped
from training.data.conversation import to_dialogue as to_dialogue
from training.data.loss_mask import NO_LOSS, shift_spans, spans_to_mask
from training.data.pixels import NO_LIMITS, PixelLimits, uint8_kwargs

log = logging.getLogger(__name__)

_TOKEN_TYPES = ("mm_token_type_ids", "token_type_ids")
_TEXT_OUTPUTS = ("input_ids", "attention_mask", "offset_mapping", "text_replacement_offsets")
LIMITS = ImageLimits(side_min_px=1, aspect_max=1000.0)  # loose: images were filtered when the data set was built


@dataclass(frozen=True, slots=True)
class Encoded:
    """One dialogue as tensors.

    Attributes:
        id: id of the row.
        input_ids_T: token ids.
        labels_T: token ids of the answers, -100 elsewhere.
        images: image outputs of the processor (`pixel_values`, ...); empty for a text-only dialogue.
        token_types_T: token types (1 for image tokens) if the family has them.
        token_types_name: their name as an input of the model.
        turns: numbers of the trained turns, from 1.
        domain: domain of the dialogue.
    """

    id: str
    input_ids_T: torch.Tensor
    labels_T: torch.Tensor
    images: dict[str, torch.Tensor] = field(default_factory=dict)
    token_types_T: torch.Tensor | None = None
    token_types_name: str = _TOKEN_TYPES[0]
    turns: tuple[int, ...] = ()
    domain: str | None = None

    def __len__(self) -> int:
        return len(self.input_ids_T)

    @property
    def num_trained(self) -> int:
        """Number of tokens with loss."""
        return int((self.labels_T != NO_LOSS).sum())

    def turns_of_tokens(self) -> torch.Tensor:
        """The turn of each token with loss, from 1; 0 for the others [T]."""
        trained_T = self.labels_T != NO_LOSS
        begins_T = trained_T & ~torch.cat([torch.tensor([False]), trained_T[:-1]])
        return torch.tensor([0, *self.turns])[begins_T.cumsum(0) * trained_T]


@dataclass(frozen=True)
class Encoder:
    """Encodes dialogues with a processor and its chat template.

    Attributes:
        processor: the checkpoint's processor.
        max_length_tokens: longer dialogues are skipped, never truncated; None for no limit.
        uint8_pixels: leave `pixel_values` as uint8 for `rescale_and_normalize` of pixels.py, if the processor can.
        limits: images are resized to these before the processor sees them.
    """

    processor: Any
    max_length_tokens: int | None = None
    uint8_pixels: bool = False
    limits: PixelLimits = NO_LIMITS

    @functools.cached_property
    def _images_kwargs(self) -> dict[str, Any]:
        kwargs = uint8_kwargs(self.processor.image_processor) if self.uint8_pixels else {}
        # images are RGB already; tensors for images only, since transformers converts text outputs slowly
        return {"return_tensors": "pt", "do_convert_rgb": False} | kwargs

    @functools.cached_property
    def _ends(self) -> tuple[str, ...]:
        """The special tokens of the tokenizer, one of which ends a turn."""
        tokenizer = self.processor.tokenizer
        added = [str(token) for token in tokenizer.added_tokens_decoder.values() if token.special]
        return tuple(dict.fromkeys([*tokenizer.all_special_tokens, *added]))

    @functools.cached_property
    def _special(self) -> re.Pattern[str]:
        return re.compile("|".join(map(re.escape, self._ends)) or r"(?!)")

    def render_text(self, messages: Sequence[Mapping[str, Any]], ask: bool = False) -> str:
        """The chat template's text of messages; with `ask` up to where the next answer begins."""
        from jinja2 import TemplateError

        try:
            return (self._render_strings if self._takes_strings else self._render)(messages, ask)
        except TypeError as error:  # a template that joins strings got a list
            raise TemplateError(str(error)) from error

    @functools.cached_property
    def _takes_strings(self) -> bool:
        """True if the template shows an answer only as a string, as templates of language models do."""
        from jinja2 import TemplateError

        dialogue = Conversation(Dialogue("a turn of text", (Turn(("Question?",), "Answer."),)))
        for strings, render in ((False, self._render), (True, self._render_strings)):
            try:
                find_answers(render, dialogue.messages, (True,), self._ends)
            except (TemplateError, TypeError, NotTurnByTurn):
                continue
            return strings
        return False

    def _render_strings(self, messages: Sequence[Mapping[str, Any]], ask: bool) -> str:
        return self._render(self._flat(messages), ask)

    @staticmethod
    def _flat(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
        """The messages, those of text alone with a string as their content."""
        return [
            {**message, "content": "".join(block["text"] for block in message["content"])}
            if all(block["type"] == "text" for block in message["content"])
            else dict(message)
            for message in messages
        ]

    def _render(self, messages: Sequence[Mapping[str, Any]], ask: bool) -> str:
        from transformers.utils.chat_template_utils import render_jinja_template

        texts, _ = render_jinja_template(
            conversations=[messages],
            chat_template=chat_template_of(self.processor),
            add_generation_prompt=ask,
            **self.processor.tokenizer.special_tokens_map,
        )
        return str(texts[0])

    def adds_special_tokens(self, text: str) -> bool:
        """Whether the tokenizer adds its own beginning of the text, as transformers does unless the template has it."""
        bos = self.processor.tokenizer.bos_token
        return not (bos and text.startswith(bos))

    def render(self, asked: Dialogue | Conversation) -> tuple[str, list[tuple[int, int]]]:
        """The text of a dialogue, and the character spans of its trained answers with their end-of-turn tokens.

        Raises:
            Skipped: special_token, template_refused, template_not_turn_by_turn.
        """
        from jinja2 import TemplateError

        conversation = asked if isinstance(asked, Conversation) else Conversation(asked)
        trained = [number in conversation.trained_turns for number in range(1, len(conversation.dialogue.turns) + 1)]
        self._check_texts(conversation)
        try:
            return find_answers(self.render_text, conversation.messages, trained, self._ends)
        except TemplateError as error:
            raise Skipped(conversation.dialogue.id, "template_refused", str(error)) from error
        except NotTurnByTurn as error:
            raise Skipped(conversation.dialogue.id, "template_not_turn_by_turn", str(error)) from error

    def _check_texts(self, conversation: Conversation) -> None:
        """Texts must not hold the tokenizer's special tokens: they would be read as the template's."""
        for message in conversation.messages:
            for block in message["content"]:
                found = self._special.search(block.get("text") or "")
                if found is not None:
                    raise Skipped(
                        conversation.dialogue.id,
                        "special_token",
                        f"literal {found.group()!r} in a {message['role']}'s text",
                    )

    def check_template(self, last_turn_only: bool) -> None:
        """Check before a run that the chat template can be trained with.

        Raises:
            ValueError: it can't; the message says what to do.
        """
        turns = tuple(Turn((f"Question {n}?",), f"Answer {n}.") for n in (1, 2))
        try:
            text, spans = self.render(
                Conversation(Dialogue("two turns of text", turns), None, (not last_turn_only, True))
            )
            if not all(text[:end].endswith(self._ends) for _, end in spans):
                log.warning("the chat template ends an answer with no special token: the model doesn't learn to stop")
        except Skipped as error:
            raise ValueError(
                f"the checkpoint's chat template can't be trained with: {error}. Give one that renders turn by turn "
                "with --chat_template FILE, or train last answers only with --train_last_turn_only"
            ) from error

    def encode(self, asked: Dialogue | Conversation) -> Encoded:
        """Encode a dialogue; loss only on the trained answers with their end of turn.

        Raises:
            Skipped: an image error such as corrupt_image, an error of `render`, processor_refused, no_trained_tokens,
                too_long.
        """
        conversation = asked if isinstance(asked, Conversation) else Conversation(asked)
        dialogue = conversation.dialogue
        text, spans = self.render(conversation)
        try:
            images = [self.limits.resize(decode_rgb(image.data, LIMITS)) for image in dialogue.images]
        except ImageError as error:
            raise Skipped(dialogue.id, error.reason, error.detail) from error
        try:
            out = self.processor(
                text=[text],
                images=[images] if images else None,
                add_special_tokens=self.adds_special_tokens(text),
                return_offsets_mapping=True,
                return_text_replacement_offsets=True,
                images_kwargs=self._images_kwargs,
            )
        except ValueError as error:  # Qwen-VL's processor refuses aspect ratios above 200
            raise Skipped(dialogue.id, "processor_refused", str(error)) from error
        input_ids_T = torch.as_tensor(out["input_ids"][0])
        self._check_length(dialogue, len(input_ids_T))
        replacements = (out.get("text_replacement_offsets") or [[]])[0]
        mask_T = spans_to_mask(np.array(out["offset_mapping"][0]), shift_spans(np.array(spans), replacements))
        if not mask_T.any():
            raise Skipped(dialogue.id, "no_trained_tokens", "no token of the dialogue is part of an answer")
        labels_T = torch.where(torch.from_numpy(mask_T), input_ids_T, NO_LOSS)
        types_name = next((name for name in _TOKEN_TYPES if name in out), _TOKEN_TYPES[0])
        types = out.get(types_name)
        return Encoded(
            id=dialogue.id,
            input_ids_T=input_ids_T,
            labels_T=labels_T,
            images={name: _full(value) for name, value in out.items() if name not in (*_TEXT_OUTPUTS, *_TOKEN_TYPES)},
            token_types_T=None if types is None else torch.as_tensor(types[0]),
            token_types_name=types_name,
            turns=conversation.trained_turns,
            domain=dialogue.domain,
        )

    def _check_length(self, dialogue: Dialogue, length_tokens: int) -> None:
        if self.max_length_tokens is not None and length_tokens > self.max_length_tokens:
            raise Skipped(
                dialogue.id,
                "too_long",
                f"{length_tokens} tokens, max_length_tokens is {self.max_length_tokens}; dialogues are never truncated",
            )


def _full(value: Any) -> torch.Tensor:
    """A tensor, pixels in float32: Llama 4's processor rounds them, whatever the model computes in."""
    tensor = torch.as_tensor(value)
    return tensor.float() if tensor.is_floating_point() else tensor


def chat_template_of(processor: Any) -> str:
    """The chat template of a processor, or of its tokenizer; of several the one named default.

    Raises:
        ValueError: it has none.
    """
    template = getattr(processor, "chat_template", None) or processor.tokenizer.chat_template
    if isinstance(template, Mapping):
        template = template.get("default")
    if not template:
        raise ValueError("the checkpoint has no chat template; give one with --chat_template FILE")
    return str(template)
