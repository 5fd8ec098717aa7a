"""The result of a run: final/ with model, processor, card and loss curve, written whole or not at all."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from accelerate.utils import gather_object
from safetensors import SafetensorError

from training.run.checkpoints import find_checkpoint, flush
from training.run.ranks import on_first_rank

_DISK_ERRORS = (OSError, RuntimeError, SafetensorError)  # what torch, safetensors and Python raise on a full disk


def write_final(out: Path, save_model: Callable[[Path], Any], add_rest: Callable[[Path], None]) -> Path:
    """Write final/ beside an earlier one, which it replaces when it is complete.

    Args:
        out: output folder of the run.
        save_model: saves the model into a folder; called on all ranks.
        add_rest: adds processor, card and curve; called on rank 0.

    Returns:
        The folder of the trained model.

    Raises:
        ValueError: on all ranks, if it can't be written; the message says what stands.
    """
    final, unfinished = out / "final", out / "final.unfinished"
    on_first_rank(lambda: shutil.rmtree(unfinished, ignore_errors=True))
    said: str | None = None
    try:
        save_model(unfinished)
    except _DISK_ERRORS as error:
        said = str(error)
    failed = [one for one in gather_object([said]) if one is not None]

    def finish() -> None:
        try:
            if failed:
                raise OSError(failed[0])
            add_rest(unfinished)
            flush(unfinished)
            before = out / "final.before"
            shutil.rmtree(before, ignore_errors=True)
            if final.exists():
                final.rename(before)
            unfinished.rename(final)
            shutil.rmtree(before, ignore_errors=True)
        except _DISK_ERRORS as error:
            shutil.rmtree(unfinished, ignore_errors=True)
            raise ValueError(f"{final}: could not be written ({error}); {_remedy(out)}") from error

    on_first_rank(finish)
    return final


def _remedy(out: Path) -> str:
    checkpoint = find_checkpoint(out / "checkpoints")
    if checkpoint is None:
        return (
            "free disk space or choose another --output_dir and train again; with --checkpoint_minutes N a run has "
            "checkpoints to resume from"
        )
    return f"free disk space and run the same command with --resume, which continues from {checkpoint}"
