"""Delete what a build still holds of rows that were taken out: candidates with their images, dialogues, paid requests.

A takedown keeps a row out of the data set; its bytes stay in OUT.work, so that nothing is paid twice. Purging deletes
them there. The money stays counted, and the counts of the stages say how many rows are gone.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.endpoint.ledger_files import forget_images
from mmcr_dataset.stage.stages import ENTRIES, REMOVED, STAGES, numbered, read_jsonl, write_jsonl, write_text
from mmcr_dataset.stage.takedowns import Takedowns
from mmcr_dataset.stage.work_folder import without_images

# Pages and notes of a build that show its rows, and what ranks left unfinished; made again.
_RANKS = ("1_fetched", "1_fetched.former", "4_published")
_SHOWN = ("report.html", "label.html", "1_screened", *_RANKS, "3_decided", "clusters")
PURGED = "purged"


@dataclass
class Purged:
    """What was deleted, by place, and what could not be."""

    deleted: dict[str, int] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    def show(self) -> str:
        """Lines of text."""
        counts = [f"purged: {number:,} {what}" for what, number in self.deleted.items() if number]
        return "\n".join([*counts, *(f"not purged: {place}" for place in self.left)]) or "purged: nothing was left"


def purge(work: Path, taken_out: Takedowns) -> Purged:
    """Delete rows that were taken out from a build's work folder.

    Args:
        work: the OUT.work folder; may be missing.
        taken_out: the entries of the rows, and the rules that name them.

    Raises:
        ValueError: a ledger is in use, or a file of the folder can't be read.
    """
    purged = Purged()
    if not work.is_dir():
        return purged
    images: set[str] = set()
    for folder in (STAGES["collect"], f"{STAGES['collect']}.unfinished"):
        for number, path in numbered(work / folder, "parquet"):
            _add(purged, "candidates", _purge_candidates(path, number, taken_out, images))
    of_rows = frozenset(images)
    for number, path in numbered(work / ENTRIES / STAGES["collect"], "parquet"):  # of the recipe mmdu
        _add(purged, "images to cluster", _purge_candidates(path, number, taken_out, images, of_rows))
    for stage in ("generate", "filter"):
        for folder in (STAGES[stage], f"{STAGES[stage]}.unfinished"):
            for number, path in numbered(work / folder, "jsonl"):
                _add(purged, "dialogues", _purge_dialogues(path, number, taken_out, images))
    _purge_removed(work, taken_out)
    for path in (work / "ledger.sqlite", *sorted(work.glob("ledgers/*.sqlite"))):
        _add(purged, "paid requests", forget_images(path, images))
    for name in _SHOWN:
        if (work / name).is_dir():
            shutil.rmtree(work / name)
        else:
            (work / name).unlink(missing_ok=True)
    for path in (work / STAGES["score"]).glob("*.broken.json"):  # details may quote a text
        path.unlink()
    batches = [path.name for path in work.glob("batches/*.asked.jsonl")]
    if images and batches:
        purged.left.append(
            f"{work}/batches: {len(batches)} open batches hold requests; run the build to read them, then purge again"
        )
    return purged


def _add(purged: Purged, what: str, number: int) -> None:
    purged.deleted[what] = purged.deleted.get(what, 0) + number


def _purge_candidates(
    path: Path, number: int, taken_out: Takedowns, images: set[str], also: Collection[str] = ()
) -> int:
    """Rewrite a shard without its rows that were taken out, and note the digests of their images.

    Args:
        path: the shard.
        number: its number.
        taken_out: what was taken out.
        images: gets the digests.
        also: digests of images whose rows go too.
    """
    with pq.ParquetFile(path) as file:
        schema, groups = file.schema_arrow, file.num_row_groups
        if "images" not in schema.names:
            raise ValueError(f"{path}: of version 0.1, can't be purged row by row; delete {path.parent.parent}")
        keys = ["id", "source", "images.list.element.sha256", "images.list.element.url"]
        rows = [row for at in range(groups) for row in file.read_row_group(at, columns=keys).to_pylist()]
        gone = {
            place: row
            for place, row in enumerate(rows)
            if _is_taken_out(row, taken_out) or any(one["sha256"] in also for one in row["images"])
        }
        if not gone:
            return 0
        unfinished = path.with_name(path.name + ".unfinished")
        start = 0
        with pq.ParquetWriter(unfinished, schema, compression="none") as writer:
            for at in range(groups):
                group = file.read_row_group(at)
                keep = pa.array([place not in gone for place in range(start, start + group.num_rows)])
                start += group.num_rows
                writer.write_table(group.filter(keep))
    unfinished.replace(path)
    images |= {one["sha256"] for row in gone.values() for one in row["images"] if one["sha256"]}
    _count(path.parent, number, [row["id"] for row in gone.values()])
    return len(gone)


def _is_taken_out(row: Mapping[str, Any], taken_out: Takedowns) -> bool:
    sha256s = [one["sha256"] or "" for one in row["images"]]
    urls = [one["url"] for one in row["images"]]
    return taken_out.reason(None, sha256s, row["source"]["document_url"], urls, row["source"]["licence"]) is not None


def _purge_dialogues(path: Path, number: int, taken_out: Takedowns, images: set[str]) -> int:
    rows = list(read_jsonl(path))
    dialogues = [without_images(row) for row in rows]
    is_gone = [taken_out.reason_of(dialogue) is not None for dialogue in dialogues]
    if not any(is_gone):
        return 0
    gone = [dialogue for dialogue, out in zip(dialogues, is_gone, strict=True) if out]
    images |= {image.sha256 for dialogue in gone for image in dialogue.images}
    write_jsonl(path, (row for row, out in zip(rows, is_gone, strict=True) if not out))
    _count(path.parent, number, [dialogue.id for dialogue in gone])
    return len(gone)


def _count(folder: Path, number: int, ids: list[str]) -> None:
    """Move rows of a finished shard from the kept to the removed ones, under the reason `purged`."""
    counted, listed = folder / f"{number:05d}.count.json", folder / f"{number:05d}.removed.jsonl"
    if not counted.is_file():
        return
    removed = [{"id": row_id, "reason": PURGED, "detail": "taken out", "retry": False} for row_id in ids]
    write_jsonl(listed, [*read_jsonl(listed), *removed])
    count = json.loads(counted.read_text("utf-8"))
    by_reason = count["removed"] | {PURGED: count["removed"].get(PURGED, 0) + len(ids)}
    write_text(counted, json.dumps(count | {"num_kept": count["num_kept"] - len(ids), "removed": by_reason}))


def _purge_removed(work: Path, taken_out: Takedowns) -> None:
    """Rows that a stage removed keep id and reason; what is told of them goes where it names what was taken out."""
    names = _names(taken_out)
    for folder in (*REMOVED.values(), *STAGES.values()):
        for path in sorted((work / folder).glob("*.jsonl")):
            if folder in STAGES.values() and not path.name.endswith(".removed.jsonl"):
                continue
            rows = list(read_jsonl(path))
            told = [
                row | {"detail": PURGED} if any(name in str(row["detail"]) for name in names) else row for row in rows
            ]
            if told != rows:
                write_jsonl(path, told)


def _names(taken_out: Takedowns) -> set[str]:
    """Addresses and digests of what was taken out."""
    names: set[str] = set()
    for entry in taken_out.entries:
        source = entry.get("source") or {}
        urls = [source.get("document_url"), *(source.get("picture_urls") or ())]
        names |= {str(one) for one in (*urls, *(entry.get("images") or ()), entry.get("owner")) if one}
    return names
