"""The two styles of painted scenes, and what both share: brightness jitter and grounds.

`plain` is for small models: 32 px a cell, so that a cell is one visual token of patch 16 and merge 2. `rich` is for
real models and for people: at least 336 px, a tinted and textured ground, turned and shaded objects.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

Colour = tuple[int, int, int]
OUTLINE: Colour = (20, 20, 20)


@dataclass(frozen=True)
class Style:
    """How a scene is painted.

    Attributes:
        cell_px: side of a grid -> pixels of a cell's edge.
        bar_px: width of a bar's slot and height of a bar chart, in pixels.
        supersampling: factor that objects are drawn larger by, before they are resized.
        brightness: lowest and highest factor of an object's colour; hue is never changed, so colours stay apart.
        radius: smallest and largest half-width of an object, as a share of the cell.
        shift: largest shift of an object from the cell's centre, as a share of the space around it.
        max_turn_deg: largest rotation of a shape, in degrees.
        is_rich: tinted and textured ground, shading, axis labels.
    """

    cell_px: Mapping[int, int]
    bar_px: tuple[int, int]
    supersampling: int
    brightness: tuple[float, float]
    radius: tuple[float, float]
    shift: float
    max_turn_deg: float
    is_rich: bool


STYLES: dict[str, Style] = {
    "plain": Style({2: 32, 3: 32}, (32, 64), 4, (0.92, 1.08), (0.38, 0.41), 0.3, 0.0, is_rich=False),
    "rich": Style({2: 192, 3: 128}, (66, 360), 2, (0.85, 1.12), (0.30, 0.40), 0.8, 14.0, is_rich=True),
}


def jitter(colour: Colour, rng: np.random.Generator, style: Style) -> Colour:
    """The colour, darker or brighter."""
    return scaled(colour, rng.uniform(*style.brightness))


def scaled(colour: Colour, factor: float) -> Colour:
    """The colour times a factor, limited to 255."""
    red, green, blue = (min(255, round(value * factor)) for value in colour)
    return red, green, blue


def paint_ground(
    size: tuple[int, int], rng: np.random.Generator, style: Style, with_strokes: bool = True
) -> Image.Image:
    """A light ground: one grey in the plain style; a greyish gradient, with thin strokes or not, in the rich style."""
    if not style.is_rich:
        level = int(rng.integers(228, 250))
        return Image.new("RGB", size, (level, level, level))
    middle = rng.uniform(165, 215) + rng.uniform(-10, 10, size=3)
    coarse = (middle + rng.uniform(-18, 18, size=(4, 4, 1)) + rng.uniform(-5, 5, size=(4, 4, 3))).clip(0, 255)
    ground = Image.fromarray(coarse.astype(np.uint8)).resize(size, Image.Resampling.BICUBIC)
    if not with_strokes:
        return ground.point(lambda level: round(255 - (255 - level) * 0.5))
    pen = ImageDraw.Draw(ground)
    slope, gap = rng.uniform(-0.6, 0.6), int(rng.integers(14, 30))
    stroke = scaled((int(middle[0]), int(middle[1]), int(middle[2])), rng.uniform(0.90, 0.95))
    for x in range(-size[1], size[0] + size[1], gap):
        pen.line((x, 0, x + slope * size[1], size[1]), fill=stroke, width=1)
    return ground
