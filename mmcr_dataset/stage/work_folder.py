"""What a build's work folder holds, read back: candidates, dialogues with their images, similarities, the threshold.

Images are by far the largest part, so each function reads the shards it needs and no others.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmcr_dataset.record.dialogue import Dialogue, from_json
from mmcr_dataset.stage.stages import STAGES, Stage, read_jsonl


def read_images(work: Path, number: int) -> dict[str, bytes]:
    """The images of a collected shard by their sha256, read without its texts."""
    path = work / STAGES["collect"] / f"{number:05d}.parquet"
    column = "images" if "images" in pq.read_schema(path).names else "pictures"  # its name in version 0.1
    rows = pq.read_table(path, columns=[column], partitioning=None)[column].to_pylist()
    return {one.get("sha256") or hashlib.sha256(one["data"]).hexdigest(): one["data"] for row in rows for one in row}


def read_values(work: Path, stage: str) -> Iterator[tuple[int, list[dict[str, Any]]]]:
    """Numbers of a stage's shards of dialogues, and their rows as `schema.to_json` made them."""
    for path in sorted((work / STAGES[stage]).glob("?????.jsonl")):
        yield int(path.stem), list(read_jsonl(path))


def without_images(value: dict[str, Any]) -> Dialogue:
    """A row as a dialogue whose images have no bytes, for what looks at its texts only."""
    return from_json(value, defaultdict(bytes))


def read_dialogues(work: Path, stage: str, ids: Collection[str] | None = None) -> Iterator[Dialogue]:
    """The dialogues of a stage with their images, in order.

    Args:
        work: the work folder.
        stage: `generate` or `filter`.
        ids: only these; None for all.
    """
    for number, values in read_values(work, stage):
        wanted = [value for value in values if ids is None or value["id"] in ids]
        if wanted:
            images = read_images(work, number)
            for value in wanted:
                yield from_json(value, images)


def read_similarities(work: Path) -> dict[str, list[float]]:
    """Similarity (-1..1) of each image by the id of its dialogue; empty lists where nothing was measured.

    Raises:
        ValueError: the work folder has no scores.
    """
    folder = Stage.open(work, "score").folder
    return {row["id"]: row["similarity"] for path in sorted(folder.glob("?????.jsonl")) for row in read_jsonl(path)}


def read_threshold(work: Path) -> float | None:
    """The similarity that the last build asked for, None if it asked for none.

    Raises:
        ValueError: not the work folder of a finished build.
    """
    least: float | None = Stage.open(work, "filter").settings["similarity_min"]
    return least
