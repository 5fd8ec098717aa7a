"""Wikitext to texts, images with captions and categories, and a file's page to its licence and author."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

TEXT_CHARACTERS_MAX = 300_000  # of one page; what is longer is not read
_MARK = re.compile("\x02(\\d+)\x03")
_IMAGE_PARAMETERS = ("image", "image_name", "photo", "img", "picture")
_CAPTION_PARAMETERS = ("caption", "image_caption", "img_capt")
_OPTION = re.compile(
    r"(?:thumb|thumbnail|frame|framed|frameless|border|left|right|center|centre|none|baseline|middle|sub|super|top"
    r"|text-top|bottom|text-bottom|upright(?:=.*)?|(?:\d+(?:x\d+)?|x\d+)px|(?:alt|link|page|lang|class|thumb|thumbnail)=.*)",
    re.I | re.S,
)
_CC = re.compile(r"cc[- ](by(?:-(?:nc|sa|nd))*)-(\d\.\d)", re.I)
_PARAGRAPH_CHARACTERS_MIN = 20


class UnreadableWikitext(ValueError):
    """A page's wikitext can't be parsed."""


@dataclass(frozen=True, slots=True)
class Shown:
    """An image of a page.

    Attributes:
        file: its name without the namespace, underscores for spaces, first letter in upper case.
        caption: its caption as plain text; empty if it has none.
    """

    file: str
    caption: str


@dataclass(frozen=True, slots=True)
class Article:
    """Content of a page.

    Attributes:
        blocks: paragraphs and images, in reading order.
        categories: its categories, without the namespace.
    """

    blocks: tuple[str | Shown, ...]
    categories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FileNotes:
    """What a file's page says of it.

    Attributes:
        licence: short name; None if the page names none that is known.
        author: as plain text; None if the page names none.
        is_free: False for a file that is shown under an exception (fair use).
    """

    licence: str | None
    author: str | None
    is_free: bool = True

    def show(self) -> str:
        """Licence and author on one line."""
        return ", ".join(filter(None, (self.licence or "licence not stated", self.author)))


def to_file_name(title: str) -> str:
    """A file's title as its name on disk.

    Example: `"old bridge.jpg"` -> `"Old_bridge.jpg"`
    """
    name = "_".join(title.replace("_", " ").split())
    return name[:1].upper() + name[1:]


def read_article(text: str, names: Mapping[str, int]) -> Article:
    """The content of a page.

    Args:
        text: its wikitext.
        names: local name of a namespace, in lower case -> its number.

    Raises:
        UnreadableWikitext: the parser rejects it.
    """
    code = _parse(text)
    shown: list[Shown] = []
    categories: list[str] = []

    def put(node: Any, images: list[Shown], is_break: bool = False) -> None:  # noqa: ANN401
        """Replace a node by the marks of its images."""
        marks = "".join(f"\n\n\x02{len(shown) + number}\x03\n\n" for number in range(len(images))) or "\n\n" * is_break
        shown.extend(images)
        code.replace(node, marks)

    for node in list(code.filter_tags(recursive=False)):
        name = str(node.tag).strip().lower()
        if name in ("gallery", "ref", "table", "math", "timeline"):
            put(node, list(_of_gallery(str(node.contents or ""), names)) if name == "gallery" else [])
    for node in list(code.filter_headings(recursive=False)):
        put(node, [], is_break=True)
    for node in list(code.filter_templates(recursive=False)):
        put(node, list(_of_template(node)))
    for node in list(code.filter_wikilinks(recursive=False)):
        namespace, _, title = str(node.title).strip().partition(":")
        kind = names.get(namespace.strip().lower()) if title else None
        if kind == 6:
            put(node, [Shown(to_file_name(title), _caption_of(node.text))])
        elif kind == 14:
            categories.append(" ".join(title.split()))
            put(node, [])
    return Article(tuple(_to_blocks(code.strip_code(), shown)), tuple(dict.fromkeys(categories)))


def _parse(text: str) -> Any:  # noqa: ANN401  (mwparserfromhell has no types)
    try:
        import mwparserfromhell
        from mwparserfromhell.parser import ParserError
    except ModuleNotFoundError as error:
        raise ValueError("wikitext needs mwparserfromhell; pip install -e '.[mmdu]'") from error
    try:
        return mwparserfromhell.parse(text[:TEXT_CHARACTERS_MAX].replace("\x02", "").replace("\x03", ""))
    except (ParserError, RecursionError) as error:
        raise UnreadableWikitext(f"{type(error).__name__}: {error}") from error


def _to_blocks(plain: str, shown: list[Shown]) -> Iterator[str | Shown]:
    for place, piece in enumerate(_MARK.split(plain)):
        if place % 2:
            yield shown[int(piece)]
            continue
        for paragraph in re.split(r"\n\s*\n", piece):
            words = " ".join(paragraph.split())
            if len(words) >= _PARAGRAPH_CHARACTERS_MIN:
                yield words


def _of_gallery(contents: str, names: Mapping[str, int]) -> Iterator[Shown]:
    for line in contents.splitlines():
        title, _, caption = line.strip().partition("|")
        namespace, colon, name = title.partition(":")
        if colon and names.get(namespace.strip().lower()) == 6:
            yield Shown(to_file_name(name), _plain(caption))


def _of_template(node: Any) -> Iterator[Shown]:  # noqa: ANN401
    """The image of an infobox."""
    given = {str(one.name).strip().lower(): str(one.value).strip() for one in node.params if one.showkey}
    caption = next((given[name] for name in _CAPTION_PARAMETERS if given.get(name)), "")
    for name in _IMAGE_PARAMETERS:
        value = given.get(name, "").strip("[]")
        value = value.partition("|")[0]
        title = value.partition(":")[2] if value.lower().startswith(("file:", "image:")) else value
        if re.search(r"\.(?:jpe?g|png|webp|gif|tiff?)$", title.strip(), re.I):
            yield Shown(to_file_name(title), _plain(caption))


def _caption_of(text: Any) -> str:  # noqa: ANN401
    """The caption in a file's link: its last part that is no option."""
    if text is None:
        return ""
    parts = [""]
    for node in text.nodes:
        pieces = str(node).split("|") if type(node).__name__ == "Text" else [str(node)]
        parts[-1] += pieces[0]
        parts += pieces[1:]
    captions = [part for part in parts if part.strip() and not _OPTION.fullmatch(part.strip())]
    return _plain(captions[-1]) if captions else ""


