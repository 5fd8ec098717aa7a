"""What a run would be, told before it starts: parts, steps, tokens, memory. Everything is built, nothing is trained."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from training.collate import SKIPPED, Collator
from training.loss_mask import NO_LOSS
from training.row_order import PickedRows
from training.steps import StepPlan
from training.trainable import PartCount

_WEIGHT_BYTES = 4  # float32
_TRAINED_BYTES = 4 + 8  # gradient, and Adam's two moments
_LOOKED_AT = 8  # micro-batches; a step of the paper has more than a hundred


def show_dry_run(plan: StepPlan, rows: Any, collator: Collator, counts: Sequence[PartCount]) -> str:
    """Tokens of the first step and the memory that weights, gradients and optimizer take."""
    step, picked = next(plan.steps()), PickedRows(rows)
    collated = [collator([picked[item] for item in batch]) for batch in step[:_LOOKED_AT]]
    tokens = [int(batch["input_ids"].numel()) for batch in collated]
    trained = [int((batch["labels"] != NO_LOSS).sum()) for batch in collated]
    skipped = sum(len(batch[SKIPPED]) for batch in collated)
    scale = len(step) / len(collated)
    num_trained, num_frozen = (sum(getattr(count, key) for count in counts) for key in ("num_trained", "num_frozen"))
    memory_gb = (_WEIGHT_BYTES * (num_trained + num_frozen) + _TRAINED_BYTES * num_trained) / 1e9
    return "\n".join(
        [
            f"tokens a step     about {sum(tokens) * scale:,.0f}, of them trained {sum(trained) * scale:,.0f}",
            f"tokens at once    {max(tokens):,} in the largest of {len(collated)} looked at "
            f"of {len(step)} micro-batches; {skipped} rows skipped",
            f"memory            {memory_gb:,.2f} GB for weights, gradients and Adam, before activations; "
            "divide by the processes under FSDP2 or ZeRO-3",
            "dry run: nothing was trained",
        ]
    )
