"""Takedown: rows out of a finished data set.

Only the shards that hold them are rewritten, and a log says what was removed and why.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.publish.parquet import cut_groups, write_shard
from mmcr_dataset.record.load import read_shards
from mmcr_dataset.stage.stages import read_jsonl

LOG_NAME = "removed.jsonl"
_KEYS = ["id", "source"]


def find_rows(folder: Path, url_pattern: str) -> dict[str, str]:
    """Ids of rows with a document or image address that matches; id -> why.

    Args:
        folder: a published data set.
        url_pattern: regular expression searched in every address of a row.

    Raises:
        ValueError: the pattern is no regular expression, or there is no data set in the folder.
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
    """Rows that were taken out of a data set so far, by reason; empty if none were."""
    path = folder / LOG_NAME
    if not path.is_file():
        return {}
    return dict(Counter(entry["reason"] for entry in read_jsonl(path, "mend or remove the line")).most_common())


def _shards(folder: Path) -> list[tuple[Path, pa.Table]]:
    shards = list(read_shards(folder, _KEYS))
    if not shards:
        raise ValueError(f"{folder}: no Parquet files; expected a folder written by `python -m mmcr_dataset build`")
    return shards


def remove_rows(folder: Path, why_by_id: Mapping[str, str]) -> list[str]:
    """Take rows out by id; unknown ids are left to the caller to report.

    Each removed row is logged in `removed.jsonl` (id, reason, addresses; never the images or texts). Statistics and
    card are stale afterwards: call `publish.card.refresh_card`.

    Returns:
        The ids that were found and removed.

    Raises:
        ValueError: there is no data set in the folder, or nothing would be left of it.
    """
    shards = _shards(folder)
    left = sum(id_ not in why_by_id for _, table in shards for id_ in table["id"].to_pylist())
    if left == 0:
        raise ValueError(f"{folder}: removing {len(why_by_id)} rows would leave none; delete the data set instead")
    removed: list[str] = []
    for path, table in shards:
        gone = [row for row in table.to_pylist() if row["id"] in why_by_id]
        if not gone:
            continue
        with (folder / LOG_NAME).open("a", encoding="utf-8") as log:
            for row in gone:
                entry = {"id": row["id"], "reason": why_by_id[row["id"]], "source": row["source"]}
                log.write(json.dumps(entry, ensure_ascii=False) + "\n")
        whole = pq.read_table(path, partitioning=None)
        keep = pa.array([id_ not in why_by_id for id_ in whole["id"].to_pylist()])
        if len(gone) == whole.num_rows:  # load_dataset refuses a shard without rows
            path.unlink()
        else:
            write_shard(cut_groups(whole.filter(keep)), path, durable=True)
        removed += [row["id"] for row in gone]
    return removed
