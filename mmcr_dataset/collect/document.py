"""The document that a source yields, and the candidate that the writer receives: 1..4 checked images with text."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import astuple, dataclass, field, replace
from pathlib import Path
from typing import Any, Protocol

from mmcr_dataset.record.dialogue import MAX_IMAGES, Block, DialogueImage, Source
from mmcr_dataset.record.images import (
    NEAR_DUPLICATE_BITS,
    TRANSIENT,
    ImageError,
    ImageLimits,
    check_image,
    hash_distance,
    perceptual_hash,
    reencode,
)
from mmcr_dataset.record.plain_text import clean_text, cut_text
from mmcr_dataset.stage.stages import Removed

MAX_TEXT_CHARACTERS = 8000  # about 2,000 tokens: prompt tokens dominate the cost of a build
_MAX_RAW_CHARACTERS = 8 * MAX_TEXT_CHARACTERS  # longer texts are truncated before cleaning


@dataclass(frozen=True, slots=True)
class ImageAt:
    """Location of an image: a URL, a local file, or the bytes of a row. One of them.

    Attributes:
        url: its URL.
        path: its file, or the archive that contains it.
        offset: byte offset in the file.
        size_bytes: its size, None for the rest of the file.
        name: its member name in an archive, or its file name in a folder; published where there is no URL.
        data: its file, where the source's row holds it.
    """

    url: str | None = None
    path: Path | None = None
    offset: int = 0
    size_bytes: int | None = None
    name: str | None = field(default=None, compare=False)
    data: bytes | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """Interleaved text and images in reading order, before cleaning and fetching.

    Attributes:
        id: from the source, or a hash of the content.
        blocks: texts and image locations.
        source: its provenance.
        probabilities: classifier scores (0..1) from the source, by the names in collect/screen.py.
    """

    id: str
    blocks: tuple[str | ImageAt, ...]
    source: Source = Source()
    probabilities: Mapping[str, float] = field(default_factory=dict)

    @property
    def images(self) -> tuple[ImageAt, ...]:
        """The locations of its images, deduplicated, in reading order."""
        return tuple(dict.fromkeys(block for block in self.blocks if isinstance(block, ImageAt)))


class DocumentSource(Protocol):
    """An iterable of documents; invalid rows are yielded as `Removed`."""

    @property
    def fingerprint(self) -> str:
        """Hash that changes when the documents change."""

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield documents in a fixed order."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """Input of the writer: cleaned text blocks and image numbers (from 1) in reading order."""

    id: str
    blocks: tuple[Block, ...]
    images: tuple[DialogueImage, ...]
    source: Source = Source()

    @property
    def text(self) -> str:
        """All text blocks, separated by empty lines."""
        return "\n\n".join(block for block in self.blocks if isinstance(block, str))

    def text_near(self, number: int) -> str:
        """The text of an image: the blocks between it and the next image, else the block before it."""
        at = self.blocks.index(number)
        after: list[str] = []
        for block in self.blocks[at + 1 :]:
            if isinstance(block, int):
                break
            after.append(block)
        if after:
            return "\n\n".join(after)
        before = [block for block in self.blocks[:at] if isinstance(block, str)]
        return before[-1] if before else ""


def document_id(*parts: str) -> str:
    """A content-based id for a document without one."""
    return "made-" + hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


RowReader = Callable[[Mapping[str, Any], str, str | None], Document | Removed]


def read_row(to_document: RowReader, row: Mapping[str, Any], place: str, licence: str | None) -> Document | Removed:
    """Convert a row to a document; a row with values of unexpected types becomes `Removed`.

    Args:
        to_document: converter of the source's row format.
        row: the row.
        place: position of the row, for messages.
        licence: license of documents that have none.
    """
    try:
        document = to_document(row, place, licence)
        hash(document.blocks if isinstance(document, Document) else "")  # raises for a list as URL
        return document
    except (AttributeError, TypeError, LookupError, ValueError) as error:
        detail = f"{place}: unexpected values ({type(error).__name__}: {error})"
        return Removed(document_id(place), "unreadable_row", detail[:1000])


def sanitize(item: Document | Removed) -> Document | Removed:
    """Convert ids, details and provenance to valid Unicode strings, so that they can be written."""
    if isinstance(item, Removed):
        return replace(item, id=_to_unicode(item.id), detail=_to_unicode(item.detail))
    source = Source(*(value and _to_unicode(value) for value in astuple(item.source)))
    return replace(item, id=_to_unicode(item.id), source=source)


def _to_unicode(text: object) -> str:
    return str(text).encode("utf-8", "replace").decode("utf-8")


def truncate(item: Document | Removed) -> Document | Removed:
    """Truncate a very long text, which bounds memory."""
    if isinstance(item, Removed):
        return item
    if sum(len(block) for block in item.blocks if isinstance(block, str)) <= _MAX_RAW_CHARACTERS:
        return item
    room = _MAX_RAW_CHARACTERS
    blocks: list[str | ImageAt] = []
    for block in item.blocks:
        if isinstance(block, str):
            block = block[:room]
            room -= len(block)
        if block:
            blocks.append(block)
    return replace(item, blocks=tuple(blocks))


def reason_no_candidate(document: Document) -> Removed | None:
    """Why a document can't become a candidate (checked before fetching), None if it can."""
    count = len(document.images)
    if not count:
        return Removed(document.id, "no_image", "the document shows no image")
    if count > MAX_IMAGES:
        return Removed(document.id, "too_many_images", f"{count} images, expected at most {MAX_IMAGES}")
    return None


