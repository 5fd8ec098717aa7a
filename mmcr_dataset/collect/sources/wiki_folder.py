"""Documents from a MediaWiki export and a folder of its images: one for each article, or one for each image.

    PLACE/*.xml[.gz|.bz2]   articles, and the pages of files, in one export or in several
    PLACE/images/           the files, at any depth (MediaWiki's own a/ab/NAME too)

Licence and author of an image come from its file's page. An image that names no licence stays out, unless `--licence`
says one; one that is shown under an exception (fair use) stays out always.
"""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Iterator
from pathlib import Path

from mmcr_dataset.collect.document import Document, ImageAt
from mmcr_dataset.collect.sources.wiki_dump import ENDINGS, Page, Site, read_pages, read_site
from mmcr_dataset.collect.sources.wiki_text import (
    Article,
    FileNotes,
    Shown,
    UnreadableWikitext,
    read_article,
    read_file_notes,
    to_file_name,
)
from mmcr_dataset.record.dialogue import Source
from mmcr_dataset.record.images import IMAGE_SUFFIXES
from mmcr_dataset.record.paths import is_inside
from mmcr_dataset.record.plain_text import cut_text
from mmcr_dataset.stage.stages import Removed

log = logging.getLogger(__name__)
_ABOUT_CHARACTERS = 700  # of a page's text beside one image


class WikiSource:
    """The articles of a wiki, in the order of its exports.

    Args:
        folder: exports and images.
        licence: licence of images whose page names none; None leaves them out.
        by_image: one document for each image, with its caption, categories and the text beside it.

    Raises:
        ValueError: the folder has no export or no image, or an export can't be read.
    """

    def __init__(self, folder: Path, licence: str | None = None, by_image: bool = False) -> None:
        found = sorted(path for path in folder.rglob("*") if is_inside(path, folder))
        self._dumps = [path for path in found if path.name.endswith(ENDINGS)]
        self._images: dict[str, Path] = {}
        for path in (path for path in found if path.suffix.lower() in IMAGE_SUFFIXES):
            first = self._images.setdefault(to_file_name(path.name), path)
            if first != path:
                log.warning("%s has the name of %s, which is read in its place; rename one of them", path, first)
        if not self._dumps or not self._images:
            raise ValueError(
                f"{folder}: {len(self._dumps)} exports and {len(self._images)} images; expected a MediaWiki export "
                f"({', '.join(ENDINGS)}) and its images"
            )
        self._folder, self._licence, self._by_image = folder, licence, by_image
        self._sites = {path: read_site(path) for path in self._dumps}

    @property
    def fingerprint(self) -> str:
        """Hash of the names, sizes and modification times of all files."""
        stats = [(path.relative_to(self._folder), path.stat()) for path in (*self._dumps, *self._images.values())]
        lines = [f"{p} {s.st_size} {s.st_mtime_ns}" for p, s in stats]
        return hashlib.sha256("\n".join([str(self._by_image), *lines]).encode()).hexdigest()

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield the documents, and why an article or an image is none."""
        notes = self._read_notes()
        for dump, site in self._sites.items():
            try:
                for page in read_pages(dump):
                    if page.namespace == 0 and not page.is_redirect:
                        yield from self._of_page(page, site, dump, notes)
            except ValueError as error:
                yield Removed(dump.name, "damaged_export", f"{error}; the pages after that are missing")

    def _read_notes(self) -> dict[str, FileNotes]:
        """Licence and author of each image in the folder, from the pages of the files."""
        notes: dict[str, FileNotes] = {}
        for dump in self._dumps:
            for page in _until_damaged(dump):
                name = to_file_name(page.title.partition(":")[2])
                if page.namespace == 6 and name in self._images:
                    try:
                        notes[name] = read_file_notes(page.text)
                    except UnreadableWikitext as error:
                        log.warning("%s: %s can't be read, so that its licence is not known: %s", dump, name, error)
        return notes

    def _of_page(self, page: Page, site: Site, dump: Path, notes: dict[str, FileNotes]) -> Iterator[Document | Removed]:
        name, url = f"wiki-{page.id}", site.address(page.title)
        try:
            article = read_article(page.text, site.names)
        except UnreadableWikitext as error:
            yield Removed(name, "unreadable_wikitext", f"{page.title}: {error}")
            return
        images: dict[Shown, ImageAt] = {}
        for shown in (block for block in article.blocks if isinstance(block, Shown)):
            reason = self._reason_out(shown, notes)
            if reason is None:
                path = self._images[shown.file]
                images[shown] = ImageAt(path=path, name=site.address(f"File:{shown.file}") or path.name)
            elif self._by_image:
                yield Removed(f"{name}-{shown.file}", *reason)
        if self._by_image:
            for number, (shown, at) in enumerate(images.items(), start=1):
                about = _text_of_image(page.title, article, shown)
                licence = self._notes_of(shown, notes).show()
                yield Document(f"{name}-{number}", (at, *about), Source(url, licence, dump.name))
            return
        blocks = [images.get(block) if isinstance(block, Shown) else block for block in _with_captions(article)]
        licence = "; ".join(f"{shown.file}: {self._notes_of(shown, notes).show()}" for shown in images)
        kept = tuple(block for block in (page.title, *blocks) if block is not None)
        yield Document(name, kept, Source(url, licence or self._licence, dump.name))

    def _notes_of(self, shown: Shown, notes: dict[str, FileNotes]) -> FileNotes:
        found = notes.get(shown.file, FileNotes(None, None))
        return found if found.licence else FileNotes(self._licence, found.author)

    def _reason_out(self, shown: Shown, notes: dict[str, FileNotes]) -> tuple[str, str] | None:
        """Why an image can't be used, None if it can."""
        if shown.file not in self._images:
            return "missing_file", f"{shown.file} is not in {self._folder}"
        found = notes.get(shown.file)
        if found is not None and not found.is_free:
            return "non_free_file", f"{shown.file}: its page says it is shown under an exception"
        if self._notes_of(shown, notes).licence is None:
            return "no_licence", f"{shown.file}: no page of the file names its licence; give --licence if you know it"
        return None


def _until_damaged(dump: Path) -> Iterator[Page]:
    """The pages of an export up to where it is damaged, which is named when its articles are read."""
    try:
        yield from read_pages(dump)
    except ValueError as error:
        log.warning("%s", error)


def _with_captions(article: Article) -> Iterator[str | Shown]:
    """The blocks with each image's caption behind it."""
    for block in article.blocks:
        yield block
        if isinstance(block, Shown) and block.caption:
            yield block.caption


def _text_of_image(title: str, article: Article, shown: Shown) -> list[str]:
    """Caption, categories and the text beside an image: the paragraph behind it, else the one before."""
    texts = [block for block in article.blocks if isinstance(block, str)]
    at = article.blocks.index(shown)
    behind = next((block for block in article.blocks[at + 1 :] if isinstance(block, str)), None)
    beside = behind or (texts[-1] if texts else "")
    caption = shown.caption or title
    about = [caption if title.lower() in caption.lower() else f"{title}: {caption}"]
    if article.categories:
        about.append(f"Categories: {', '.join(article.categories[:6])}.")
    return [*about, cut_text(beside, _ABOUT_CHARACTERS)] if beside else about
