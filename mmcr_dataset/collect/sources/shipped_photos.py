"""The demo's documents: photographs that scikit-image, scikit-learn and matplotlib ship, with the words they ship.

Real images, real text, nothing to download: scikit-image's docstrings tell what each photograph shows, by whom, under
which licence. They are read at run time from the installed version; nothing of them is copied into this project.
The three photographs whose package says next to nothing carry sentences of ours.
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
    """A photograph in an installed package: its file, and where its description is."""

    package: str
    file: str
    function: str | None = None  # its docstring in skimage.data
    words: str = ""  # ours, where the package has none
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
# What belongs together: textures, space, the microscope and the eye, the table, print, people and machines, the garden.
# Every two to four of a group make a page.
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
    """One document for each photograph, then pages of two to four that belong together.

    Raises:
        ValueError: a package is not installed.
    """

    def __init__(self) -> None:
        for module, package in _PACKAGES.items():
            if importlib.util.find_spec(module) is None:
                raise ValueError(f"--source demo takes its photographs from {package}; pip install 'mmcr[demo]'")

    @property
    def fingerprint(self) -> str:
        """Changes with the versions of the packages."""
        text = repr((PHOTOS, PAGES, [metadata.version(package) for package in _PACKAGES.values()]))
        return hashlib.sha256(text.encode()).hexdigest()

    def __iter__(self) -> Iterator[Document | Removed]:
        """The documents, singles first."""
        for name in PHOTOS:
            yield _to_document(name, (name,))
        for names in PAGES:
            yield _to_document("page-" + "-".join(names), names)


def _to_document(document_id: str, names: tuple[str, ...]) -> Document | Removed:
    blocks: list[str | ImageAt] = []
    licences: list[str] = []
    for name in names:
        photo = PHOTOS[name]
        spec = importlib.util.find_spec(photo.package)
        assert spec is not None, photo.package
        assert spec.origin is not None, photo.package
        path = Path(spec.origin).parent / photo.file
        if not path.is_file():
            return Removed(document_id, "photo_not_shipped", f"this version of {photo.package} has no {photo.file}")
        words, licence = read_docstring(photo.function) if photo.function else (photo.words, photo.licence)
        blocks += [ImageAt(path=path), words]
        if licence not in licences:
            licences.append(licence)
    return Document(document_id, tuple(blocks), Source(None, "; ".join(licences)))


def read_docstring(function: str) -> tuple[str, str]:
    """What a docstring of skimage.data says about an image: its description, and its licence."""
    import skimage.data

    doc = inspect.getdoc(getattr(skimage.data, function)) or ""
    sections = re.split(r"\n(?=[A-Z][a-z]+\n-{3,})", doc)
    notes = next((section for section in sections if section.startswith("Notes\n")), "")
    returns = next((section for section in sections if section.startswith("Returns\n")), "")
    paragraphs = sections[0].split("\n\n")
    if len(sections[0]) < 60:  # "Grass.": the sections on the returned array and its origin say a little more
        paragraphs += [*returns.splitlines()[3:4], *notes.partition("---\n")[2].split("\n\n")]
    description = [text for text in map(_to_prose, paragraphs) if text and not _is_about_the_file(text)]
    return "\n\n".join(text if text.endswith(".") else f"{text}." for text in description), _read_licence(doc)


def _read_licence(doc: str) -> str:
    """The licence that a docstring names, with the photographer where it names one."""
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
    """One paragraph of reStructuredText as plain prose: links, literals and footnote marks taken out."""
    text = re.sub(r"`([^`<]*?)\s*<[^>]*>`_*", r"\1", text)
    text = re.sub(r"\s*(?:as part of|in)?\s*\[\d+\]_|`+_*|<https?:[^>]*>|https?://\S+", "", text)
    return re.sub(r"\s+([.,;])", r"\1", re.sub(r"\s+", " ", text)).strip(" -")
