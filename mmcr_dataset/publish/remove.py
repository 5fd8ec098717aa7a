"""Takedown: remove rows from a finished data set; only their shards are rewritten, and removals are logged."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.publish.parquet import to_row_groups, write_shard
from mmcr_dataset.record.load import read_shards
from mmcr_dataset.stage.stages import read_jsonl

LOG_NAME = "removed.jsonl"
_KEYS = ["id", "source"]


def find_rows(folder: Path, url_pattern: str) -> dict[str, str]:
    """Ids of rows with a matching document or image URL, each with a reason.

    Args:
        folder: a data set folder.
        url_pattern: regular expression searched in every URL of a row.

    Raises:
        ValueError: the pattern is not a regular expression, or the folder has no shards.
    """
    try:
        pattern = re.compile(url_pattern)
    except re.error as error:
        raise ValueError(f"--url_pattern {url_pattern!r}: not a regular expression ({error})") from error
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
    path = folder / LOG_NAME
    if not path.is_file():
        return {}
    return dict(Counter(entry["reason"] for entry in read_jsonl(path, "fix or remove the line")).most_common())


def _shards(folder: Path) -> list[tuple[Path, pa.Table]]:
    shards = list(read_shards(folder, _KEYS))
    if not shards:
        raise ValueError(f"{folder}: no Parquet files; expected a folder written by `python -m mmcr_dataset build`")
    return shards


def remove_rows(folder: Path, reason_by_id: Mapping[str, str]) -> list[str]:
    """Remove rows by id; unknown ids are ignored.

    Each removed row is logged in `removed.jsonl` (id, reason, URLs; never images or texts). Statistics and card are
    stale afterwards: call `publish.card.refresh_card`.

    Args:
        folder: a data set folder.
        reason_by_id: ids to remove.

    Returns:
        The ids that were removed.

    Raises:
        ValueError: the folder has no shards, or no row would be left.
    """
    shards = _shards(folder)
    if all(id_ in reason_by_id for _, table in shards for id_ in table["id"].to_pylist()):
        raise ValueError(f"{folder}: removing {len(reason_by_id)} rows would leave none; delete the data set instead")
    removed: list[str] = []
    for path, table in shards:
        gone = [row for row in table.to_pylist() if row["id"] in reason_by_id]
        if not gone:
            continue
        with (folder / LOG_NAME).open("a", encoding="utf-8") as log:
            for row in gone:
                entry = {"id": row["id"], "reason": reason_by_id[row["id"]], "source": row["source"]}
                log.write(json.dumps(entry, ensure_ascii=False) + "\n")
        whole = pq.read_table(path, partitioning=None)
        keep = pa.array([id_ not in reason_by_id for id_ in whole["id"].to_pylist()])
        if len(gone) == whole.num_rows:  # load_dataset rejects a shard without rows
            path.unlink()
        else:
            write_shard(to_row_groups(whole.filter(keep)), path, durable=True)
        removed += [row["id"] for row in gone]
    return removed
