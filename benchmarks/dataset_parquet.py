"""Rows per second of writing Parquet: ours against `datasets`, on the same rows.

    python -m benchmarks.dataset_parquet [--rows 10000] [--image_kb 44] [--repeats 3]

Peers: `Dataset.from_generator(...).to_parquet` (streams rows, with an Arrow cache on disk) and
`Dataset.from_list(...).to_parquet` (all rows in memory). Prints the best of the repeats and the ratios.
"""

from __future__ import annotations

import argparse
import io
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image

from mmcr_dataset.publish.parquet import row_features, write_dataset
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from mmcr_dataset.record.row import to_row


def make_dialogues(num_rows: int, image_kb: int) -> list[Dialogue]:
    """Single-image dialogues of four turns with about 1.1k words and a JPEG of about the given size."""
    rng = np.random.default_rng(0)
    side = 64
    while True:
        buffer = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (side, side, 3), dtype=np.uint8)).save(buffer, "JPEG", quality=85)
        if len(buffer.getvalue()) >= image_kb * 1000:
            break
        side += 8
    data = buffer.getvalue()
    dialogues = []
    for number in range(num_rows):
        turns = [
            Turn(
                introduce([1] if turn == 0 else [], f"What about part {turn} of image {number}?"),
                f"Image 1 shows part {turn}: " + "a long answer of some words " * 40,
            )
            for turn in range(4)
        ]
        image = DialogueImage(data[:-8] + number.to_bytes(8, "big"), url=f"https://example.org/{number}.jpg")
        dialogues.append(Dialogue(f"{number:032x}", tuple(turns), (image,)))
    return dialogues


def measure(name: str, run: Callable[[Path], None], repeats: int, num_rows: int) -> float:
    """Rows per second of the best repeat.

    Args:
        name: name of the writer.
        run: writes the rows into a folder.
        repeats: number of repeats.
        num_rows: number of rows.
    """
    best = float("inf")
    for _ in range(repeats):
        folder = Path(tempfile.mkdtemp(prefix="mmcr-bench-"))
        try:
            start = time.perf_counter()
            run(folder)
            best = min(best, time.perf_counter() - start)
        finally:
            shutil.rmtree(folder)
    print(f"{name:44} {num_rows / best:9.0f} rows/s   {best:6.2f} s", flush=True)
    return num_rows / best


def main() -> None:
    """Run all writers and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--rows", type=int, default=10000)
    parser.add_argument("--image_kb", "--image-kb", type=int, default=44)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    from datasets import Dataset, disable_progress_bars

    disable_progress_bars()
    dialogues = make_dialogues(args.rows, args.image_kb)
    features = row_features()
    size_bytes = sum(len(image.data) for dialogue in dialogues for image in dialogue.images)

    def rows() -> Iterator[dict[str, object]]:
        for dialogue in dialogues:
            yield to_row(dialogue)

    def from_generator(folder: Path) -> None:
        made = Dataset.from_generator(rows, features=features, cache_dir=str(folder / "cache"))
        made.to_parquet(str(folder / "train.parquet"))

    def from_list(folder: Path) -> None:
        Dataset.from_list(list(rows()), features=features).to_parquet(str(folder / "train.parquet"))

    ours = measure(
        "ours: write_dataset",
        lambda folder: write_dataset(dialogues, folder, size_bytes) and None,
        args.repeats,
        args.rows,
    )
    peers = {
        "Dataset.from_generator + to_parquet": from_generator,
        "Dataset.from_list + to_parquet": from_list,
    }
    for name, run in peers.items():
        print(f"{'':44} {ours / measure(name, run, args.repeats, args.rows):9.1f} times")


if __name__ == "__main__":
    main()
