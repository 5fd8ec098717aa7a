"""Checkpoints to resume from: when they are written, and which of them are complete.

The last file of a checkpoint is `complete.json`. A folder without it is incomplete (killed, full disk) and is never
resumed from.
"""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast
from transformers import TrainerCallback

COMPLETE = "complete.json"


def find_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint below a folder, None if there is none."""
    whole = [path.parent for path in folder.glob(f"checkpoint-*/{COMPLETE}")]
    return max(whole, key=lambda path: int(path.name.rpartition("-")[2]), default=None)


def write_complete(checkpoint: Path, counts: dict[str, Any]) -> None:
    """Mark a checkpoint as complete; everything in it is flushed to disk first (fsync)."""
    for path in checkpoint.iterdir():
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())
    unfinished = checkpoint / f"{COMPLETE}.unfinished"
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(counts, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(checkpoint / COMPLETE)


def read_complete(checkpoint: Path) -> dict[str, Any]:
    """The counts written by `write_complete`."""
    counts: dict[str, Any] = json.loads((checkpoint / COMPLETE).read_text(encoding="utf-8"))
    return counts


def truncate_log(log_path: Path, step: int) -> None:
    """Remove the lines of later steps from a log: the resumed run writes them again."""
    if log_path.is_file():
        lines = log_path.read_text(encoding="utf-8").splitlines()
        whole = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        log_path.write_text("".join(f"{line}\n" for line in whole), encoding="utf-8")


class SaveEvery(TrainerCallback):  # type: ignore[misc]  # transformers is not typed
    """Saves a checkpoint every `minutes` (by the clock of rank 0) or every `steps`; 0 for never."""

    def __init__(self, minutes: float, steps: int) -> None:
        self.minutes = minutes
        self.steps = steps
        self._saved_s = time.monotonic()

    def on_step_end(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        """Set `should_save` if a checkpoint is due."""
        due = bool(self.steps) and state.global_step % self.steps == 0
        if self.minutes and not due:
            late = time.monotonic() - self._saved_s >= 60 * self.minutes
            due = bool(broadcast(torch.tensor(late, device=args.device)))
        if due:
            self._saved_s = time.monotonic()
            control.should_save = True
