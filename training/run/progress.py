"""Progress log: step, loss, throughput, MFU, memory, ETA."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from transformers import TrainerCallback

log = logging.getLogger(__name__)

_EVERY_S = 5.0


class ShowProgress(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Logs a line every few seconds and at the last step."""

    def __init__(self) -> None:
        self._shown_s = 0.0

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Log the line if it is due. Args: see `TrainerCallback.on_log`."""
        now_s = time.perf_counter()
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        if now_s - self._shown_s < _EVERY_S and state.global_step < state.max_steps:
            return
        self._shown_s = now_s
        log.info("step %d/%d  %s", state.global_step, state.max_steps, show_progress(logs))


def show_progress(logs: Mapping[str, float]) -> str:
    """A line about a logged step."""
    mfu = f"  {logs['mfu']:.1%} of peak" if "mfu" in logs else ""
    return (
        f"loss {logs['loss']:.4f}  lr {logs['learning_rate']:.3g}  {logs['trained_tokens']:,} trained tokens  "
        f"{logs['trained_tokens_a_second']:,.0f}/s, {logs['real_tokens_a_second']:,.0f}/s in all{mfu}  "
        f"{logs['memory_gb']:.1f} GB  {timedelta(seconds=round(logs['seconds_left']))} left"
    )
