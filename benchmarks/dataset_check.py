"""Rows per second of `mmcr_dataset check`, against the lower bound of any check: reading every row once.

    python -m benchmarks.dataset_check [--rows 10000] [--image_kb 44]

The lower bound is a pass over the same shards with `load_dataset`, images undecoded. Our check reads each row, compares
its two forms of the dialogue, opens its images, hashes the shards, and runs sampled rows through TRL.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from benchmarks.dataset_parquet import make_dialogues
from mmcr_dataset.publish.card import refresh_card
from mmcr_dataset.publish.check import check_dataset
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.load import load_rows


def main() -> None:
    """Check and read once each; prints both and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--image_kb", "--image-kb", type=int, default=44)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / "set"
        write_dataset(make_dialogues(args.rows, args.image_kb), folder, args.rows * args.image_kb * 1000)
        refresh_card(folder)
        check_dataset(folder)  # warm-up: imports TRL and fills the page cache
        start = time.perf_counter()
        findings = check_dataset(folder)
        middle = time.perf_counter()
        num_rows = sum(1 for _ in load_rows(str(folder), streaming=True))
        seconds = {"check": middle - start, "load_dataset, one pass": time.perf_counter() - middle}
    assert num_rows == args.rows
    assert not findings, findings
    for side, taken in seconds.items():
        print(f"{side:24} {args.rows / taken:9.0f} rows/s {taken:7.1f} s")
    print(f"check / one pass: {seconds['check'] / seconds['load_dataset, one pass']:.2f} times as long")


if __name__ == "__main__":
    main()
