"""A source of files that are read from their beginning to their end: archives and files of lines."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from mmcr_dataset.collect.document import Document
from mmcr_dataset.collect.draw import Part, seeded_rank
from mmcr_dataset.collect.sources.locations import SourceFile
from mmcr_dataset.stage.stages import Removed


@dataclass(frozen=True)
class WholeFilesSource:
    """The documents of some files, in the order of their names; each file is a part.

    Attributes:
        files: what is read.
        read: a file as a part; the licence is for documents that don't say theirs.
        licence: of images and texts.
    """

    files: Sequence[SourceFile]
    read: Callable[[SourceFile, str | None], Part]
    licence: str | None = None
    probabilities: frozenset[str] = frozenset()

    @property
    def fingerprint(self) -> str:
        """Changes when a file's name or content does."""
        return hashlib.sha256("\n".join(f"{file.name} {file.version}" for file in self.files).encode()).hexdigest()

    def __iter__(self) -> Iterator[Document | Removed]:
        """Each document, or why it is none."""
        for part in self.parts(None):
            yield from part

    def parts(self, seed: int | None) -> Iterator[Part]:
        """The files: in order, or for a seed shuffled."""
        for file in shuffled(self.files, seed):
            yield self.read(file, self.licence)


def shuffled(files: Sequence[SourceFile], seed: int | None) -> list[SourceFile]:
    """The files in their order, or for a seed in the order of a draw."""
    return list(files) if seed is None else sorted(files, key=lambda file: seeded_rank(seed, "file", file.name))
