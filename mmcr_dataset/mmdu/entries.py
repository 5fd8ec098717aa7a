"""Entries: each an image with the text about it. Documents of several images are taken apart to one for each image."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from mmcr_dataset.collect.candidates import read_shard
from mmcr_dataset.collect.document import Candidate, Document, DocumentSource, ImageAt
from mmcr_dataset.collect.draw import Part, PartitionedSource
from mmcr_dataset.filters.contamination import SetIndex
from mmcr_dataset.mmdu.cluster import Reason
from mmcr_dataset.record.dialogue import DialogueImage
from mmcr_dataset.record.plain_text import cut_text
from mmcr_dataset.stage.stages import STAGES, Removed, numbered
from mmcr_dataset.stage.takedowns import Takedowns

TEXT_CHARACTERS = 1000  # of an entry's text
_TEXTS_BESIDE = 2  # texts behind an image; before it, where there is none


@dataclass(frozen=True)
class ImagesApart:
    """A source with one document for each image of its documents, so that no limit on their number holds."""

    source: DocumentSource

    @property
    def fingerprint(self) -> str:
        """Hash of the source, with a name of its own."""
        return f"images apart: {self.source.fingerprint}"

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield the documents; one with an image or none passes through."""
        return _apart_all(self.source)


@dataclass(frozen=True)
class PartsApart(ImagesApart):
    """The same of a source in parts, which are read as they are drawn."""

    source: PartitionedDocuments

    def parts(self, seed: int | None) -> Iterator[PartApart]:
        """Its parts, with one document for each image."""
        return map(PartApart, self.source.parts(seed))


@dataclass(frozen=True)
class PartApart:
    """A part with one document for each image; how many is not known before it is read."""

    part: Part
    num_rows: None = None

    @property
    def name(self) -> str:
        """Name of the part."""
        return self.part.name

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield the documents."""
        return _apart_all(self.part)


class PartitionedDocuments(DocumentSource, PartitionedSource, Protocol):
    """A source in parts."""


def images_apart(source: DocumentSource) -> ImagesApart:
    """The source with one document for each image; in parts, where it is."""
    return PartsApart(source) if isinstance(source, PartitionedSource) else ImagesApart(source)


def _apart_all(items: Iterable[Document | Removed]) -> Iterator[Document | Removed]:
    for item in items:
        if isinstance(item, Removed) or len(item.images) <= 1:
            yield item
        else:
            yield from _apart(item)


def _apart(document: Document) -> Iterator[Document]:
    for number, image in enumerate(document.images, start=1):
        texts = _texts_beside(document, image)
        yield Document(f"{document.id}#{number}", (image, *texts), document.source, document.probabilities)


def _texts_beside(document: Document, image: ImageAt) -> list[str]:
    """The texts between an image and the next one, else those before it."""
    at = document.blocks.index(image)
    behind: list[str] = []
    for block in document.blocks[at + 1 :]:
        if not isinstance(block, str):
            break
        behind.append(block)
    before = [block for block in document.blocks[:at] if isinstance(block, str)]
    return behind[:_TEXTS_BESIDE] or before[-_TEXTS_BESIDE:]


@dataclass(frozen=True, slots=True)
class Entry:
    """What is kept in memory of an entry.

    Attributes:
        id: id of its document.
        page: id of its page: entries of one page have the same.
        text: the text about its image.
        shard: number of its shard.
        row: its place in the shard.
    """

    id: str
    page: str
    text: str
    shard: int
    row: int


def read_entries(work: Path, sets: Sequence[SetIndex], taken_out: Takedowns) -> tuple[list[Entry], dict[int, Reason]]:
    """The entries, and which of them may not be shown again."""
    entries: list[Entry] = []
    out: dict[int, Reason] = {}
    for number, _ in numbered(work / STAGES["collect"], "parquet"):
        for row, candidate in enumerate(read_shard(work, number)):
            (image,) = candidate.images
            reason = _reason_out(candidate, image, sets, taken_out)
            if reason is not None:
                out[len(entries)] = reason
            page = candidate.source.document_url or candidate.id.partition("#")[0]
            text = cut_text(candidate.text, TEXT_CHARACTERS)
            entries.append(Entry(candidate.id, page, text, number, row))
    return entries, out


def _reason_out(
    candidate: Candidate, image: DialogueImage, sets: Sequence[SetIndex], taken_out: Takedowns
) -> Reason | None:
    if taken_out:
        found = taken_out.reason(None, [image.sha256], candidate.source.document_url, [image.url])
        if found is not None:
            return found
    for against in sets:
        known = against.images.find(image.phash or "0")
        if known is not None:
            return "in_evaluation_set", f"the image is {known.name} of {against.name}"
    return None
