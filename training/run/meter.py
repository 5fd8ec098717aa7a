"""Throughput of a run: tokens a second, MFU (share of the GPUs' peak FLOPs), memory, time left (ETA)."""

from __future__ import annotations

import logging
import math
import resource
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from trl.trainer.utils import get_peak_flops

log = logging.getLogger(__name__)


def peak_flops(given_tflops: float) -> float | None:
    """Peak FLOP/s of one GPU: as given, or by its name; None on a CPU or an unknown GPU."""
    if given_tflops or not torch.cuda.is_available():
        return given_tflops * 1e12 or None
    found: float | None = get_peak_flops(torch.cuda.get_device_name(), "bfloat16")
    return found


def _no_flops(batch: Mapping[str, Any]) -> float:
    return 0.0


def _unknown_flops(batch: Mapping[str, Any]) -> float:
    return math.nan


@dataclass
class Meter:
    """Accumulates steps and reports the rates since the last reading.

    Attributes:
        flops_of: FLOPs of a micro-batch.
        peak_flops: peak FLOP/s of one GPU, None if unknown.
        num_processes: number of GPUs.
    """

    flops_of: Callable[[Mapping[str, Any]], float] = _no_flops
    peak_flops: float | None = None
    num_processes: int = 1
    _trained: int = field(default=0, init=False)
    _real: int = field(default=0, init=False)
    _flops: float = field(default=0.0, init=False)
    _begin_s: float = field(default_factory=lambda: time.perf_counter(), init=False)

    def count_flops(self, batch: Mapping[str, Any]) -> float:
        """FLOPs of a micro-batch; NaN, and no MFU from then on, if they can't be counted: that never ends a run."""
        try:
            return self.flops_of(batch)
        except (ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
            log.warning("no MFU for this model: its FLOPs can't be counted (%s: %s)", type(error).__name__, error)
            self.flops_of = _unknown_flops
            return math.nan

    def add(self, trained_tokens: int, real_tokens: int, flops: float) -> None:
        """Add a step, summed over all ranks."""
        self._trained += trained_tokens
        self._real += real_tokens
        self._flops += flops

    def leave_out(self, seconds: float) -> None:
        """Time that was not spent on training."""
        self._begin_s += seconds

    def read(self, steps_left: int, steps_read: int) -> dict[str, float]:
        """Rates since the last reading, of `steps_read` steps; resets the meter.

        `mfu` (model FLOPs utilization) is missing if the peak is unknown.
        """
        now_s = time.perf_counter()
        passed_s = max(now_s - self._begin_s, 1e-9)
        read = {
            "trained_tokens_a_second": round(self._trained / passed_s, 1),
            "real_tokens_a_second": round(self._real / passed_s, 1),
            "memory_gb": round(_peak_memory_gb(), 3),
            "seconds_left": round(passed_s / max(steps_read, 1) * steps_left, 1),
        }
        if self.peak_flops is not None and math.isfinite(self._flops):
            read["mfu"] = round(self._flops / passed_s / (self.peak_flops * self.num_processes), 4)
        self._trained, self._real, self._flops, self._begin_s = 0, 0, 0.0, now_s
        return read


def _peak_memory_gb() -> float:
    """Peak memory of this process so far: of the GPU if there is one, else RSS."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() / 1e9
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9