def _plain(text: str) -> str:
    return " ".join(_parse(text).strip_code().split())


def read_file_notes(text: str) -> FileNotes:
    """Licence and author in the wikitext of a file's page.

    Raises:
        UnreadableWikitext: the parser rejects it.
    """
    author, licence, is_free = None, None, True
    for template in _parse(text).filter_templates():
        name = str(template.name).strip()
        if template.has("author") and author is None:
            author = _plain(str(template.get("author").value)) or None
        words = [name, *(str(one.value).strip() for one in template.params if not one.showkey)]
        if name.lower().startswith(("non-free", "fair use")):
            is_free = False
        licence = licence or next((found for word in words if (found := _licence_of(word))), None)
    return FileNotes(licence, author, is_free)


def _licence_of(word: str) -> str | None:
    """The short name of a licence template, None for another one."""
    if (found := _CC.search(word)) is not None:
        return f"CC {found[1].upper()} {found[2]}"
    for begins, name in _LICENCES:
        if begins(word.lower()):
            return name
    return None


_LICENCES: tuple[tuple[Callable[[str], bool], str], ...] = (
    (lambda word: word in ("cc0", "cc-zero", "cc-0"), "CC0 1.0"),
    (lambda word: word.startswith("pd-") or word in ("pd", "public domain"), "public domain"),
    (lambda word: word.startswith("gfdl"), "GFDL"),
    (lambda word: word.startswith("fal") and len(word) == 3, "Free Art License"),
)
