"""Licence, author and page of each image of a dialogue whose images come from different pages.

They stand in `source.licence` as `Image_1: LICENCE, AUTHOR, PAGE; Image_2: ...`; a dialogue about one page has one
licence.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

_NEXT = re.compile(r"; (?=Image_\d+: )")
_LABEL = re.compile(r"^Image_\d+: ")
NOT_STATED = "not stated"


def show_image_licences(notes: Sequence[str | None]) -> str:
    """The text of `source.licence`. Args: notes: what is known of each image, in order."""
    return "; ".join(f"Image_{number}: {note or NOT_STATED}" for number, note in enumerate(notes, start=1))


def read_image_licences(text: str | None) -> list[str]:
    """What is known of each image, in order; a single entry for a dialogue about one page."""
    if not text:
        return [NOT_STATED]
    return [_LABEL.sub("", note) for note in _NEXT.split(text)] if _LABEL.match(text) else [text]


def pages_of(text: str | None) -> list[str]:
    """Addresses of the pages of the images; none for a dialogue about one page, whose address stands by itself."""
    if not text or not _LABEL.match(text):
        return []
    ends = (note.rpartition(", ")[2] for note in read_image_licences(text))
    return [end for end in ends if end.startswith(("http://", "https://"))]


def licence_names(text: str | None) -> list[str]:
    """The licence of each image without its author and page.

    Example: `"Image_1: CC BY 2.0, Ada, https://a.example; Image_2: CC0 1.0, Jo"` -> `["CC BY 2.0", "CC0 1.0"]`
    """
    is_of_images = bool(text and _LABEL.match(text))
    return [note.partition(", ")[0] if is_of_images else note for note in read_image_licences(text)]
