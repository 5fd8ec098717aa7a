"""Takedown: remove rows from a finished data set; only their shards are rewritten, and removals are logged."""

from __future__ import annotations

import json
import os
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.publish.parquet import to_row_groups, write_shard
from mmcr_dataset.record.load import read_shards
from mmcr_dataset.stage.stages import read_jsonl, write_text

LOG_NAME = "removed.jsonl"
TAKEN_DOWN = "taken down"
_CLASSES = re.compile(
    r"(?:drawn for|shows an image of|overlap with) [\w. -]{1,64}|repeated images|requested|taken down"
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
    return dict(Counter(entry["reason"] for entry in _read_log(folder / LOG_NAME)).most_common())


def private_log(folder: Path) -> Path:
    """The full log of removals, beside the data set and never published: reasons, addresses."""
    place = folder.resolve()
    return place.with_name(f"{place.name}.work") / LOG_NAME


def redact_log(folder: Path) -> None:
    """Rewrite the published log so that it names ids and reason classes only; what it told besides becomes private."""
    published = _read_log(folder / LOG_NAME)
    if all(entry.keys() == {"id", "reason"} and _CLASSES.fullmatch(entry["reason"]) for entry in published):
        return
    _keep_private(folder, published)
    _write_published(folder, published)


def _read_log(path: Path) -> list[dict[str, Any]]:
    return list(read_jsonl(path, "fix or remove the line")) if path.is_file() else []


def _keep_private(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Add entries to the private log, which only its owner may read."""
    path = private_log(folder)
    path.parent.mkdir(parents=True, exist_ok=True)
    known = _read_log(path)
    new = [entry for entry in entries if entry not in known]
    with open(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "a", encoding="utf-8") as log:
        log.writelines(json.dumps(entry, ensure_ascii=False) + "\n" for entry in new)
        log.flush()
        os.fsync(log.fileno())
    path.chmod(0o600)


def _write_published(folder: Path, entries: Sequence[Mapping[str, Any]]) -> None:
    """Write the published log: the id and the class of the reason of each entry, no address, no free text."""
    lines = [
        json.dumps(
            {"id": entry["id"], "reason": entry["reason"] if _CLASSES.fullmatch(entry["reason"]) else TAKEN_DOWN}
        )
        for entry in entries
        if "id" in entry
    ]
    write_text(folder / LOG_NAME, "".join(f"{line}\n" for line in dict.fromkeys(lines)))


def _shards(folder: Path) -> list[tuple[Path, pa.Table]]:
    shards = list(read_shards(folder, _KEYS))
    if not shards:
        raise ValueError(f"{folder}: no Parquet files; expected a folder written by `python -m mmcr_dataset build`")
    return shards


def remove_rows(folder: Path, reason_by_id: Mapping[str, str]) -> list[str]:
    """Remove rows by id; unknown ids are ignored.

    Each removed row is logged with its reason and addresses in `private_log`, and with its id and the class of the
    reason in the published `removed.jsonl`. Statistics and card are stale afterwards: call
    `publish.card.refresh_card`.

    Args:
        folder: a data set folder.
        reason_by_id: ids to remove.

    Returns:
        The ids that were removed.

    Raises:
        ValueError: the folder has no shards, or no row would be left.
    """
    redact_log(folder)
    shards = _shards(folder)
    if all(id_ in reason_by_id for _, table in shards for id_ in table["id"].to_pylist()):
        raise ValueError(f"{folder}: removing {len(reason_by_id)} rows would leave none; delete the data set instead")
    removed: list[str] = []
    for path, table in shards:
        gone = [row for row in table.to_pylist() if row["id"] in reason_by_id]
        if not gone:
            continue
        entries = [{"id": row["id"], "reason": reason_by_id[row["id"]], "source": row["source"]} for row in gone]
        _keep_private(folder, entries)
        _write_published(folder, [*_read_log(folder / LOG_NAME), *entries])
        whole = pq.read_table(path, partitioning=None)
        keep = pa.array([id_ not in reason_by_id for id_ in whole["id"].to_pylist()])
        if len(gone) == whole.num_rows:  # load_dataset rejects a shard without rows
            path.unlink()
        else:
            write_shard(to_row_groups(whole.filter(keep)), path, durable=True)
        removed += [row["id"] for row in gone]
    return removed
