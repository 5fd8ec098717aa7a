"""Documents from a local folder of images and text files.

Each sub-folder is one document with all its images; each image directly in the folder is one document. The text of an
image is in the file of the same name with the suffix .txt; a sub-folder may have a text.txt for all its images.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path

from mmcr_dataset.collect.document import Document, ImageAt
from mmcr_dataset.record.dialogue import Source
from mmcr_dataset.record.images import IMAGE_SUFFIXES
from mmcr_dataset.record.paths import is_inside
from mmcr_dataset.stage.stages import Removed


class LocalFolderSource:
    """The documents of a folder, sorted by name.

    Raises:
        ValueError: there is no such folder, or no image in it.
    """

    def __init__(self, folder: Path, licence: str | None = None) -> None:
        if not folder.is_dir():
            raise ValueError(f"{folder}: no such folder; expected a folder of images with .txt files beside them")
        self._folder, self._licence = folder, licence
        found = sorted(path for path in folder.rglob("*") if path.is_file())
        self._files = [path for path in found if is_inside(path, folder)]
        self._outside = [path for path in found if not is_inside(path, folder)]
        if not any(path.suffix.lower() in IMAGE_SUFFIXES for path in self._files):
            raise ValueError(f"{folder}: no image in it; expected files ending in {', '.join(sorted(IMAGE_SUFFIXES))}")

    @property
    def fingerprint(self) -> str:
        """Hash of the names, sizes and modification times of all files."""
        stats = [(path.relative_to(self._folder), path.stat()) for path in self._files]
        return hashlib.sha256("\n".join(f"{p} {s.st_size} {s.st_mtime_ns}" for p, s in stats).encode()).hexdigest()

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield the documents."""
        groups: dict[str, list[Path]] = {}
        for path in self._files:
            if path.suffix.lower() in IMAGE_SUFFIXES:
                alone = path.parent == self._folder
                name = path.name if alone else path.parent.relative_to(self._folder).as_posix()
                groups.setdefault(name, []).append(path)
        for name, images in sorted(groups.items()):
            yield self._to_document(name, images)
        for path in self._outside:
            name = path.relative_to(self._folder).as_posix()
            yield Removed(name, "outside_the_folder", f"{path} is a link to a file outside of {self._folder}; copy it")

    def _to_document(self, name: str, images: list[Path]) -> Document | Removed:
        blocks: list[str | ImageAt] = []
        try:
            whole = images[0].parent / "text.txt"
            if is_inside(whole, self._folder):
                blocks.append(whole.read_text(encoding="utf-8-sig"))
            for image in images:
                blocks.append(ImageAt(path=image, name=image.relative_to(self._folder).as_posix()))
                beside = image.with_suffix(".txt")
                if is_inside(beside, self._folder):
                    blocks.append(beside.read_text(encoding="utf-8-sig"))
        except UnicodeDecodeError as error:
            return Removed(name, "text_not_utf8", f"{images[0].parent}: {error}; save the text as UTF-8")
        return Document(name, tuple(blocks), Source(licence=self._licence))
