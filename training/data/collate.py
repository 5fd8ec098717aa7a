"""The collator: rows -> one batch of tensors, padded or packed, and the skipped rows with reasons.

Shapes: B dialogues, T tokens of the longest.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from PIL import Image
from torch.nn.utils.rnn import pad_sequence

from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from training.data.conversation import Conversation, Skipped, to_conversation
from training.data.encode import Encoded, Encoder
from training.data.loss_mask import NO_LOSS
from training.data.packing import Rope, pack
from training.families.family import Family

SKIPPED = "skipped"  # key of a batch: the skipped rows, as (row id, reason, message)
REAL_TOKENS = "real_tokens"  # key of a batch: tokens of its dialogues, without padding and the dummy
ROWS = "row_ids"  # key of a batch: ids of its dialogues
LONGEST = "longest"  # key of a packed batch: tokens of its longest dialogue
TURNS = "turns"  # key of a batch to evaluate: the turn of each token with loss, from 1; 0 for the others
DIALOGUES = "dialogues"  # key of a batch to evaluate: for each token the place of its dialogue in the batch
DOMAINS = "domains"  # key of a batch to evaluate: domain of each dialogue
WEIGHTS = "loss_weights"  # key of a batch: loss weight of each token, 0 for masked ones

_DUMMY_SIDE_PX = 56  # two patches of 28 px, the smallest image that every family supports

LossAverage = Literal["token", "dialogue", "square_root"]


def pad(dialogues: Sequence[Encoded], pad_id: int) -> dict[str, torch.Tensor]:
    """Pad: one row per dialogue, right-padded to the longest [B, T]; without the images."""
    input_ids_BT = pad_sequence([d.input_ids_T for d in dialogues], batch_first=True, padding_value=pad_id)
    labels_BT = pad_sequence([d.labels_T for d in dialogues], batch_first=True, padding_value=NO_LOSS)
    lengths_B = torch.tensor([len(d) for d in dialogues])
    attention_mask_BT = (torch.arange(input_ids_BT.shape[1]) < lengths_B[:, None]).long()
    batch = {"input_ids": input_ids_BT, "attention_mask": attention_mask_BT, "labels": labels_BT}
    if all(d.token_types_T is not None for d in dialogues):
        types = [d.token_types_T for d in dialogues if d.token_types_T is not None]
        batch[dialogues[0].token_types_name] = pad_sequence(types, batch_first=True)
    return batch


def check_labels(encoder: Encoder) -> None:
    """Check before a run that the answers are found in what the processor makes of a text with images.

    Raises:
        ValueError: they aren't.
    """
    white = DialogueImage(_white())
    turns = tuple(Turn(introduce([number], f"Question {number}?"), f"Answer {number}.") for number in (1, 2))
    encoded = dataclasses.replace(encoder, max_length_tokens=None).encode(
        Conversation(Dialogue("two turns with images", turns, (white, white)), None, (False, True))
    )
    tokenizer = encoder.processor.tokenizer
    said = tokenizer.decode(encoded.input_ids_T[encoded.labels_T != NO_LOSS], skip_special_tokens=True)
    if said.strip() != "Answer 2.":
        raise ValueError(
            f"a {type(encoder.processor).__name__} rewrites the text around images and doesn't tell where: for the "
            f"answer 'Answer 2.' the trained tokens would be {said!r}; such a model can't be trained here"
        )


def _white() -> bytes:
    white = io.BytesIO()
    Image.new("RGB", (_DUMMY_SIDE_PX, _DUMMY_SIDE_PX), "white").save(white, "PNG")
    return white.getvalue()


def loss_weight(dialogue: Encoded, average: LossAverage) -> float:
    """Loss weight of each trained token of a dialogue, before the division by the step's sum of weights.

    `token` weights all tokens equally, `dialogue` all dialogues equally; `square_root` is in between.
    """
    exponent = {"token": 0.0, "square_root": -0.5, "dialogue": -1.0}[average]
    return float(max(1, dialogue.num_trained) ** exponent)


def dummy_dialogue(encoder: Encoder) -> Encoded:
    """A dummy dialogue with a small white image and no loss.

    It is added to text-only micro-batches, so that all ranks run the image layers, as DDP and FSDP2 require.
    """
    dialogue = Dialogue("blank", (Turn(introduce([1], "?"), "."),), (DialogueImage(_white()),))
    encoded = dataclasses.replace(encoder, max_length_tokens=None).encode(dialogue)
    return dataclasses.replace(encoded, labels_T=torch.full_like(encoded.labels_T, NO_LOSS))


@dataclass(frozen=True)
class Collator:
    """Rows -> batch, in a data loader worker. A row that can't be trained is skipped and listed under `skipped`.

    Attributes:
        encoder: encodes one dialogue.
        family: the model family, which joins image tensors.
        packing: True packs the dialogues into one row, False pads them to the longest.
        rope: M-RoPE positions of a model that has them (`rope_of`), else None.
        average: unit that the loss is averaged over.
        bin_tokens: packing: a dialogue that doesn't fit is skipped; None for no limit.
        last_turn_only: only last answers carry loss.
        to_evaluate: also say the turn and the dialogue of each token.
    """

    encoder: Encoder
    family: Family
    packing: bool = False
    rope: Rope | None = None
    average: LossAverage = "token"
    bin_tokens: int | None = None
    last_turn_only: bool = False
    to_evaluate: bool = False

    @functools.cached_property
    def dummy(self) -> Encoded:
        """The dummy dialogue of a batch without images."""
        return dummy_dialogue(self.encoder)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batch of these rows, with the dummy dialogue if none of them has an image."""
        dialogues: list[Encoded] = []
        skipped: list[tuple[str, str, str]] = []
        for row in rows:
            try:
                encoded = self.encoder.encode(to_conversation(row, self.last_turn_only))
                self._check(encoded, dialogues)
                dialogues.append(encoded)
            except Skipped as error:
                skipped.append((error.row_id, error.reason, str(error)))
        rows_trained = [dialogue.id for dialogue in dialogues]
        real_tokens = sum(map(len, dialogues))
        if not any(dialogue.images for dialogue in dialogues):
            dialogues.append(self.dummy)
        pad_id = self.encoder.processor.tokenizer.pad_token_id
        batch: dict[str, Any] = pack(dialogues, self.rope) if self.packing else pad(dialogues, pad_id)
        images = self.family.join_images([dialogue.images for dialogue in dialogues if dialogue.images])
        weights = self._weights(dialogues, batch["labels"])
        if self.packing:
            batch[LONGEST] = max(map(len, dialogues))
        counts = {SKIPPED: skipped, REAL_TOKENS: real_tokens, ROWS: rows_trained}
        places = self._places(dialogues, batch["labels"]) if self.to_evaluate else {}
        return {**batch, **images, WEIGHTS: weights, **counts, **places}

    def _places(self, dialogues: Sequence[Encoded], labels_BT: torch.Tensor) -> dict[str, Any]:
        numbers = [torch.full_like(dialogue.input_ids_T, number) for number, dialogue in enumerate(dialogues)]
        turns = [dialogue.turns_of_tokens() for dialogue in dialogues]
        joined = (
            (torch.cat(numbers)[None], torch.cat(turns)[None])
            if self.packing
            else (pad_sequence(numbers, batch_first=True), pad_sequence(turns, batch_first=True))
        )
        domains = [dialogue.domain for dialogue in dialogues]
        return {DIALOGUES: joined[0], TURNS: joined[1] * (labels_BT != NO_LOSS), DOMAINS: domains}

    def _check(self, encoded: Encoded, dialogues: Sequence[Encoded]) -> None:
        if self.family.alone and not encoded.images:
            raise Skipped(
                encoded.id, "no_image", f"a {self.family.model_type} is trained on dialogues with images only"
            )
        if self.bin_tokens is None:
            return
        taken = sum(map(len, dialogues))
        if not encoded.images and not any(dialogue.images for dialogue in dialogues):
            taken += len(self.dummy)
        if taken + len(encoded) > self.bin_tokens:
            detail = f"{len(encoded)} tokens beside {taken} others, bin_tokens is {self.bin_tokens}"
            raise Skipped(encoded.id, "no_room", detail)

    def _weights(self, dialogues: Sequence[Encoded], labels_BT: torch.Tensor) -> torch.Tensor:
        weights = torch.tensor([loss_weight(dialogue, self.average) for dialogue in dialogues])
        if self.packing:
            lengths = torch.tensor([len(dialogue) for dialogue in dialogues])
            weights_BT = weights.repeat_interleave(lengths)[None]
        else:
            weights_BT = weights[:, None].expand(labels_BT.shape)
        return weights_BT * (labels_BT != NO_LOSS)
