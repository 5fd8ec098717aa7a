"""log.jsonl of a run, and its results for the model card."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from training.run.checkpoints import truncate_log
from training.run.evaluation import LOSS
from training.run.token_counts import TokenCounts


class RunLog:
    """A line for each logged step, with what was measured since the one before.

    Args:
        path: log.jsonl.
        counts: of tokens and skipped rows.
    """

    def __init__(self, path: Path, counts: TokenCounts) -> None:
        self.path = path
        self.counts = counts
        self._step = 0
        self._begin_s = time.perf_counter()

    @property
    def seconds(self) -> float:
        """Seconds since the start of the run, without those between a stop and its resume."""
        return round(time.perf_counter() - self._begin_s, 3)

    def resume(self, saved: dict[str, Any], writes: bool) -> None:
        """Continue from the counts of a checkpoint; the rank that writes removes the lines of later steps."""
        self.counts.resume(saved)
        self._begin_s -= saved["seconds"]
        self._step = saved["step"]
        if writes:
            truncate_log(self.path, saved["step"])

    def measure(self, state: Any) -> dict[str, Any]:
        """Tokens so far, and the rates since the last reading."""
        steps_read, self._step = state.global_step - self._step, state.global_step
        return {
            "trained_tokens": self.counts.trained_tokens,
            "real_tokens": self.counts.real_tokens,
            **self.counts.meter.read(state.max_steps - state.global_step, steps_read),
        }

    def write(self, logs: dict[str, Any], measured: dict[str, Any]) -> None:
        """Append the line of the step that was measured last."""
        line = {"step": self._step, "loss": logs["loss"], "learning_rate": logs["learning_rate"]}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line | {"seconds": self.seconds} | measured, allow_nan=False) + "\n")

    def results(self, state: Any, epochs: float | str, best_is_kept: bool) -> dict[str, Any]:
        """Results of the run, for the model card.

        Args:
            state: of the trainer.
            epochs: passes over the data.
            best_is_kept: the result is the checkpoint of the lowest loss.

        Raises:
            ValueError: no token was trained.
        """
        skipped = dict(self.counts.skipped) or 0
        if not self.counts.trained_tokens:
            raise ValueError(
                f"no token was trained; rows skipped: {skipped}. Fix the data or raise "
                "--max_length_tokens and --bin_tokens"
            )
        losses = [entry["loss"] for entry in state.log_history if "loss" in entry]
        found = {
            "steps": state.global_step,
            "passes_over_the_data": epochs,
            "trained_tokens": self.counts.trained_tokens,
            "real_tokens": self.counts.real_tokens,
            "rows_skipped": skipped,
            "first_loss": losses[0] if losses else None,
            "last_loss": losses[-1] if losses else None,
        }
        held_out = [(entry[LOSS], entry["step"]) for entry in state.log_history if LOSS in entry]
        if held_out:
            lowest, step = min(held_out)
            found |= {"last_held_out_loss": held_out[-1][0], "lowest_held_out_loss": lowest, "at_step": step}
            found |= {"kept_step": state.best_global_step} if best_is_kept else {}
        return found | {"hours": round(self.seconds / 3600, 3)}
