"""Tiles of contact sheets: photographs that installed packages ship, whose class is known beforehand.

Each crop shows one object of its class. The classes were chosen so that no crop shows an object of another class.
"""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image

from mmcr_dataset.collect.sources.shipped_photos import PHOTOS, photo_path, read_docstring

Box = tuple[int, int, int, int]  # left, top, right, bottom in pixels
Crop = tuple[str, Box]  # name in PHOTOS and the part of it

_COINS: tuple[Box, ...] = (
    *((301, 10, 370, 79), (127, 22, 185, 80), (187, 22, 245, 80), (240, 89, 302, 151), (75, 169, 130, 224)),
    *((183, 165, 242, 224), (246, 167, 302, 223), (13, 228, 79, 294), (140, 230, 205, 295), (214, 235, 274, 295)),
)
CROPS: dict[str, tuple[Crop, ...]] = {
    "cat": (("chelsea", (80, 0, 380, 300)),),
    "coin": tuple(("coins", box) for box in _COINS),
    "cup": (("coffee", (100, 0, 500, 400)),),
    "motorcycle": (("stereo_motorcycle", (150, 0, 741, 500)), ("stereo_right", (110, 0, 700, 500))),
    "person": (("astronaut", (70, 0, 350, 280)), ("grace_hopper", (40, 10, 500, 470))),
    "rocket": (("rocket", (150, 80, 490, 420)),),
}
_MAX_TRIM = 0.06  # of a crop's width that is cut from an edge


@functools.cache
def _photo(name: str) -> Image.Image:
    """The whole photograph.

    Raises:
        ValueError: its package is not installed.
    """
    path = photo_path(name)
    if path is None:
        raise ValueError(
            f"the domain sheets needs the photograph {name!r}, which scikit-image and matplotlib ship; "
            "pip install -e '.[demo]', or leave sheets out of --domains"
        )
    with Image.open(path) as photo:
        return photo.convert("RGB")


def paint_tile(photo_class: str, px: int, rng: np.random.Generator) -> Image.Image:
    """A square photograph of the class: a random crop, mirrored or not.

    Args:
        photo_class: a key of `CROPS`.
        px: edge of the tile in pixels.
        rng: random numbers.

    Raises:
        ValueError: the class is unknown, or its photographs are not installed.
    """
    if photo_class not in CROPS:
        raise ValueError(f"no photograph of class {photo_class!r}; expected one of {', '.join(CROPS)}")
    crops = CROPS[photo_class]
    name, (left, top, right, bottom) = crops[int(rng.integers(len(crops)))]
    trims = rng.uniform(0, _MAX_TRIM, size=4) * (right - left)
    box = (left + trims[0], top + trims[1], right - trims[2], bottom - trims[3])
    tile = _photo(name).resize((px, px), Image.Resampling.LANCZOS, box=box)
    return tile.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else tile


def photo_licences() -> str:
    """The licences of all photographs used, each once, separated by `; `."""
    photos = [PHOTOS[name] for crops in CROPS.values() for name, _ in crops]
    licences = (read_docstring(photo.function)[1] if photo.function else photo.licence for photo in photos)
    return "; ".join(dict.fromkeys(licences))
