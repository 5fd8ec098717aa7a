"""Encoded dialogues -> one batch of tensors, and the rows that could not be encoded with their reasons.

Shapes: B dialogues, T tokens of the longest.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn.utils.rnn import pad_sequence

from training.encode import Encoded, Encoder, Skipped, to_dialogue
from training.loss_mask import NO_LOSS

SKIPPED = "skipped"  # key of a batch: the rows left out, as (row id, reason, message)


def pad(dialogues: Sequence[Encoded], pad_id: int) -> dict[str, torch.Tensor]:
    """One row a dialogue, filled up on the right to the longest."""
    input_ids_BT = pad_sequence([d.input_ids_T for d in dialogues], batch_first=True, padding_value=pad_id)
    labels_BT = pad_sequence([d.labels_T for d in dialogues], batch_first=True, padding_value=NO_LOSS)
    lengths_B = torch.tensor([len(d) for d in dialogues])
    attention_mask_BT = (torch.arange(input_ids_BT.shape[1]) < lengths_B[:, None]).long()
    batch = {"input_ids": input_ids_BT, "attention_mask": attention_mask_BT, "labels": labels_BT}
    if all(d.token_types_T is not None for d in dialogues):
        types = [d.token_types_T for d in dialogues if d.token_types_T is not None]
        batch["mm_token_type_ids"] = pad_sequence(types, batch_first=True)
    return batch | join_pictures(dialogues)


def join_pictures(dialogues: Sequence[Encoded]) -> dict[str, torch.Tensor]:
    """The picture tensors of all dialogues, in order."""
    names = {name: None for dialogue in dialogues for name in dialogue.pictures}
    return {name: torch.cat([d.pictures[name] for d in dialogues if name in d.pictures]) for name in names}


@dataclass(frozen=True)
class Collator:
    """Rows -> batch, in a worker. A row that can't be trained is left out and told under `skipped`."""

    encoder: Encoder

    def __call__(self, rows: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """The batch of these rows; a single padding token without loss if none of them can be trained."""
        dialogues: list[Encoded] = []
        skipped: list[tuple[str, str, str]] = []
        for row in rows:
            try:
                dialogues.append(self.encoder.encode(to_dialogue(row)))
            except Skipped as error:
                skipped.append((error.row_id, error.reason, str(error)))
        pad_id = self.encoder.processor.tokenizer.pad_token_id
        if not dialogues:
            dialogues = [Encoded("", torch.tensor([pad_id, pad_id]), torch.tensor([NO_LOSS, NO_LOSS]))]
        return {**pad(dialogues, pad_id), SKIPPED: skipped}
