"""What a person sees while a build runs: a bar with rate and time left, and one line on what a stage did."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

from mmcr_dataset.stage.stages import StageCount, show_count


def open_bar(stage: str, unit: str, total: int | None) -> tqdm[Any]:
    """A bar with rate and time left on a terminal; silent where nobody looks."""
    bar: tqdm[Any] = tqdm(desc=f"{stage:>10}", unit=f" {unit}", total=total, disable=None, file=sys.stderr)
    return bar


def say_count(count: StageCount) -> StageCount:
    """Print what a stage did, with the time of day; returns it."""
    print(f"{time.strftime('%H:%M:%S')} {show_count(count)}")
    return count
