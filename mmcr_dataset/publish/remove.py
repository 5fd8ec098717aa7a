"""Takedown: remove rows from a finished data set; only their shards are rewritten, and removals are logged."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.publish.parquet import to_row_groups, write_shard
from mmcr_dataset.record.load import read_shards
from mmcr_dataset.stage.takedowns import (
    LOG_NAME,
    compile_pattern,
    log_takedowns,
    read_log,
    redact_log,
)

_KEYS = ["id", "source"]


def find_rows(folder: Path, url_pattern: str) -> dict[str, str]:
    """Ids of rows with a matching document or image URL, each with a reason.

    Args:
        folder: a data set folder.
        url_pattern: regular expression searched in every URL of a row.

    Raises:
        ValueError: the pattern is not a regular expression, or the folder has no shards.
    """
    pattern = compile_pattern(url_pattern)
    found: dict[str, str] = {}
    for _, table in _shards(folder):
        for row in table.to_pylist():
            urls = [row["source"]["document_url"], *(row["source"]["picture_urls"] or [])]
            match = next((url for url in urls if url is not None and pattern.search(url)), None)
            if match is not None:
                found[row["id"]] = f"address {match}"
    return found


def count_removed(folder: Path) -> dict[str, int]:
    """Number of removed rows of a data set by reason."""
    return dict(Counter(entry["reason"] for entry in read_log(folder / LOG_NAME)).most_common())


def _shards(folder: Path) -> list[tuple[Path, pa.Table]]:
    shards = list(read_shards(folder, _KEYS))
    if not shards:
        raise ValueError(f"{folder}: no Parquet files; expected a folder written by `python -m mmcr_dataset build`")
    return shards


def remove_rows(folder: Path, reason_by_id: Mapping[str, str], pattern: tuple[str, str] | None = None) -> list[str]:
    """Remove rows by id, and keep them out of later builds.

    Each removed row is logged with its reason, URLs and hashes of its images (never images or texts) in the private
    log, and with its id and the class of the reason in the published `removed.jsonl`, before its shard is rewritten.
    Ids that the folder doesn't hold are logged privately, for later builds. Statistics and card are stale afterwards:
    call `publish.card.refresh_card`.

    Args:
        folder: a data set folder.
        reason_by_id: ids to remove.
        pattern: a regular expression for addresses that later builds leave out, and the reason.

    Returns:
        The ids that were removed.

    Raises:
        ValueError: the folder has no shards, or no row would be left.
    """
    redact_log(folder)
    shards = _shards(folder)
    if all(id_ in reason_by_id for _, table in shards for id_ in table["id"].to_pylist()):
        raise ValueError(f"{folder}: removing {len(reason_by_id)} rows would leave none; delete the data set instead")
    found = {id_ for _, table in shards for id_ in table["id"].to_pylist()}
    others = [{"id": id_, "reason": why} for id_, why in reason_by_id.items() if id_ not in found]
    patterns = [] if pattern is None else [{"url_pattern": pattern[0], "reason": pattern[1]}]
    log_takedowns(folder, [], [*others, *patterns])
    removed: list[str] = []
    for path, table in shards:
        gone = [row for row in table.to_pylist() if row["id"] in reason_by_id]
        if not gone:
            continue
        whole = pq.read_table(path, partitioning=None)
        images = dict(zip(whole["id"].to_pylist(), whole["images"], strict=True))
        log_takedowns(folder, [_to_entry(row, reason_by_id[row["id"]], images[row["id"]].as_py()) for row in gone])
        keep = pa.array([id_ not in reason_by_id for id_ in whole["id"].to_pylist()])
        if len(gone) == whole.num_rows:  # load_dataset rejects a shard without rows
            path.unlink()
        else:
            write_shard(to_row_groups(whole.filter(keep)), path, durable=True)
        removed += [row["id"] for row in gone]
    return removed


def _to_entry(row: Mapping[str, Any], reason: str, images: Sequence[Mapping[str, bytes]]) -> dict[str, Any]:
    """A row's line in the log."""
    sha256s = [hashlib.sha256(image["bytes"]).hexdigest() for image in images]
    return {"id": row["id"], "reason": reason, "source": row["source"], "images": sha256s}
