"""A source of files that are read sequentially: archives and JSON Lines files."""

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
    """The documents of files, sorted by name; each file is a part.

    Attributes:
        files: the files.
        read: opens a file as a part; its second argument is the license.
        licence: license of documents that have none.
        probabilities: names of the classifier scores of the documents: none.
    """

    files: Sequence[SourceFile]
    read: Callable[[SourceFile, str | None], Part]
    licence: str | None = None
    probabilities: frozenset[str] = frozenset()

    @property
    def fingerprint(self) -> str:
        """Hash of the names and versions of all files."""
        return hashlib.sha256("\n".join(f"{file.name} {file.version}" for file in self.files).encode()).hexdigest()

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield the documents."""
        for part in self.parts(None):
            yield from part

    def parts(self, seed: int | None) -> Iterator[Part]:
        """The files: in order, or shuffled by a seed."""
        for file in shuffled(self.files, seed):
            yield self.read(file, self.licence)


def shuffled(files: Sequence[SourceFile], seed: int | None) -> list[SourceFile]:
    """The files in order, or shuffled by a seed."""
    return list(files) if seed is None else sorted(files, key=lambda file: seeded_rank(seed, "file", file.name))
