"""The Xet side of the local Hub: the real client (hf_xet) writes chunks to its own `local://` store in a folder.

A shard file (.mdb) of that store says which file hash belongs to which sha256; with it, the Hub side can hand a file
out again in one piece, as the real Hub's bridge does.
"""

from __future__ import annotations

import shutil
import struct
import tempfile
from collections.abc import Iterator
from pathlib import Path

_HEADER_BYTES = 48
_ENTRY_BYTES = 48
_END = b"\xff" * 32
_HAS_VERIFICATION, _HAS_METADATA = 1 << 31, 1 << 30  # flags of a file entry


def read_shard(path: Path) -> Iterator[tuple[str, str]]:
    """Pairs (sha256, xet hash) of the files that a shard describes, in hex."""
    data = path.read_bytes()
    at = _HEADER_BYTES
    while at + _ENTRY_BYTES <= len(data) and data[at : at + 32] != _END:
        xet_hash = data[at : at + 32]
        flags, num_segments = struct.unpack("<II", data[at + 32 : at + 40])
        at += _ENTRY_BYTES * (1 + num_segments)
        if flags & _HAS_VERIFICATION:
            at += _ENTRY_BYTES * num_segments
        if flags & _HAS_METADATA:
            yield _to_hex(data[at : at + 32]), _to_hex(xet_hash)
            at += _ENTRY_BYTES


def _to_hex(digest: bytes) -> str:
    return "".join(f"{word:016x}" for word in struct.unpack("<4Q", digest))


class XetStore:
    """The folder behind a `local://` address."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.address = f"local://{folder}"

    def hashes(self) -> dict[str, str]:
        """Xet hash of each file by its sha256."""
        return {sha: xet for path in sorted(self.folder.rglob("*.mdb")) for sha, xet in read_shard(path)}

    def num_bytes(self) -> int:
        """Bytes of chunks in the store; those that are there already are not stored again."""
        chunks = (path for path in self.folder.rglob("xorbs/xorbs/*") if path.suffix != ".tagset")
        return sum(path.stat().st_size for path in chunks)

    def read(self, sha256: str, size: int | None) -> bytes | None:
        """A file put together from its chunks, None if no shard describes it."""
        import hf_xet

        xet_hash = self.hashes().get(sha256)
        if xet_hash is None:
            return None
        with tempfile.TemporaryDirectory() as name:
            copy = shutil.copytree(self.folder, Path(name) / "store")  # the client still holds the store's lock
            target = Path(name) / "file"
            with hf_xet.XetSession().new_file_download_group(endpoint=f"local://{copy}") as group:
                group.start_download_file(hf_xet.XetFileInfo(xet_hash, size), str(target))
            return target.read_bytes()
