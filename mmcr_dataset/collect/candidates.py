"""Which documents to take, and candidates on disk: Parquet shards that hold the picture bytes for all later stages."""

from __future__ import annotations

import hashlib
import heapq
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.collect.document import Candidate, Document, DocumentSource
from mmcr_dataset.collect.local_folder import LocalFolderSource
from mmcr_dataset.collect.omnicorpus import OmniCorpusSource
from mmcr_dataset.collect.shipped_photos import ShippedPhotosSource
from mmcr_dataset.schema import Picture, Source
from mmcr_dataset.stages import Removed

_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("blocks", pa.list_(pa.struct([("text", pa.string()), ("picture", pa.int8())]))),
        ("pictures", pa.list_(pa.struct([("data", pa.binary()), ("url", pa.string()), ("phash", pa.string())]))),
        ("source", pa.struct([("document_url", pa.string()), ("licence", pa.string()), ("dump", pa.string())])),
    ]
)


def open_source(spec: str, licence: str | None = None) -> DocumentSource:
    """The documents that a `--source` names: `demo`, Parquet (a file or a folder), or a folder of pictures and texts.

    Raises:
        ValueError: there is nothing of the kind.
    """
    if spec == "demo":
        return ShippedPhotosSource()
    path = Path(spec)
    if not path.exists():
        raise ValueError(f"--source {spec}: no such file or folder; expected demo, OmniCorpus Parquet, or a folder")
    if path.suffix == ".parquet" or (path.is_dir() and any(path.rglob("*.parquet"))):
        return OmniCorpusSource(path, licence)
    return LocalFolderSource(path, licence)


def draw_ids(source: DocumentSource, num_single: int | None, num_multi: int | None, seed: int) -> set[str] | None:
    """Ids of a seeded sample: so many documents of one picture, so many of several; None takes all of a kind.

    The draw depends on seed and ids alone, not on the order of the documents, and needs memory for the sample only.

    Returns:
        The ids, or None if all documents are taken.
    """
    if num_single is None and num_multi is None:
        return None
    wanted = {False: num_single, True: num_multi}
    heaps: dict[bool, list[tuple[int, str]]] = {False: [], True: []}
    for document in source:
        if isinstance(document, Removed):
            continue
        multi = len(document.pictures) > 1
        rank = int.from_bytes(hashlib.sha256(f"{seed}\x1f{document.id}".encode()).digest()[:8], "big")
        limit, heap = wanted[multi], heaps[multi]
        heapq.heappush(heap, (-rank, document.id))
        if limit is not None and len(heap) > limit:
            heapq.heappop(heap)
    return {document_id for heap in heaps.values() for _, document_id in heap}


def read_shards_of_documents(
    source: DocumentSource, ids: set[str] | None, rows_a_shard: int
) -> Iterator[list[Document | Removed]]:
    """The chosen documents in lists of at most so many; what is none already is passed on with its reason."""
    shard: list[Document | Removed] = []
    for item in source:
        if ids is None or isinstance(item, Removed) or item.id in ids:
            shard.append(item)
        if len(shard) == rows_a_shard:
            yield shard
            shard = []
    if shard:
        yield shard


def write_candidates(path: Path, candidates: Iterable[Candidate]) -> None:
    """Write a shard; the file appears whole or not at all."""
    rows = [
        {
            "id": candidate.id,
            "blocks": [
                {
                    "text": block if isinstance(block, str) else None,
                    "picture": block if isinstance(block, int) else None,
                }
                for block in candidate.blocks
            ],
            "pictures": [{"data": p.data, "url": p.url, "phash": p.phash} for p in candidate.pictures],
            "source": asdict(candidate.source),
        }
        for candidate in candidates
    ]
    unfinished = path.with_name(path.name + ".unfinished")
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), unfinished, compression="none")
    unfinished.replace(path)


def read_candidates(path: Path) -> list[Candidate]:
    """The candidates of a shard."""
    return [
        Candidate(
            id=row["id"],
            blocks=tuple(block["text"] if block["picture"] is None else block["picture"] for block in row["blocks"]),
            pictures=tuple(Picture(p["data"], url=p["url"], phash=p["phash"]) for p in row["pictures"]),
            source=Source(**row["source"]),
        )
        for row in pq.read_table(path, partitioning=None).to_pylist()
    ]
