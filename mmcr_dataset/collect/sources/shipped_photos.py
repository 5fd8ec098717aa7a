"""Documents of the demo: sample photographs of scikit-image, scikit-learn and matplotlib, with their descriptions.

Needs no download: text, author and license come from scikit-image's docstrings, read at run time from the installed
version and not copied into this project. The three photographs without a docstring have descriptions of ours.
"""

from __future__ import annotations

import hashlib
import importlib.util
import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from itertools import combinations
from pathlib import Path

from mmcr_dataset.collect.document import Document, ImageAt
from mmcr_dataset.record.dialogue import Source
from mmcr_dataset.stage.stages import Removed

_PACKAGES = {"skimage": "scikit-image", "sklearn": "scikit-learn", "matplotlib": "matplotlib"}


@dataclass(frozen=True, slots=True)
class Shipped:
    """A photograph in an installed package, with its description."""

    package: str
    file: str
    function: str | None = None  # of skimage.data, whose docstring describes it
    words: str = ""  # our description, where there is no docstring
    licence: str = ""


_SKIMAGE = {  # name -> (file, function of skimage.data whose docstring describes it)
    "astronaut": "astronaut.png",
    "brick": "brick.png",
    "camera": "camera.png",
    "cell": "cell.png",
    "chelsea": "chelsea.png",
    "clock": "clock_motion.png",
    "coffee": "coffee.png",
    "coins": "coins.png",
    "grass": "grass.png",
    "gravel": "gravel.png",
    "hubble_deep_field": "hubble_deep_field.jpg",
    "immunohistochemistry": "ihc.png",
    "microaneurysms": "microaneurysms.png",
    "moon": "moon.png",
    "stereo_motorcycle": "motorcycle_left.png",
    "page": "page.png",
    "retina": "retina.jpg",
    "rocket": "rocket.jpg",
    "text": "text.png",
}
PHOTOS: dict[str, Shipped] = {
    **{name: Shipped("skimage", f"data/{file}", function=name) for name, file in _SKIMAGE.items()},
    "stereo_right": Shipped("skimage", "data/motorcycle_right.png", function="stereo_motorcycle"),
    "china": Shipped(
        "sklearn",
        "datasets/images/china.jpg",
        words="A tall Chinese temple tower with several tiers of curved roofs rises above stone walls and trees. Red "
        "flowers stand in front of the buildings. The sky over the temple is pale and hazy.",
        licence="CC-BY-2.0, danielbuechele",
    ),
    "flower": Shipped(
        "sklearn",
        "datasets/images/flower.jpg",
        words="A single flower with many pointed petals is seen from the side against dark green leaves. The petals "
        "open in layers around its middle. Only the flower is sharp, the garden behind it is blurred.",
        licence="CC-BY-2.0, vultilion",
    ),
    "grace_hopper": Shipped(
        "matplotlib",
        "mpl-data/sample_data/grace_hopper.jpg",
        words="This is an official portrait of the computer scientist Grace Hopper in the uniform of a naval officer. "
        "She wears a cap with gold ornaments and a dark jacket with ribbons. A flag hangs behind her.",
        licence="public domain, United States Navy",
    ),
}
# Photographs with a common topic; every two to four of a group make a document.
GROUPS: tuple[tuple[str, ...], ...] = (
    ("brick", "gravel", "grass"),
    ("rocket", "astronaut", "moon", "hubble_deep_field"),
    ("cell", "immunohistochemistry", "retina", "microaneurysms"),
    ("coffee", "clock", "coins"),
    ("page", "text"),
    ("camera", "grace_hopper", "stereo_motorcycle"),
    ("stereo_motorcycle", "stereo_right"),
    ("china", "flower", "chelsea"),
)
PAGES = tuple(names for group in GROUPS for size in (2, 3, 4) for names in combinations(group, size))


