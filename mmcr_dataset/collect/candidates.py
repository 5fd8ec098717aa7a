"""Read and write candidates: Parquet shards that store the image files for all later stages."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.record.dialogue import DialogueImage, Source
from mmcr_dataset.stage.stages import STAGES

_BYTES_A_ROW_GROUP = 16_000_000

_IMAGE = ("data", "sha256", "url", "phash")
_SCHEMA = pa.schema(
    [
        ("id", pa.string()),
        ("blocks", pa.list_(pa.struct([("text", pa.string()), ("image", pa.int8())]))),
        ("images", pa.list_(pa.struct([(name, pa.binary() if name == "data" else pa.string()) for name in _IMAGE]))),
        ("source", pa.struct([("document_url", pa.string()), ("licence", pa.string()), ("dump", pa.string())])),
    ]
)


class CandidateWriter:
    """Streams rows to a shard with an atomic write; buffers one row group in memory."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._unfinished = path.with_name(path.name + ".unfinished")
        self._writer = pq.ParquetWriter(self._unfinished, _SCHEMA, compression="none")
        self._rows: list[dict[str, Any]] = []
        self._buffered_bytes = 0

    def add(self, candidate: Candidate) -> None:
        """Append a row."""
        self._rows.append(_to_row(candidate))
        self._buffered_bytes += sum(len(image.data) for image in candidate.images)
        if self._buffered_bytes >= _BYTES_A_ROW_GROUP:
            self._flush()

    def _flush(self) -> None:
        if self._rows:
            self._writer.write_table(pa.Table.from_pylist(self._rows, schema=_SCHEMA))
        self._rows, self._buffered_bytes = [], 0

    def close(self) -> None:
        """Flush the buffer and rename the temporary file."""
        self._flush()
        self._writer.close()
        self._unfinished.replace(self._path)

    def abort(self) -> None:
        """Delete the temporary file; an earlier shard stays unchanged."""
        self._writer.close()
        self._unfinished.unlink(missing_ok=True)


def _to_row(candidate: Candidate) -> dict[str, Any]:
    return {
        "id": candidate.id,
        "blocks": [
            {"text": block if isinstance(block, str) else None, "image": block if isinstance(block, int) else None}
            for block in candidate.blocks
        ],
        "images": [{name: getattr(image, name) for name in _IMAGE} for image in candidate.images],
        "source": asdict(candidate.source),
    }


def read_candidates(path: Path) -> list[Candidate]:
    """The candidates of a shard; files of version 0.1 say `picture` and have no hashes."""
    return [
        Candidate(
            id=row["id"],
            blocks=tuple(_to_block(block) for block in row["blocks"]),
            images=tuple(
                DialogueImage(one["data"], url=one["url"], phash=one["phash"], known_sha256=one.get("sha256"))
                for one in row["images" if "images" in row else "pictures"]
            ),
            source=Source(**row["source"]),
        )
        for row in pq.read_table(path, partitioning=None).to_pylist()
    ]


def read_shard(work: Path, number: int) -> list[Candidate]:
    """The candidates of a collected shard of a work folder."""
    return read_candidates(work / STAGES["collect"] / f"{number:05d}.parquet")


def _to_block(block: dict[str, Any]) -> str | int:
    """A text, or the number of an image."""
    number = block["image" if "image" in block else "picture"]
    return str(block["text"]) if number is None else int(number)
