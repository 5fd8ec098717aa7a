"""Which weights a checkpoint folder holds: the hash by which a reply knows its model."""

from __future__ import annotations

import hashlib
from pathlib import Path


def folder_revision(folder: Path) -> str:
    """Hash of all files that shape a checkpoint's answers."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".bin", ".json", ".jinja", ".model", ".txt"):
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
