"""One line of progress: step, loss, trained tokens a second, time left."""

from __future__ import annotations

import time
from typing import Any

from transformers import TrainerCallback

_EVERY_S = 5.0  # a line each step would bury everything else


class ShowProgress(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Prints a line every few seconds and at the last step."""

    def __init__(self) -> None:
        self._begin_s = 0.0
        self._shown_s = 0.0
        self._first_step = 0
        self._shown_tokens: int | None = None

    def on_train_begin(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Start the clock."""
        self._begin_s = time.perf_counter()
        self._first_step = state.global_step

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, Any] | None = None, **kwargs: Any) -> None:
        """Print the line if it is time."""
        now_s = time.perf_counter()
        if not state.is_world_process_zero or not logs or "loss" not in logs:
            return
        if now_s - self._shown_s < _EVERY_S and state.global_step < state.max_steps:
            return
        tokens = logs["trained_tokens"]
        rate = (
            "" if self._shown_tokens is None else f", {(tokens - self._shown_tokens) / (now_s - self._shown_s):,.0f}/s"
        )
        self._shown_s, self._shown_tokens = now_s, tokens
        done = state.global_step - self._first_step
        left_s = (now_s - self._begin_s) / max(done, 1) * (state.max_steps - state.global_step)
        print(
            f"step {state.global_step}/{state.max_steps}  loss {logs['loss']:.4f}  lr {logs['learning_rate']:.3g}  "
            f"{tokens:,} trained tokens{rate}  {show_duration(left_s)} left",
            flush=True,
        )


def show_duration(seconds: float) -> str:
    """`75` -> `1:15`, `3700` -> `1:01:40`."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
