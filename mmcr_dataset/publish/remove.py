"""Takedown: remove rows from a finished data set; only their shards are rewritten, and removals are logged."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.publish.parquet import to_row_groups, write_shard
from mmcr_dataset.record.image_licences import pages_of
from mmcr_dataset.record.load import read_shards
from mmcr_dataset.stage.takedowns import (
    LOG_NAME,
    Takedowns,
    log_takedowns,
    read_log,
    redact_log,
)

_KEYS = ["id", "source"]


def find_rows(
    folder: Path, url_pattern: str | None = None, owner: str | None = None, images: Collection[str] = ()
) -> dict[str, str]:
    """Ids of the rows that a rule names, each with what it matched.

    Args:
        folder: a data set folder.
        url_pattern: regular expression searched in every URL of a row.
        owner: HOST or HOST/PATH of the document's or an image's URL.
        images: SHA-256 of image files.

    Raises:
        ValueError: the pattern is not a regular expression, or the folder has no shards.
    """
    taken_out = Takedowns(to_rules("", url_pattern, owner, images))
    found: dict[str, str] = {}
    for row_id, source, sha256s in _read_keys(folder, taken_out.needs_images):
        urls = [source["document_url"], *(source["picture_urls"] or []), *pages_of(source["licence"])]
        image = next((sha256 for sha256 in sha256s if sha256 in images), None)
        match = next((url for url in urls if url and taken_out.reason(None, (), url, ())), None)
        if image or match:
            found[row_id] = f"image {image}" if image else f"address {match}"
    return found


def to_rules(
    reason: str, url_pattern: str | None = None, owner: str | None = None, images: Collection[str] = ()
) -> list[dict[str, str]]:
    """The entries of the log that keep what is named out of later builds."""
    rules = [{"url_pattern": url_pattern}] if url_pattern else []
    rules += [{"owner": owner}] if owner else []
    rules += [{"image_sha256": sha256} for sha256 in sorted(images)]
    return [{**rule, "reason": reason} for rule in rules]


def find_taken_out(folder: Path, taken_out: Takedowns) -> dict[str, str]:
    """Ids of the rows of a folder that were taken out, by their id or by a rule, each with the reason."""
    found: dict[str, str] = {}
    taken_out = taken_out.named()
    for row_id, source, sha256s in _read_keys(folder, taken_out.needs_images) if taken_out else ():
        urls = source["picture_urls"] or []
        why = taken_out.reason(row_id, sha256s, source["document_url"], urls, source["licence"])
        if why is not None:
            found[row_id] = why[1]
    return found


def _read_keys(folder: Path, with_images: bool) -> Iterator[tuple[str, dict[str, Any], list[str]]]:
    """Id, source and the SHA-256 of the images of each row; the last only where they are asked."""
    for path, _ in _shards(folder):
        with pq.ParquetFile(path) as file:
            for batch in file.iter_batches(batch_size=64, columns=[*_KEYS, *["images"] * with_images]):
                for row in batch.to_pylist():
                    sha256s = [hashlib.sha256(one["bytes"]).hexdigest() for one in row.get("images", ())]
                    yield row["id"], row["source"], sha256s


def count_removed(folder: Path) -> dict[str, int]:
    """Number of removed rows of a data set by reason."""
    return dict(Counter(entry["reason"] for entry in read_log(folder / LOG_NAME)).most_common())


def _shards(folder: Path) -> list[tuple[Path, pa.Table]]:
    shards = list(read_shards(folder, _KEYS))
    if not shards:
        raise ValueError(f"{folder}: no Parquet files; expected a folder written by `python -m mmcr_dataset build`")
    return shards


def remove_rows(folder: Path, reason_by_id: Mapping[str, str], rules: Sequence[Mapping[str, str]] = ()) -> list[str]:
    """Remove rows by id, and keep them out of later builds.

    Each removed row is logged with its reason, URLs and hashes of its images (never images or texts) in the private
    log, and with its id and the class of the reason in the published `removed.jsonl`, before its shard is rewritten.
    Ids that the folder doesn't hold are logged privately, for later builds. Statistics and card are stale afterwards:
    call `publish.card.refresh_card`.

    Args:
        folder: a data set folder.
        reason_by_id: ids to remove.
        rules: entries of what later builds leave out, from `to_rules`.

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
    log_takedowns(folder, [], [*others, *rules])
    removed: list[str] = []
    for path, table in shards:
        gone = [row for row in table.to_pylist() if row["id"] in reason_by_id]
        if not gone:
            continue
        whole = pq.read_table(path, partitioning=None)
        rows = dict(zip(whole["id"].to_pylist(), zip(whole["images"], whole["image_phash"], strict=True), strict=True))
        log_takedowns(folder, [_to_entry(row, reason_by_id[row["id"]], *rows[row["id"]]) for row in gone])
        keep = pa.array([id_ not in reason_by_id for id_ in whole["id"].to_pylist()])
        if len(gone) == whole.num_rows:  # load_dataset rejects a shard without rows
            path.unlink()
        else:
            write_shard(to_row_groups(whole.filter(keep)), path, durable=True)
        removed += [row["id"] for row in gone]
    return removed


def _to_entry(row: Mapping[str, Any], reason: str, images: pa.ListScalar, phashes: pa.ListScalar) -> dict[str, Any]:
    """A row's line in the log."""
    sha256s = [hashlib.sha256(image["bytes"]).hexdigest() for image in images.as_py()]
    entry = {"id": row["id"], "reason": reason, "source": row["source"], "images": sha256s}
    known = [phash for phash in phashes.as_py() or () if phash]
    return entry | ({"phashes": known} if len(known) == len(sha256s) else {})
