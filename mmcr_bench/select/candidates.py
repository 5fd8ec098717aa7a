"""Read a data set folder: candidates of the draw (ids, topics, image hashes only), and the full drawn dialogues."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from mmcr_bench.select.draw import Candidate
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import ImageError, decode_rgb, perceptual_hash
from mmcr_dataset.record.load import read_shards
from mmcr_dataset.record.row import from_row

_COLUMNS = ["id", "topic", "num_images", "image_phash"]


def read_ids(folder: Path) -> set[str]:
    """Ids of all dialogues in a data set folder."""
    return {id_ for _, table in read_shards(folder, ["id"]) for id_ in table["id"].to_pylist()}


def read_candidates(folders: Iterable[Path]) -> tuple[list[Candidate], int]:
    """The candidates of data set folders, and the number of dialogues with an image that can't be decoded.

    If two folders hold a dialogue, the first wins. Images are read only where a row lacks their hash.
    """
    by_id: dict[str, Candidate] = {}
    num_undecodable = 0
    for folder in folders:
        for path, table in read_shards(folder, _COLUMNS):
            rows = table.to_pylist()
            unhashed = [row["id"] for row in rows if not _is_hashed(row)]
            hashes = {dialogue.id: _hash_images(dialogue) for dialogue in _load_rows(path, unhashed)}
            for row in rows:
                phashes = hashes[row["id"]] if row["id"] in hashes else tuple(row["image_phash"] or ())
                num_undecodable += phashes is None
                if phashes is not None:
                    by_id.setdefault(row["id"], Candidate(row["id"], row["topic"], phashes))
    return list(by_id.values()), num_undecodable


def _is_hashed(row: Mapping[str, Any]) -> bool:
    phashes = row["image_phash"] or []
    return len(phashes) == row["num_images"] and None not in phashes


def _hash_images(dialogue: Dialogue) -> tuple[str, ...] | None:
    """Perceptual hashes of the images, None if one can't be decoded."""
    try:
        return tuple(p.phash or perceptual_hash(decode_rgb(p.data)) for p in dialogue.images)
    except ImageError:
        return None


def _load_rows(path: Path, ids: Sequence[str]) -> list[Dialogue]:
    if not ids:
        return []
    return [from_row(row) for row in pq.read_table(path, filters=[("id", "in", ids)], partitioning=None).to_pylist()]


def load_by_id(folders: Iterable[Path], ids: Sequence[str]) -> list[Dialogue]:
    """The dialogues with these ids, in this order; if two folders hold one, the first wins."""
    found: dict[str, Dialogue] = {}
    for folder in folders:
        for path in sorted(folder.rglob("*.parquet")):
            for dialogue in _load_rows(path, [id_ for id_ in ids if id_ not in found]):
                found.setdefault(dialogue.id, dialogue)
    return [found[id_] for id_ in ids]
