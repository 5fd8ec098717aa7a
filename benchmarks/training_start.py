"""python -m benchmarks.training_start: seconds from start to the end of the first step, by size of the data set.

A tiny model with a global batch size of eight dialogues.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from benchmarks.training_dialogues import make_dialogue
from mmcr_dataset.publish.parquet import write_dataset


def seconds_to_first_step(folder: Path, *more: str) -> float:
    """Seconds from the start of a process until its first step is logged."""
    out = Path(tempfile.mkdtemp())
    command = [
        sys.executable, "train.py", "--model", "tiny:ovis2", "--data", str(folder), "--output_dir", str(out),
        "--global_batch_dialogues", "8", "--max_steps", "1", *more,
    ]  # fmt: skip
    begin_s = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not (out / "log.jsonl").is_file() and process.poll() is None:
            time.sleep(0.02)
        passed_s = time.perf_counter() - begin_s
    assert process.returncode == 0, f"{' '.join(command)} failed"
    return round(passed_s, 1)


def main() -> None:
    """Print JSON lines for each size: a first run, a second one with a warm cache, and one with streaming."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100, 10_000])
    arguments = parser.parse_args()
    rng = np.random.default_rng(0)
    for count in arguments.rows:
        folder = Path(tempfile.mkdtemp()) / "data"
        images = [make_dialogue(rng, number, 60, False, 200) for number in range(100)]
        write_dataset([replace(images[n % 100], id=f"d{n:06d}") for n in range(count)], folder)
        for name, more in (("first", []), ("again", []), ("streamed", ["--streaming", "true"])):
            line = {"rows": count, "run": name, "seconds": seconds_to_first_step(folder, *more)}
            print(json.dumps(line), flush=True)


if __name__ == "__main__":
    main()
