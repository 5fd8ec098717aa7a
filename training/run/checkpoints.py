"""Checkpoints to resume from: when they are written, and which of them are complete.

The last file of a checkpoint is `complete.json`. A folder without it is incomplete (killed, full disk) and is never
resumed from.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import torch
from accelerate.utils import broadcast
from transformers import TrainerCallback

from mmcr_dataset.stage.stages import write_text
from training.run.ranks import on_first_rank, raise_together

COMPLETE = "complete.json"


def find_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint below a folder, None if there is none."""
    return max((path for path in _checkpoints(folder) if (path / COMPLETE).is_file()), key=_step, default=None)


def agree_on_checkpoint(folder: Path) -> Path | None:
    """The newest complete checkpoint that rank 0 sees, on all ranks.

    Raises:
        ValueError: another rank doesn't see it.
    """
    found = on_first_rank(lambda: find_checkpoint(folder))
    missing = found is not None and not (found / COMPLETE).is_file()
    raise_together(
        f"{found}: on the first machine, but not on {os.uname().nodename} ({folder.resolve()}); all machines need the "
        "same --output_dir to resume: put it on a shared disk, or copy the checkpoint to each of them"
        if missing
        else None
    )
    return found


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if re.fullmatch(r"checkpoint-\d+", path.name)]


def _step(checkpoint: Path) -> int:
    return int(checkpoint.name.rpartition("-")[2])


def delete_old_checkpoints(folder: Path, keep: int, best: Path | None = None) -> None:
    """Delete all but the best and the newest complete checkpoints, and incomplete ones older than the newest."""
    whole = sorted((path for path in _checkpoints(folder) if (path / COMPLETE).is_file()), key=_step)
    for path in _checkpoints(folder):
        if path not in whole[-keep:] and path != best and whole and _step(path) < _step(whole[-1]):
            shutil.rmtree(path)


def write_complete(checkpoint: Path, counts: dict[str, Any]) -> None:
    """Mark a checkpoint as complete; everything in it is flushed to disk first (fsync)."""
    flush(checkpoint)
    unfinished = checkpoint / f"{COMPLETE}.unfinished"
    with unfinished.open("w", encoding="utf-8") as file:
        json.dump(counts, file)
        file.flush()
        os.fsync(file.fileno())
    unfinished.replace(checkpoint / COMPLETE)


def flush(folder: Path) -> None:
    """Flush the files of a folder to disk (fsync)."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb+") as file:
                os.fsync(file.fileno())


def read_complete(checkpoint: Path) -> dict[str, Any]:
    """The counts written by `write_complete`.

    Raises:
        ValueError: the file is damaged.
    """
    path = checkpoint / COMPLETE
    try:
        counts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _ = counts["step"], counts["trained_tokens"], counts["real_tokens"], counts["skipped"], counts["seconds"]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: damaged ({type(error).__name__}: {error}); delete {checkpoint} to resume from the one before"
        ) from error
    return counts


def truncate_log(log_path: Path, step: int) -> None:
    """Remove the lines of later steps from a log: the resumed run writes them again."""
    if log_path.is_file():
        lines = log_path.read_text(encoding="utf-8").splitlines()
        whole = [line for line in lines if line.endswith("}") and json.loads(line)["step"] <= step]
        write_text(log_path, "".join(f"{line}\n" for line in whole))


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
