"""Dry run: parts, steps, tokens and memory of a run, without training."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from training.config import TrainConfig
from training.data.collate import SKIPPED, Collator
from training.data.loss_mask import NO_LOSS
from training.data.mixture import Share
from training.data.row_order import ItemDataset
from training.data.steps import StepPlan
from training.model.load import compute_dtype
from training.run.memory import Memory, predict_memory

_NUM_ENCODED = 8  # micro-batches; a step of the paper has more than a hundred


class FirstBatches(NamedTuple):
    """Counts of the first micro-batches of a run."""

    dialogues: int  # encoded, without skipped ones
    tokens: int
    trained_tokens: int
    largest_tokens: int  # of a micro-batch
    skipped: int
    micro_batches: int
    micro_batches_a_step: int  # over all ranks
    largest: dict[str, Any]  # micro-batch


def encode_first_batches(plan: StepPlan, rows: Any, collator: Collator) -> FirstBatches:
    """Encode and count the first micro-batches of the first step."""
    step, picked = next(plan.steps()), ItemDataset(rows)
    encoded = step[:_NUM_ENCODED]
    collated = [collator([picked[item] for item in batch]) for batch in encoded]
    tokens = [int(batch["input_ids"].numel()) for batch in collated]
    largest = max(collated, key=lambda batch: int(batch["input_ids"].numel()))
    skipped = sum(len(batch[SKIPPED]) for batch in collated)
    return FirstBatches(
        dialogues=sum(map(len, encoded)) - skipped,
        tokens=sum(tokens),
        trained_tokens=sum(int((batch["labels"] != NO_LOSS).sum()) for batch in collated),
        largest_tokens=max(tokens),
        skipped=skipped,
        micro_batches=len(collated),
        micro_batches_a_step=len(step),
        largest=largest,
    )


def show_dry_run(first: FirstBatches, memory: Memory | str) -> str:
    """Tokens of the first step, and the memory at its peak.

    Args:
        first: counts of the first micro-batches.
        memory: at the peak, or why it can't be predicted.
    """
    scale = first.micro_batches_a_step / first.micro_batches
    return "\n".join(
        [
            f"tokens a step     about {first.tokens * scale:,.0f}, of them trained {first.trained_tokens * scale:,.0f}",
            f"micro-batch       at most {first.largest_tokens:,} tokens in {first.micro_batches} encoded of "
            f"{first.micro_batches_a_step} micro-batches; {first.skipped} rows skipped",
            f"memory            {memory if isinstance(memory, str) else _show_memory(memory)}",
            "dry run: nothing was trained",
        ]
    )


def _show_memory(memory: Memory) -> str:
    parts = ", ".join(f"{name} {size / 1e9:,.2f}" for name, size in memory._asdict().items())
    return (
        f"{memory.total / 1e9:,.2f} GB at the peak of a step: {parts}; FSDP2 and ZeRO-3 share out the first three, DDP "
        "adds the gradients once more"
    )


def write_dry_run(
    path: Path, shares: Sequence[Share], num_steps: int | None, first: FirstBatches, memory: Memory | str
) -> None:
    """Write the dry run as JSON.

    Args:
        path: output file.
        shares: rows of each data set.
        num_steps: steps per epoch, None for a stream.
        first: counts of the first micro-batches.
        memory: in bytes, or why it can't be predicted.
    """
    counts = {name: value for name, value in first._asdict().items() if name != "largest"}
    facts = {
        "data": [{"name": share.name, "rows": share.num_rows, "taken": share.num_taken} for share in shares],
        "steps_an_epoch": num_steps,
        "looked_at": counts,
        "memory": memory if isinstance(memory, str) else memory._asdict(),
    }
    path.write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")


def memory_of_step(
    model: Any, first: FirstBatches, image_processor: Any, config: TrainConfig, processes: int
) -> Memory | str:
    """Memory at the peak of a step, or why it can't be predicted."""
    accumulates = first.micro_batches_a_step > processes
    try:
        return predict_memory(model, first.largest, image_processor, compute_dtype(config), config.optim, accumulates)
    except RuntimeError as error:  # a shape that depends on values which only a run has
        weights = sum(parameter.nbytes for parameter in model.parameters())
        said = str(error).strip().partition("\n")[0]
        return f"{weights / 1e9:,.2f} GB of weights; the rest can't be predicted for this model ({said})"
