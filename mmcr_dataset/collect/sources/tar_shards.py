"""WebDataset shards: tar archives in which the files of one document share a key: `0001.jpg`, `0001.txt`, `0001.json`.

Nothing is unpacked: images are read by their offset in the archive, which rules out path traversal; keys with links,
devices or sparse members are removed. The text is `KEY.txt`, or `caption`, `text` or `title` of `KEY.json`; a JSON file
in the format of OmniCorpus or MMC4 is a document by itself.
"""

from __future__ import annotations

import json
import posixpath
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from mmcr_dataset.collect.document import Document, ImageAt, document_id, read_row
from mmcr_dataset.collect.sources import mmc4, omnicorpus
from mmcr_dataset.collect.sources.locations import SourceFile
from mmcr_dataset.collect.sources.whole_files import WholeFilesSource
from mmcr_dataset.record.dialogue import Source
from mmcr_dataset.record.images import IMAGE_SUFFIXES
from mmcr_dataset.stage.stages import Removed

ENDINGS = (".tar",)
_TEXT_BYTES_MAX = 1_000_000
_MEMBERS_A_KEY_MAX = 100
_HEADER_BYTES_MAX = 64_000
_EXTENDED = (
    *(tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.SOLARIS_XHDTYPE),
    *(tarfile.GNUTYPE_LONGNAME, tarfile.GNUTYPE_LONGLINK),
)
_TEXT_KEYS = ("caption", "text", "title")


class _ShortHeaders(tarfile.TarInfo):
    """A member whose extended header (PAX, long names of GNU) is short: the library reads it into memory."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in _EXTENDED and self.size > _HEADER_BYTES_MAX:
            raise ValueError(f"an extended header of {self.size:,} bytes, at most {_HEADER_BYTES_MAX:,} are read")
        return super()._proc_member(archive)  # type: ignore[misc,no-any-return]  # where the library reads a header on


def open_tar_shards(files: Sequence[SourceFile], licence: str | None = None) -> WholeFilesSource:
    """The documents of tar archives, sorted by archive name.

    Raises:
        ValueError: the archives are on the Hub.
    """
    if files[0].path is None:
        raise ValueError(
            f"webdataset: {files[0].name} is on the Hub; images are read from local archives, so download "
            "them first (`hf download`) and pass the folder"
        )
    return WholeFilesSource(files, TarShard, licence)


@dataclass
class _Group:
    """The members with one key."""

    key: str
    images: list[ImageAt] = field(default_factory=list)
    texts: dict[str, bytes | None] = field(default_factory=dict)  # by suffix; None if it is too large
    num_members: int = 0
    refused: str | None = None


@dataclass(frozen=True)
class TarShard:
    """One archive as a part of a source."""

    file: SourceFile
    licence: str | None
    num_rows: int | None = None

    @property
    def name(self) -> str:
        """Path of the archive."""
        return self.file.name

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield its documents.

        Raises:
            ValueError: it is not a tar archive, or is damaged.
        """
        group: _Group | None = None
        assert self.file.path is not None
        try:
            with tarfile.open(self.file.path, "r:", tarinfo=_ShortHeaders) as archive:
                for member in archive:
                    if member.isdir():
                        continue
                    folder, name = posixpath.split(member.name)
                    key = posixpath.join(folder, name.split(".")[0])
                    if group is not None and group.key != key:
                        yield self._to_document(group)
                        group = None
                    group = group or _Group(key)
                    self._add(group, member, archive)
                    archive.members = []  # type: ignore[attr-defined]  # else every member stays in memory
        except (tarfile.TarError, EOFError, OSError, ValueError) as error:
            raise ValueError(
                f"{self.file.name}: not a readable tar archive ({error}); uncompress a compressed one to .tar"
            ) from error
        if group is not None:
            yield self._to_document(group)

    def _add(self, group: _Group, member: tarfile.TarInfo, archive: tarfile.TarFile) -> None:
        group.num_members += 1
        ending = posixpath.splitext(member.name)[1].lower()
        if not member.isreg() or member.sparse is not None:
            group.refused = f"{member.name} is a link or a special file"
        elif group.num_members > _MEMBERS_A_KEY_MAX:
            group.refused = f"more than {_MEMBERS_A_KEY_MAX} files of one key"
        elif ending in IMAGE_SUFFIXES:
            group.images.append(
                ImageAt(path=self.file.path, offset=member.offset_data, size_bytes=member.size, name=member.name)
            )
        elif ending in (".txt", ".json"):
            opened = archive.extractfile(member) if member.size <= _TEXT_BYTES_MAX else None
            group.texts[ending] = opened.read() if opened else None

    def _to_document(self, group: _Group) -> Document | Removed:
        place = f"{self.file.name}:{group.key}"
        if group.refused:
            return Removed(group.key, "unsafe_member", f"{place}: {group.refused}")
        if None in group.texts.values():
            return Removed(group.key, "too_long_text", f"{place}: text of more than {_TEXT_BYTES_MAX} bytes")
        try:
            text = (group.texts.get(".txt") or b"").decode("utf-8-sig")
            described = json.loads(group.texts.get(".json") or b"{}")
        except UnicodeDecodeError as error:
            return Removed(group.key, "text_not_utf8", f"{place}: {error}")
        except (ValueError, RecursionError) as error:
            return Removed(group.key, "not_json", f"{place}: {error}")
        if not isinstance(described, dict):
            return Removed(group.key, "not_json", f"{place}: expected an object, got {type(described).__name__}")
        if not group.images and "image_info" in described:
            return read_row(mmc4.to_document, described, place, self.licence)
        if not group.images and "images" in described:
            return read_row(omnicorpus.to_document, described, place, self.licence)
        text = text or next((described[key] for key in _TEXT_KEYS if isinstance(described.get(key), str)), "")
        return self._to_plain(group, text, described)

    def _to_plain(self, group: _Group, text: str, described: dict[str, Any]) -> Document:
        url, licence = described.get("url"), described.get("license") or described.get("licence")
        source = Source(url if isinstance(url, str) else None, licence if isinstance(licence, str) else self.licence)
        blocks: tuple[str | ImageAt, ...] = (*group.images, text) if text else tuple(group.images)
        return Document(group.key or document_id(self.file.name), blocks, source)
