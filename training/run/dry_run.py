"""Dry run: parts, steps, tokens and memory of a run, without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from training.data.collate import SKIPPED, Collator
from training.data.loss_mask import NO_LOSS
from training.data.mixture import Share
from training.data.row_order import ItemDataset
from training.data.steps import StepPlan
from training.model.trainable import PartCount

_GRADIENT_BYTES = 4  # float32, as the trained weights
_MOMENT_BYTES = {"8bit": 1, "": 4}  # of each of Adam's two, by what the optimizer's name contains
_NUM_ENCODED = 8  # micro-batches; a step of the paper has more than a hundred


class FirstBatches(NamedTuple):
    """Counts of the first micro-batches of a run."""

    dialogues: int  # encoded, without skipped ones
    tokens: int
    trained_tokens: int
    largest_tokens: int  # of a micro-batch
    skipped: int
    micro_batches: int
    micro_batches_a_step: int


def encode_first_batches(plan: StepPlan, rows: Any, collator: Collator) -> FirstBatches:
    """Encode and count the first micro-batches of the first step."""
    step, picked = next(plan.steps()), ItemDataset(rows)
    encoded = step[:_NUM_ENCODED]
    collated = [collator([picked[item] for item in batch]) for batch in encoded]
    tokens = [int(batch["input_ids"].numel()) for batch in collated]
    skipped = sum(len(batch[SKIPPED]) for batch in collated)
    return FirstBatches(
        dialogues=sum(map(len, encoded)) - skipped,
        tokens=sum(tokens),
        trained_tokens=sum(int((batch["labels"] != NO_LOSS).sum()) for batch in collated),
        largest_tokens=max(tokens),
        skipped=skipped,
        micro_batches=len(collated),
        micro_batches_a_step=len(step),
    )


def show_dry_run(first: FirstBatches, counts: Sequence[PartCount], weight_bytes: int, optim: str) -> str:
    """Tokens of the first step, and the memory of weights, gradients and optimizer states.

    Args:
        first: counts of the first micro-batches.
        counts: trained and frozen parameters.
        weight_bytes: size of all weights as they are stored.
        optim: name of the optimizer.
    """
    scale = first.micro_batches_a_step / first.micro_batches
    moments = next(size for part, size in _MOMENT_BYTES.items() if part in optim)
    num_trained = sum(count.num_trained for count in counts)
    memory_gb = (weight_bytes + (_GRADIENT_BYTES + 2 * moments) * num_trained) / 1e9
    return "\n".join(
        [
            f"tokens a step     about {first.tokens * scale:,.0f}, of them trained {first.trained_tokens * scale:,.0f}",
            f"micro-batch       at most {first.largest_tokens:,} tokens in {first.micro_batches} encoded of "
            f"{first.micro_batches_a_step} micro-batches; {first.skipped} rows skipped",
            f"memory            {memory_gb:,.2f} GB for weights, gradients and Adam, before activations; "
            "divide by the processes under FSDP2 or ZeRO-3",
            "dry run: nothing was trained",
        ]
    )


def write_dry_run(path: Path, shares: Sequence[Share], num_steps: int | None, first: FirstBatches) -> None:
    """Write the dry run as JSON.

    Args:
        path: output file.
        shares: rows of each data set.
        num_steps: steps per epoch, None for a stream.
        first: counts of the first micro-batches.
    """
    facts = {
        "data": [{"name": share.name, "rows": share.num_rows, "taken": share.num_taken} for share in shares],
        "steps_an_epoch": num_steps,
        "looked_at": first._asdict(),
    }
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
