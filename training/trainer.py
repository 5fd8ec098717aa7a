"""TRL's SFTTrainer with a loss that doesn't depend on how a step is cut, and a log of what was trained."""

from __future__ import annotations

import json
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from trl import SFTTrainer

from training.collate import SKIPPED
from training.loss_mask import NO_LOSS


class DialogueTrainer(SFTTrainer):  # type: ignore[misc]  # trl is not typed
    """Trains on batches of `Collator`; the loss is the mean over the trained tokens of a step, on all processes.

    Raises:
        ValueError: while training, when more than `skipped_max` rows can't be trained.
    """

    def __init__(self, *args: Any, log_path: Path, skipped_max: int, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # Qwen-VL says False here, which would make the loss depend on how a step is cut into micro-batches.
        self.model_accepts_loss_kwargs = True
        self.log_path = log_path
        self.skipped_max = skipped_max
        self.skipped: Counter[str] = Counter()
        self.trained_tokens = 0
        self._begin_s = time.perf_counter()

    def get_batch_samples(
        self, epoch_iterator: Iterator[dict[str, Any]], num_batches: int, device: torch.device
    ) -> tuple[list[dict[str, Any]], torch.Tensor | None]:
        """The micro-batches of a step, with their skipped rows counted and the step's trained tokens."""
        batches, num_items = super().get_batch_samples(epoch_iterator, num_batches, device)
        for batch in batches:
            self._count_skipped(batch.pop(SKIPPED))
        local = sum((batch["labels"][:, 1:] != NO_LOSS).sum() for batch in batches)
        total = self.accelerator.gather(torch.as_tensor(local, device=device)).sum()
        self.trained_tokens += int(total)
        return batches, num_items

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Any],
        return_outputs: bool = False,
        num_items_in_batch: torch.Tensor | int | None = None,
    ) -> Any:
        """Negative log-likelihood summed over the trained tokens, divided by those of the whole step."""
        outputs = model(**inputs, use_cache=False, fused_lm_head=True)
        num_tokens = outputs.label_mask.sum() if num_items_in_batch is None else torch.as_tensor(num_items_in_batch)
        loss = -outputs.log_probs.sum() / num_tokens.clamp(min=1)
        if num_items_in_batch is not None:  # counts the tokens of all processes, over which DDP then takes the mean
            loss = loss * self.accelerator.num_processes
        return (loss, outputs) if return_outputs else loss

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        """Show the numbers, and add a line to log.jsonl for each logged step."""
        if "loss" in logs:
            logs["trained_tokens"] = self.trained_tokens
        super().log(logs, start_time)
        if "loss" in logs and self.is_world_process_zero():
            line = {
                "step": self.state.global_step,
                "loss": logs["loss"],
                "learning_rate": logs["learning_rate"],
                "trained_tokens": self.trained_tokens,
                "seconds": round(time.perf_counter() - self._begin_s, 3),
            }
            with self.log_path.open("a", encoding="utf-8") as file:
                file.write(json.dumps(line) + "\n")

    def _count_skipped(self, skipped: list[tuple[str, str, str]]) -> None:
        for _, reason, message in skipped:
            self.skipped[reason] += 1
            print(f"skipped {message}")
        if self.skipped.total() > self.skipped_max:
            raise ValueError(
                f"{self.skipped.total()} rows can't be trained ({dict(self.skipped)}), more than --skipped_max "
                f"{self.skipped_max}; mend the data (`python -m mmcr_dataset check`) or raise it"
            )
