"""Progress of a build: a bar on the terminal, and a log line for each finished stage."""

from __future__ import annotations

import logging
import sys
from typing import Any

from tqdm import tqdm

from mmcr_dataset.stage.stages import StageCount, show_count

log = logging.getLogger(__name__)


def open_bar(stage: str, unit: str, total: int | None) -> tqdm[Any]:
    """A progress bar on stderr; silent if stderr is not a terminal."""
    bar: tqdm[Any] = tqdm(desc=f"{stage:>10}", unit=f" {unit}", total=total, disable=None, file=sys.stderr)
    return bar


def log_count(count: StageCount) -> StageCount:
    """Log the counts of a stage; returns them."""
    log.info("%s", show_count(count))
    return count
