"""Entries: each an image with the text about it. Documents of several images are taken apart to one for each image."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from mmcr_dataset.collect.document import Document, DocumentSource, ImageAt
from mmcr_dataset.stage.stages import Removed

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
        for item in self.source:
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