def to_candidate(
    document: Document, data: Mapping[ImageAt, bytes | ImageError], limits: ImageLimits = ImageLimits()
) -> Candidate | Removed:
    """Convert a document and its fetched images to a candidate.

    Unusable images and near-duplicates are dropped; the document is removed if no image remains. It is also removed
    for more than four images, which can't be split without breaking the text, and for lack of text.

    Args:
        document: the document.
        data: file, or reason of failure, for each of its images.
        limits: limits on an image.
    """
    unfit = reason_no_candidate(document)
    if unfit is not None:
        return unfit
    images, number_at, problems = _use_images(document, data, limits)
    if not images:
        transient = [problem for problem in problems if problem.reason in TRANSIENT]
        reason = (transient or problems)[0].reason
        return Removed(document.id, reason, "; ".join(map(str, problems)), retry=bool(transient))
    blocks: list[Block] = []
    room = MAX_TEXT_CHARACTERS
    for block in document.blocks:
        if isinstance(block, ImageAt):
            number = number_at.get(block)
            if number is not None and number not in blocks:
                blocks.append(number)
            continue
        text = clean_text(block) if room > 0 else ""
        text = cut_text(text, room)
        if text:
            room -= len(text)
            blocks.append(text)
    if not any(character.isalpha() for block in blocks if isinstance(block, str) for character in block):
        return Removed(document.id, "no_text", "no text to write a dialogue from")
    return Candidate(document.id, tuple(blocks), tuple(images), document.source)


def _use_images(
    document: Document, data: Mapping[ImageAt, bytes | ImageError], limits: ImageLimits
) -> tuple[list[DialogueImage], dict[ImageAt, int], list[ImageError]]:
    """The usable images with their hashes, the number of each location, and the errors of the others."""
    images: list[DialogueImage] = []
    number_at: dict[ImageAt, int] = {}
    problems: list[ImageError] = []
    for place in document.images:
        found = data[place]
        if isinstance(found, ImageError):
            problems.append(found)
            continue
        try:
            found = reencode(found, limits) if limits.reencode else found
            phash = perceptual_hash(check_image(found, limits))
        except ImageError as problem:
            problems.append(problem)
            continue
        if any(hash_distance(phash, image.phash or "0") <= NEAR_DUPLICATE_BITS for image in images):
            problems.append(
                ImageError(
                    "duplicate_image",
                    f"{place.url or place.path or place.name} is a near-duplicate of an earlier image",
                )
            )
            continue
        name = place.name and _to_unicode(place.name)
        images.append(DialogueImage(found, url=place.url or name, phash=phash))
        number_at[place] = len(images)
    return images, number_at, problems
