"""What a person sees while a build runs: a bar with rate and time left, and one line on what a stage did."""

from __future__ import annotations

import sys
import time
from typing import Any

from tqdm import tqdm

from mmcr_dataset.stages import StageCount


def open_bar(stage: str, unit: str, total: int | None) -> tqdm[Any]:
    """A bar with rate and time left on a terminal; silent where nobody looks."""
    bar: tqdm[Any] = tqdm(desc=f"{stage:>10}", unit=f" {unit}", total=total, disable=None, file=sys.stderr)
    return bar


def show_count(count: StageCount) -> StageCount:
    """One line on what a stage did."""
    removed = ", ".join(f"{number} {reason}" for reason, number in count.removed.items())
    stamp = time.strftime("%H:%M:%S")
    print(
        f"{stamp} {count.stage:>9}: {count.num_in} in, {count.num_kept} kept"
        + (f"; removed: {removed}" if removed else "")
    )
    return count
