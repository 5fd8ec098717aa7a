"""A web document as a source gives it, and the candidate that the writer gets: 1..4 good images with their text."""

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
)
from mmcr_dataset.record.plain_text import clean_text
from mmcr_dataset.stage.stages import Removed

MAX_TEXT_CHARACTERS = 8000  # about 2,000 tokens: the prompt of 1.6M requests is what a build pays for
_MAX_RAW_CHARACTERS = 8 * MAX_TEXT_CHARACTERS  # what is held and cleaned of one document's text


@dataclass(frozen=True, slots=True)
class ImageAt:
    """Where an image is: an address on the web, or a file of a local source. Never both.

    Attributes:
        url: its address.
        path: its file, or the archive that holds it.
        offset: where in the file it begins.
        size_bytes: how long it is there, None to the end of the file.
        name: what it is called inside an archive.
    """

    url: str | None = None
    path: Path | None = None
    offset: int = 0
    size_bytes: int | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """Interleaved text and images in reading order, as found: nothing cleaned, nothing fetched.

    Attributes:
        id: of the source, or made from the content.
        blocks: texts and places of images.
        source: where it is from.
        probabilities: what the source's own models say of it (0..1), by the names of collect/screen.py.
    """

    id: str
    blocks: tuple[str | ImageAt, ...]
    source: Source = Source()
    probabilities: Mapping[str, float] = field(default_factory=dict)

    @property
    def images(self) -> tuple[ImageAt, ...]:
        """The places of its images, each once, in reading order."""
        return tuple(dict.fromkeys(block for block in self.blocks if isinstance(block, ImageAt)))


class DocumentSource(Protocol):
    """Where documents come from. Iterating gives each document, or the named reason why a row is none."""

    @property
    def fingerprint(self) -> str:
        """Changes when the documents change."""

    def __iter__(self) -> Iterator[Document | Removed]:
        """Documents in a fixed order."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """What a dialogue is written from: clean text blocks and image numbers (from 1) in reading order."""

    id: str
    blocks: tuple[Block, ...]
    images: tuple[DialogueImage, ...]
    source: Source = Source()

    @property
    def text(self) -> str:
        """All words, blocks apart by an empty line."""
        return "\n\n".join(block for block in self.blocks if isinstance(block, str))

    def text_near(self, number: int) -> str:
        """The text that belongs to an image: what follows it up to the next image, else what stands before it."""
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
    """A made id for a document that has none: stable for the same content."""
    return "made-" + hashlib.sha256("\x1f".join(parts).encode("utf-8", "replace")).hexdigest()[:16]


RowReader = Callable[[Mapping[str, Any], str, str | None], Document | Removed]


def read_row(to_document: RowReader, row: Mapping[str, Any], place: str, licence: str | None) -> Document | Removed:
    """A row as a document; a row whose values have other types than they should is counted, not fatal."""
    try:
        document = to_document(row, place, licence)
        hash(document.blocks if isinstance(document, Document) else "")  # a list as an address would fail later
        return document
    except (AttributeError, TypeError, LookupError, ValueError) as error:
        detail = f"{place}: not the row it should be ({type(error).__name__}: {error})"
        return Removed(document_id(place), "unreadable_row", detail[:1000])


def make_writable(item: Document | Removed) -> Document | Removed:
    """The item with its names as text that can be written: no lone surrogates, no numbers for ids."""
    if isinstance(item, Removed):
        return replace(item, id=_to_unicode(item.id), detail=_to_unicode(item.detail))
    source = Source(*(value and _to_unicode(value) for value in astuple(item.source)))
    return replace(item, id=_to_unicode(item.id), source=source)


def _to_unicode(text: object) -> str:
    return str(text).encode("utf-8", "replace").decode("utf-8")


def shorten(item: Document | Removed) -> Document | Removed:
    """The item with the end of an enormous text cut off, so that a few of them can't fill the memory."""
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


def why_no_candidate(document: Document) -> Removed | None:
    """Why a document can't become a candidate whatever its images are, None if it may: asked before fetching."""
    count = len(document.images)
    if not count:
        return Removed(document.id, "no_image", "the document shows no image")
    if count > MAX_IMAGES:
        return Removed(document.id, "too_many_images", f"{count} images, the paper takes at most {MAX_IMAGES}")
    return None


def to_candidate(
    document: Document, data: Mapping[ImageAt, bytes | ImageError], limits: ImageLimits = ImageLimits()
) -> Candidate | Removed:
    """The candidate of a document whose images were fetched, or why it is none.

    An image that can't be used (or is nearly the same as an earlier one) is left out; the document stays as long as
    one is left. More than four images, no text, or a text without words remove the document: what they say together
    can't be cut apart.
    """
    unfit = why_no_candidate(document)
    if unfit is not None:
        return unfit
    images, number_at, problems = _use_images(document, data, limits)
    if not images:
        again = [problem for problem in problems if problem.reason in TRANSIENT]
        reason = (again or problems)[0].reason
        return Removed(document.id, reason, "; ".join(str(problem) for problem in problems), retry=bool(again))
    blocks: list[Block] = []
    room = MAX_TEXT_CHARACTERS
    for block in document.blocks:
        if isinstance(block, ImageAt):
            number = number_at.get(block)
            if number is not None and number not in blocks:
                blocks.append(number)
            continue
        text = clean_text(block) if room > 0 else ""
        if len(text) > room:
            text = text[:room].rpartition(" ")[0]
        if text:
            room -= len(text)
            blocks.append(text)
    if not any(character.isalpha() for block in blocks if isinstance(block, str) for character in block):
        return Removed(document.id, "no_text", "no words beside the images: nothing to write a dialogue from")
    return Candidate(document.id, tuple(blocks), tuple(images), document.source)


def _use_images(
    document: Document, data: Mapping[ImageAt, bytes | ImageError], limits: ImageLimits
) -> tuple[list[DialogueImage], dict[ImageAt, int], list[ImageError]]:
    """The good images with their hashes, the number each place gets, and what was wrong with the others."""
    images: list[DialogueImage] = []
    number_at: dict[ImageAt, int] = {}
    problems: list[ImageError] = []
    for place in document.images:
        found = data[place]
        if isinstance(found, ImageError):
            problems.append(found)
            continue
        try:
            phash = perceptual_hash(check_image(found, limits))
        except ImageError as problem:
            problems.append(problem)
            continue
        if any(hash_distance(phash, image.phash or "0") <= NEAR_DUPLICATE_BITS for image in images):
            problems.append(ImageError("duplicate_image", f"{place.url or place.path} repeats an earlier image"))
            continue
        images.append(DialogueImage(found, url=place.url, phash=phash))
        number_at[place] = len(images)
    return images, number_at, problems
