"""Image statistics computed from pixels: size, colours, brightness and its distribution, texture."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from PIL import Image

# Reference colours in RGB; distances in RGB are accurate enough for so few colours.
_COLOURS = {
    "black": (20, 20, 20),
    "dark grey": (75, 75, 75),
    "grey": (128, 128, 128),
    "light grey": (190, 190, 190),
    "white": (245, 245, 245),
    "red": (190, 40, 40),
    "dark red": (100, 25, 25),
    "orange": (225, 130, 45),
    "brown": (120, 80, 50),
    "beige": (215, 190, 155),
    "yellow": (225, 210, 70),
    "green": (60, 140, 60),
    "dark green": (35, 70, 35),
    "blue": (55, 95, 185),
    "dark blue": (25, 35, 85),
    "light blue": (150, 190, 225),
    "purple": (120, 70, 150),
    "pink": (225, 150, 180),
}
_ROWS, _COLUMNS = ("upper", "middle", "lower"), ("left", "centre", "right")


@dataclass(frozen=True, slots=True)
class ImageFacts:
    """Facts of an image that need no recognition.

    Attributes:
        width: in pixels.
        height: in pixels.
        shape: `wider than tall`, `taller than wide` or `square`.
        colours: names of the two most frequent colours, in order.
        colour_share: share (0..1) of pixels of the first colour.
        brightness: `dark`, `of medium brightness` or `bright`.
        brightest: cell of a 3x3 grid with the highest mean, e.g. `upper left`.
        darkest: cell with the lowest mean.
        texture: `smooth`, `moderately detailed` or `full of fine detail`.
        is_grey: True for a greyscale image, up to a tolerance.
    """

    width: int
    height: int
    shape: str
    colours: tuple[str, str]
    colour_share: float
    brightness: str
    brightest: str
    darkest: str
    texture: str
    is_grey: bool


def measure_facts(image: Image.Image) -> ImageFacts:
    """Facts of an RGB image; deterministic."""
    width, height = image.size
    small = np.asarray(image.resize((96, 96), Image.Resampling.BOX), dtype=np.float64)
    grey = small @ np.array([0.299, 0.587, 0.114])
    names, colours = list(_COLOURS), np.array(list(_COLOURS.values()), dtype=np.float64)
    distances = (colours**2).sum(axis=-1) - 2 * small @ colours.T  # squared, less the square of the pixel
    counts = np.bincount(distances.argmin(axis=-1).ravel(), minlength=len(names))
    order = np.argsort(-counts, kind="stable")
    cells = grey.reshape(3, 32, 3, 32).mean(axis=(1, 3))
    mean = float(grey.mean())
    detail = float(np.abs(np.diff(grey, axis=1)).mean() + np.abs(np.diff(grey, axis=0)).mean())
    return ImageFacts(
        width=width,
        height=height,
        shape="square" if width == height else "wider than tall" if width > height else "taller than wide",
        colours=(names[int(order[0])], names[int(order[1])]),
        colour_share=float(counts[order[0]] / counts.sum()),
        brightness="dark" if mean < 85 else "bright" if mean > 160 else "of medium brightness",
        brightest=_cell_name(int(cells.argmax())),
        darkest=_cell_name(int(cells.argmin())),
        texture="smooth" if detail < 8 else "full of fine detail" if detail > 25 else "moderately detailed",
        is_grey=float((small.max(axis=-1) - small.min(axis=-1)).mean()) < 6,
    )


def _cell_name(index: int) -> str:
    row, column = _ROWS[index // 3], _COLUMNS[index % 3]
    return "middle" if (row, column) == ("middle", "centre") else f"{row} {column}"
