"""Stream the pages of a MediaWiki XML export (`Special:Export`, `dumpBackup.php`, dumps), plain, .gz or .bz2.

A document type is refused: MediaWiki writes none, and it may declare entities. Memory is bounded by the largest page.
Source of the format: export-0.11.xsd of MediaWiki.
"""

from __future__ import annotations

import bz2
import gzip
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, cast
from xml.etree import ElementTree

ENDINGS = (".xml", ".xml.gz", ".xml.bz2")
PAGE_BYTES_MAX = 50_000_000  # unpacked; MediaWiki's own limit of a text is 2 MB
_HEAD_BYTES_MAX = 65_536


@dataclass(frozen=True, slots=True)
class Page:
    """The newest revision of a page in the export.

    Attributes:
        title: with its namespace, as in `File:A.jpg`.
        namespace: number: 0 for articles, 6 for files.
        id: number of the page, as text.
        text: its wikitext.
        is_redirect: it only leads to another page.
    """

    title: str
    namespace: int
    id: str
    text: str
    is_redirect: bool


@dataclass(frozen=True, slots=True)
class Site:
    """What an export says of its wiki.

    Attributes:
        base: address of its main page; empty if it says none.
        names: local name of a namespace, in lower case -> its number.
    """

    base: str
    names: dict[str, int]

    def address(self, title: str) -> str | None:
        """Address of a page; None if the export has no base."""
        from urllib.parse import quote

        return f"{self.base.rpartition('/')[0]}/{quote(title.replace(' ', '_'), safe=':/(),')}" if self.base else None


class _Counted:
    """A file that refuses to give more bytes between two pages than one page may have."""

    def __init__(self, file: IO[bytes], path: Path) -> None:
        self._file, self._path = file, path
        self.num_bytes = 0

    def read(self, size: int = -1) -> bytes:
        data = self._file.read(size)
        self.num_bytes += len(data)
        if self.num_bytes > PAGE_BYTES_MAX:
            raise ValueError(f"{self._path}: a page of more than {PAGE_BYTES_MAX:,} bytes; no MediaWiki stores one")
        return data


def open_dump(path: Path) -> IO[bytes]:
    """The unpacked bytes of an export."""
    if path.name.endswith(".bz2"):
        return bz2.open(path)
    return cast("IO[bytes]", gzip.open(path)) if path.name.endswith(".gz") else path.open("rb")


def read_site(path: Path) -> Site:
    """What an export says of its wiki.

    Raises:
        ValueError: it is no MediaWiki export, or has a document type.
    """
    _check_head(path)
    base, names = "", {"file": 6, "image": 6, "category": 14}
    try:
        with open_dump(path) as file:
            for _, element in ElementTree.iterparse(_Counted(file, path), events=("end",)):  # noqa: S314
                name = _local(element.tag)
                if name == "base":
                    base = (element.text or "").strip()
                elif name == "namespace" and element.text:
                    names[element.text.strip().lower()] = int(element.get("key", "0"))
                elif name in ("siteinfo", "page"):
                    break
    except (ElementTree.ParseError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: not a MediaWiki export that can be read ({error})") from error
    return Site(base, names)


def read_pages(path: Path) -> Iterator[Page]:
    """The pages of an export, in order.

    Raises:
        ValueError: it is no MediaWiki export, has a document type, or is damaged; the pages before were yielded.
    """
    _check_head(path)
    try:
        with open_dump(path) as file:
            counted = _Counted(file, path)
            parser = ElementTree.iterparse(counted, events=("start", "end"))  # noqa: S314  (no document type: above)
            _, root = next(parser)
            for event, element in parser:
                if event == "end" and _local(element.tag) == "page":
                    yield _to_page(element)
                    root.clear()
                    counted.num_bytes = 0
    except (ElementTree.ParseError, OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: damaged after the pages that were read ({error})") from error


def _check_head(path: Path) -> None:
    """Check what stands before the root element.

    Raises:
        ValueError: not `<mediawiki`, or a document type or a comment before it.
    """
    try:
        with open_dump(path) as file:
            head = file.read(_HEAD_BYTES_MAX)
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"{path}: can't be unpacked ({error})") from error
    before, root, _ = head.partition(b"<mediawiki")
    if not root:
        raise ValueError(f"{path}: no <mediawiki> at its beginning; expected a MediaWiki XML export in UTF-8")
    if b"<!" in before:
        raise ValueError(f"{path}: a document type (<!DOCTYPE>), which MediaWiki doesn't write; remove it")


def _to_page(element: ElementTree.Element) -> Page:
    """The page of its element; of several revisions the last one, as in a full history."""
    fields: dict[str, str] = {}
    is_redirect = False
    for child in element:
        name = _local(child.tag)
        if name in ("title", "ns", "id"):
            fields[name] = (child.text or "").strip()
        elif name == "redirect":
            is_redirect = True
        elif name == "revision":
            fields["text"] = next((one.text or "" for one in child if _local(one.tag) == "text"), "")
    number = fields.get("ns", "0")
    return Page(
        fields.get("title", ""),
        int(number) if number.lstrip("-").isdecimal() else 0,
        fields.get("id", ""),
        fields.get("text", ""),
        is_redirect,
    )


def _local(tag: str) -> str:
    """The name of an element without its namespace."""
    return tag.rpartition("}")[2]
