"""Counts of a run: trained and real tokens, FLOPs, skipped rows; of a step summed over all ranks."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from accelerate.utils import gather_object

from training.data.collate import REAL_TOKENS, SKIPPED, WEIGHTS
from training.run.meter import Meter

log = logging.getLogger(__name__)


class TokenCounts:
    """Counts the micro-batches of a run.

    Args:
        meter: measures throughput.
        skipped_max: abort when more rows than this were skipped.
    """

    def __init__(self, meter: Meter, skipped_max: int) -> None:
        self.meter = meter
        self.skipped_max = skipped_max
        self.skipped: Counter[str] = Counter()
        self.trained_tokens = 0
        self.real_tokens = 0
        self._step = torch.zeros(4, dtype=torch.float64)  # trained tokens, loss weights, real tokens, FLOPs
        self._step_skipped: list[tuple[str, str, str]] = []

    def resume(self, saved: Mapping[str, Any]) -> None:
        """Continue from the counts of a checkpoint."""
        self.trained_tokens, self.real_tokens = saved["trained_tokens"], saved["real_tokens"]
        self.skipped = Counter(saved["skipped"])

    def state(self) -> dict[str, Any]:
        """The counts, for a checkpoint."""
        return {"trained_tokens": self.trained_tokens, "real_tokens": self.real_tokens, "skipped": self.skipped}

    def passing(self, batches: Iterator[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        """Yield the micro-batches of a step and count them."""
        for batch in batches:
            self._step_skipped += batch.pop(SKIPPED)
            weights_BT = batch[WEIGHTS][:, 1:]
            weight = float(weights_BT.sum(dtype=torch.float64))
            counts = [int((weights_BT != 0).sum()), weight, batch.pop(REAL_TOKENS), self.meter.count_flops(batch)]
            self._step += torch.tensor(counts, dtype=torch.float64)
            yield batch

    def finish_step(self, accelerator: Any) -> float:
        """All-reduce the counts of a step and add them to those of the run; returns the sum of its loss weights.

        Raises:
            ValueError: more rows than `skipped_max` were skipped.
        """
        skipped = gather_object(self._step_skipped)
        tokens, weight, real, flops = accelerator.reduce(self._step.to(accelerator.device)).tolist()
        self._step.zero_()
        self._step_skipped = []
        self.meter.add(int(tokens), int(real), flops)
        self.trained_tokens += int(tokens)
        self.real_tokens += int(real)
        for _, reason, message in skipped:
            self.skipped[reason] += 1
            if accelerator.is_main_process:
                log.warning("skipped %s", message)
        if self.skipped.total() > self.skipped_max:
            raise ValueError(
                f"{self.skipped.total()} rows can't be trained ({dict(self.skipped)}), more than --skipped_max "
                f"{self.skipped_max}; fix the data (`python -m mmcr_dataset check`) or raise it"
            )
        return float(weight)