class ShippedPhotosSource:
    """One document for each photograph, then documents of two to four of a group.

    Raises:
        ValueError: a package is not installed.
    """

    def __init__(self) -> None:
        for module, package in _PACKAGES.items():
            if importlib.util.find_spec(module) is None:
                raise ValueError(f"--source demo needs the photographs of {package}; pip install -e '.[demo]'")

    @property
    def fingerprint(self) -> str:
        """Hash of the documents and the packages' versions."""
        text = repr((PHOTOS, PAGES, [metadata.version(package) for package in _PACKAGES.values()]))
        return hashlib.sha256(text.encode()).hexdigest()

    def __iter__(self) -> Iterator[Document | Removed]:
        """Yield the documents, single images first."""
        for name in PHOTOS:
            yield _to_document(name, (name,))
        for names in PAGES:
            yield _to_document("page-" + "-".join(names), names)


def _to_document(document_id: str, names: tuple[str, ...]) -> Document | Removed:
    blocks: list[str | ImageAt] = []
    licences: list[str] = []
    for name in names:
        photo, path = PHOTOS[name], photo_path(name)
        if path is None:
            return Removed(document_id, "photo_not_shipped", f"this version of {photo.package} has no {photo.file}")
        text, licence = read_docstring(photo.function) if photo.function else (photo.words, photo.licence)
        blocks += [ImageAt(path=path), text]
        if licence not in licences:
            licences.append(licence)
    return Document(document_id, tuple(blocks), Source(None, "; ".join(licences)))


def photo_path(name: str) -> Path | None:
    """File of a photograph; None if its package isn't installed, or this version of it has no such file."""
    spec = importlib.util.find_spec(PHOTOS[name].package)
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / PHOTOS[name].file
    return path if path.is_file() else None


def read_docstring(function: str) -> tuple[str, str]:
    """Description and license of an image in a docstring of skimage.data."""
    import skimage.data

    doc = inspect.getdoc(getattr(skimage.data, function)) or ""
    sections = re.split(r"\n(?=[A-Z][a-z]+\n-{3,})", doc)
    notes = next((section for section in sections if section.startswith("Notes\n")), "")
    returns = next((section for section in sections if section.startswith("Returns\n")), "")
    paragraphs = sections[0].split("\n\n")
    if len(sections[0]) < 60:  # too short ("Grass."): add the sections on returned array and origin
        paragraphs += [*returns.splitlines()[3:4], *notes.partition("---\n")[2].split("\n\n")]
    description = [text for text in map(_to_prose, paragraphs) if text and not _is_about_the_file(text)]
    return "\n\n".join(text if text.endswith(".") else f"{text}." for text in description), _read_licence(doc)


def _read_licence(doc: str) -> str:
    """License in a docstring, with the photographer if there is one."""
    by = re.search(r"by\s+(?:the\s+)?(?:photographer|owner)\s+\(([^)]+)\)", doc)
    if re.search(r"\bCC-?0\b", doc):
        name = "CC0-1.0"
    elif re.search(r"public\s+domain", doc):
        name = "public domain"
    elif "No known copyright restrictions" in doc:
        name = "no known copyright restrictions"
    else:
        name = "BSD-3-Clause, scikit-image"
    return f"{name}, {by.group(1)}" if by else name


def _is_about_the_file(text: str) -> bool:
    return bool(re.search(r"was downloaded from|copyright|public domain|:$|Focal length|disparity map|Notes", text))


def _to_prose(text: str) -> str:
    """A paragraph of reStructuredText as plain text, without links, literals and footnotes."""
    text = re.sub(r"`([^`<]*)<[^>`]*>`_*", lambda link: link[1].rstrip(), text)
    text = re.sub(r"(?<!\s)\s*+(?:(?:as part of|in)\s*+)?\[\d+\]_|`+_*|<https?:[^>]*>|https?://\S+", "", text)
    return re.sub(r" ([.,;])", r"\1", re.sub(r"\s+", " ", text)).strip(" -")
