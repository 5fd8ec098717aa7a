"""Read a build's work folder: images, dialogues, similarities, the threshold.

Images are by far the largest part, so each function reads only the shards it needs.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmcr_dataset.record.dialogue import Dialogue, from_json
from mmcr_dataset.stage.stages import STAGES, Stage, numbered, read_jsonl

SCREENED, DECIDED = "1_screened", "3_decided"  # folders of `filters/checks.py`: of candidates, of written dialogues


def read_images(work: Path, number: int) -> dict[str, bytes]:
    """Image files of a collected shard by their sha256; texts are not read."""
    path = work / STAGES["collect"] / f"{number:05d}.parquet"
    column = "images" if "images" in pq.read_schema(path).names else "pictures"  # its name in version 0.1
    rows = pq.read_table(path, columns=[column], partitioning=None)[column].to_pylist()
    return {one.get("sha256") or hashlib.sha256(one["data"]).hexdigest(): one["data"] for row in rows for one in row}


def read_shard_similarities(work: Path, number: int) -> dict[str, list[float]]:
    """As `read_similarities`, of one shard."""
    path = work / STAGES["score"] / f"{number:05d}.jsonl"
    return {row["id"]: row["similarity"] for row in read_jsonl(path)}


def without_images(value: dict[str, Any]) -> Dialogue:
    """A row as a dialogue with empty image bytes, for code that reads only its texts."""
    return from_json(value, defaultdict(bytes))


def read_dialogues(work: Path, stage: str, ids: Collection[str] | None = None) -> Iterator[Dialogue]:
    """The dialogues of a stage with their images, in order.

    Args:
        work: the work folder.
        stage: `generate` or `filter`.
        ids: of the dialogues to read; None for all.
    """
    for number, _ in numbered(work / STAGES[stage], "jsonl"):
        yield from read_shard_dialogues(work, stage, number, ids)


def read_shard_dialogues(work: Path, stage: str, number: int, ids: Collection[str] | None = None) -> Iterator[Dialogue]:
    """As `read_dialogues`, of one shard."""
    values = read_jsonl(work / STAGES[stage] / f"{number:05d}.jsonl")
    wanted = [value for value in values if ids is None or value["id"] in ids]
    if wanted:
        images = read_images(work, number)
        for value in wanted:
            yield from_json(value, images)


def read_similarities(work: Path) -> dict[str, list[float]]:
    """Similarity (-1..1) of each image by the id of its dialogue; empty lists where none was computed.

    Raises:
        ValueError: the work folder has no scores.
    """
    folder = Stage.open(work, "score").folder
    return {row["id"]: row["similarity"] for _, path in numbered(folder, "jsonl") for row in read_jsonl(path)}


def read_thresholds(work: Path) -> dict[str, float | None]:
    """The similarity threshold of the last build for `single` and `multi`, None where it had none.

    Raises:
        ValueError: the folder is not the work folder of a finished build.
    """
    least: dict[str, float | None] | float | None = Stage.open(work, "filter").settings["similarity_min"]
    if isinstance(least, dict):
        return least
    return {"single": least, "multi": least}  # of version 0.1
