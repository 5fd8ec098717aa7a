"""Documents from the rows of any image-text set, by a map of its columns.

    --columns text=caption,image=image              captioned images
    --columns text=title+body,image=photo,url=page  several columns of texts, the address of the document
    --columns text=texts,image=images               lists: interleaved where they have the same length

A cell of an image is its bytes, a struct with `bytes` (as `datasets.Image`), or a URL; a list holds several. Nothing is
fetched for an image in the row itself.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from mmcr_dataset.collect.document import Document, ImageAt, document_id
from mmcr_dataset.record.dialogue import Source
from mmcr_dataset.stage.stages import Removed

_ROLES = ("text", "image", "url", "licence", "id")


class _BadCell(ValueError):
    """A cell that doesn't hold what its column is for: the reason, and the detail as message."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


@dataclass(frozen=True)
class ColumnMap:
    """Columns of a set by what they hold, in the order given.

    Attributes:
        text: columns of texts or lists of texts.
        image: columns of images or lists of images.
        url: column with the address of the document.
        licence: column with its license.
        id: column with its id; without one it is a hash of the content.
    """

    text: tuple[str, ...]
    image: tuple[str, ...]
    url: str | None = None
    licence: str | None = None
    id: str | None = None

    @classmethod
    def read(cls, text: str) -> ColumnMap:
        """From the value of `--columns`.

        Raises:
            ValueError: it has another form.
        """
        found: dict[str, list[str]] = {}
        for piece in text.split(","):
            role, equals, names = piece.strip().partition("=")
            columns = [name.strip() for name in names.split("+")]
            if role not in _ROLES or not equals or not all(columns) or role in found:
                raise ValueError(
                    f"--columns {text}: {piece!r}: expected each of {', '.join(_ROLES)} at most once, such as "
                    "text=caption,image=image; several columns of texts or images as text=title+body"
                )
            found[role] = columns
        for role in ("text", "image"):
            if role not in found:
                raise ValueError(f"--columns {text}: names no column of {role}s, expected {role}=COLUMN")
        for role in ("url", "licence", "id"):
            if len(found.get(role, ())) > 1:
                raise ValueError(f"--columns {text}: {role} takes one column")
        one = {role: found[role][0] for role in ("url", "licence", "id") if role in found}
        return cls(tuple(found["text"]), tuple(found["image"]), **one)

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that are read."""
        named = (*self.text, *self.image, self.url, self.licence, self.id)
        return tuple(dict.fromkeys(name for name in named if name is not None))

    def to_document(self, row: Mapping[str, Any], place: str, licence: str | None = None) -> Document | Removed:
        """Convert one row; `place` is its position, for messages and for the names of its images."""
        try:
            texts = [_to_texts(row[name], f"{place} {name}") for name in self.text]
            images = [list(_to_images(row[name], f"{place} {name}")) for name in self.image]
        except _BadCell as error:
            return Removed(document_id(place), error.reason, str(error))
        blocks = [block for block in _interleave(texts, images) if block]
        url = row[self.url] if self.url else None
        given = row[self.licence] if self.licence else None
        row_id = str(row[self.id]) if self.id and row[self.id] is not None else document_id(*map(_content, blocks))
        source = Source(url if isinstance(url, str) else None, given if isinstance(given, str) else licence)
        return Document(row_id, tuple(blocks), source)


def _to_texts(cell: object, place: str) -> list[str | None]:
    """The texts of a cell, None for a null one of a list.

    Raises:
        _BadCell: it holds something else.
    """
    if cell is None:
        return []
    return [None if one is None else _to_text(one, place) for one in (cell if isinstance(cell, list) else [cell])]


def _to_text(value: object, place: str) -> str:
    if isinstance(value, bytes):
        try:
            return value.decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise _BadCell("text_not_utf8", f"{place}: {error}") from error
    if isinstance(value, str | int | float) and not isinstance(value, bool):
        return str(value)
    raise _BadCell("no_text_in_cell", f"{place}: holds {str(value)[:80]!r}, expected a text, or a list of texts")


def _to_images(cell: Any, place: str) -> Iterator[ImageAt | None]:  # noqa: ANN401
    """The images of a cell, None for a null one of a list.

    Raises:
        _BadCell: it holds something else.
    """
    for number, one in enumerate(cell if isinstance(cell, list) else [cell], start=1):
        name = place if not isinstance(cell, list) else f"{place} {number}"
        data = one.get("bytes") if isinstance(one, Mapping) else one
        address = one.get("path", one.get("url")) if isinstance(one, Mapping) else one
        if one is None:
            yield None
        elif isinstance(data, bytes):
            yield ImageAt(data=data, name=name)
        elif isinstance(address, str) and address.startswith(("http://", "https://")):
            yield ImageAt(url=address)
        else:
            expected = "expected bytes, a struct with bytes, or a URL"
            raise _BadCell("no_image_in_cell", f"{name}: holds {str(one)[:80]!r}, {expected}")


def _interleave(
    texts: Sequence[list[str | None]], images: Sequence[list[ImageAt | None]]
) -> list[str | ImageAt | None]:
    """Lists of the same length alternate, as rows of interleaved sets do; else images come before the texts."""
    if len(texts) == len(images) == 1 and len(texts[0]) == len(images[0]) > 1:
        return [block for pair in zip(images[0], texts[0], strict=True) for block in pair]
    return [*(one for some in images for one in some), *(one for some in texts for one in some)]


def _content(block: str | ImageAt) -> str:
    if isinstance(block, str):
        return block
    return block.url or hashlib.sha256(block.data or b"").hexdigest()
