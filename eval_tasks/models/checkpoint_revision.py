"""Revision of a checkpoint folder: a content hash that is part of the key of a stored reply."""

from __future__ import annotations

import hashlib
from pathlib import Path


def folder_revision(folder: Path) -> str:
    """Hash of all files of a checkpoint that can affect its replies."""
    digest = hashlib.sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in (".safetensors", ".bin", ".json", ".jinja", ".model", ".txt"):
            digest.update(f"{path.name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:16]
