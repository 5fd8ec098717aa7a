"""What a person sees while a build runs: a bar with rate and time left, and one line on what a stage did."""

from __future__ import annotations

import logging
import sys
from typing import Any

from tqdm import tqdm

from mmcr_dataset.stage.stages import StageCount, show_count

log = logging.getLogger(__name__)


def open_bar(stage: str, unit: str, total: int | None) -> tqdm[Any]:
    """A bar with rate and time left on a terminal; silent where nobody looks."""
    bar: tqdm[Any] = tqdm(desc=f"{stage:>10}", unit=f" {unit}", total=total, disable=None, file=sys.stderr)
    return bar


def say_count(count: StageCount) -> StageCount:
    """Log what a stage did; returns it."""
    log.info("%s", show_count(count))
    return count
