"""The collator: rows -> one batch of tensors, padded or packed, and the rows that could not be encoded, with reasons.

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
from training.data.encode import Encoded, Encoder, Skipped, to_dialogue
from training.data.loss_mask import NO_LOSS
from training.data.packing import pack
from training.families.family import Family

SKIPPED = "skipped"  # key of a batch: the rows left out, as (row id, reason, message)
REAL_TOKENS = "real_tokens"  # key of a batch: tokens of its dialogues, without padding and the blank
WEIGHTS = "loss_weights"  # key of a batch: weight of each token's loss, 0 where there is none

_BLANK_SIDE_PX = 56  # two patches of 28 px, the smallest that every family takes

LossAverage = Literal["token", "dialogue", "square_root"]


def pad(dialogues: Sequence[Encoded], pad_id: int) -> dict[str, torch.Tensor]:
    """One row a dialogue, right-padded to the longest; without the images."""
    input_ids_BT = pad_sequence([d.input_ids_T for d in dialogues], batch_first=True, padding_value=pad_id)
    labels_BT = pad_sequence([d.labels_T for d in dialogues], batch_first=True, padding_value=NO_LOSS)
    lengths_B = torch.tensor([len(d) for d in dialogues])
    attention_mask_BT = (torch.arange(input_ids_BT.shape[1]) < lengths_B[:, None]).long()
    batch = {"input_ids": input_ids_BT, "attention_mask": attention_mask_BT, "labels": labels_BT}
    if all(d.token_types_T is not None for d in dialogues):
        types = [d.token_types_T for d in dialogues if d.token_types_T is not None]
        batch["mm_token_type_ids"] = pad_sequence(types, batch_first=True)
    return batch


def loss_weight(dialogue: Encoded, average: LossAverage) -> float:
    """Loss weight of each trained token of a dialogue, before the division by the step's sum of weights.

    `token` counts every token alike; `dialogue` every dialogue, however long its answers; `square_root` lies between.
    """
    exponent = {"token": 0.0, "square_root": -0.5, "dialogue": -1.0}[average]
    return float(max(1, dialogue.num_trained) ** exponent)


def blank_dialogue(encoder: Encoder) -> Encoded:
    """A small white image and no loss.

    It lies beside dialogues of text alone, so that every micro-batch runs the image layers: processes that share
    weights or gradients (DDP, FSDP2) must all run the same layers.
    """
    white = io.BytesIO()
    Image.new("RGB", (_BLANK_SIDE_PX, _BLANK_SIDE_PX), "white").save(white, "PNG")
    dialogue = Dialogue("blank", (Turn(introduce([1], "?"), "."),), (DialogueImage(white.getvalue()),))
    encoded = dataclasses.replace(encoder, max_length_tokens=None).encode(dialogue)
    return dataclasses.replace(encoded, labels_T=torch.full_like(encoded.labels_T, NO_LOSS))


@dataclass(frozen=True)
class Collator:
    """Rows -> batch, in a worker. A row that can't be trained is left out and listed under `skipped`.

    Attributes:
        encoder: one dialogue -> tensors.
        family: knows how to join image tensors.
        packing: True lays dialogues in parallel in one row, False pads them to the longest.
        merge_size: of a family with positions in three dimensions (`merge_size_of`), None where they are plain.
        average: what the loss is a mean over.
        bin_tokens: packing: a dialogue for which no room is left is left out by name; None for no limit.
    """

    encoder: Encoder
    family: Family
    packing: bool = False
    merge_size: int | None = None
    average: LossAverage = "token"
    bin_tokens: int | None = None

    @functools.cached_property
    def blank(self) -> Encoded:
        """The placeholder image of a batch without images."""
        return blank_dialogue(self.encoder)

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batch of these rows, with the blank dialogue if none of them shows an image."""
        dialogues: list[Encoded] = []
        skipped: list[tuple[str, str, str]] = []
        for row in rows:
            try:
                encoded = self.encoder.encode(to_dialogue(row))
                self._check_room(encoded, dialogues)
                dialogues.append(encoded)
            except Skipped as error:
                skipped.append((error.row_id, error.reason, str(error)))
        real_tokens = sum(map(len, dialogues))
        if not any(dialogue.images for dialogue in dialogues):
            dialogues.append(self.blank)
        pad_id = self.encoder.processor.tokenizer.pad_token_id
        batch = pack(dialogues, self.merge_size) if self.packing else pad(dialogues, pad_id)
        images = self.family.join_images([dialogue.images for dialogue in dialogues if dialogue.images])
        weights = self._weights(dialogues, batch["labels"])
        return {**batch, **images, WEIGHTS: weights, SKIPPED: skipped, REAL_TOKENS: real_tokens}

    def _check_room(self, encoded: Encoded, dialogues: Sequence[Encoded]) -> None:
        if self.bin_tokens is None:
            return
        taken = sum(map(len, dialogues))
        if not encoded.images and not any(dialogue.images for dialogue in dialogues):
            taken += len(self.blank)
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
