"""Objects of grid cells as transparent images: shapes, digits, photographs with a border."""

from __future__ import annotations

import functools
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from mmcr_bench.exact.paint_photos import paint_tile
from mmcr_bench.exact.paint_style import OUTLINE, Colour, Style, jitter, scaled

_RING = 1.2  # radius of a polygon's corners, as a multiple of a circle's, so that the areas look alike
_BAR = 0.38  # half-width of a cross's beams, as a multiple of its radius
_BORDER = 0.13  # width of a photograph's border, as a share of the cell


def paint_shape(colour: Colour, shape: str, px: int, rng: np.random.Generator, style: Style) -> Image.Image:
    """A filled shape with a dark outline on a transparent square.

    Args:
        colour: its colour before the jitter.
        shape: circle, square, triangle or cross.
        px: edge of the square.
        rng: random numbers.
        style: the style.

    Raises:
        ValueError: the shape is unknown.
    """
    radius = px * rng.uniform(*style.radius)
    turn = math.radians(rng.uniform(-style.max_turn_deg, style.max_turn_deg))
    fill, width = jitter(colour, rng, style), max(1, round(px * (0.02 if style.is_rich else 0.07)))
    centre = _shifted_centre(px, radius, rng, style)
    corners = _corners(shape, centre, radius, turn)
    mask = Image.new("L", (px, px), 0)
    _fill_shape(ImageDraw.Draw(mask), corners, centre, radius, 255)
    inside = _shaded(fill, px, rng) if style.is_rich else Image.new("RGB", (px, px), fill)
    painted = Image.new("RGBA", (px, px), (*OUTLINE, 0))
    painted.paste(inside, mask=mask)
    pen = ImageDraw.Draw(painted)
    if corners:
        pen.line([*corners, corners[0], corners[1]], fill=(*OUTLINE, 255), width=width, joint="curve")
    else:
        x, y = centre
        box = (x - radius, y - radius, x + radius, y + radius)
        pen.ellipse(box, outline=(*OUTLINE, 255), width=width)
    return painted


def _shifted_centre(px: int, radius: float, rng: np.random.Generator, style: Style) -> tuple[float, float]:
    free = max(0.0, px / 2 - radius * _RING) * style.shift
    return px / 2 + rng.uniform(-free, free), px / 2 + rng.uniform(-free, free)


def _fill_shape(
    pen: ImageDraw.ImageDraw, corners: list[tuple[float, float]], centre: tuple[float, float], radius: float, fill: int
) -> None:
    if corners:
        pen.polygon(corners, fill=fill)
    else:
        x, y = centre
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=fill)


def _corners(shape: str, centre: tuple[float, float], radius: float, turn: float) -> list[tuple[float, float]]:
    """The polygon's corners; none for a circle."""
    if shape == "circle":
        return []
    if shape == "square":
        raw = [(radius * _RING, math.pi / 4 + k * math.pi / 2) for k in range(4)]
    elif shape == "triangle":
        raw = [(radius * _RING, -math.pi / 2 + k * 2 * math.pi / 3) for k in range(3)]
    elif shape == "cross":
        w, end = radius * _BAR, radius * 1.05
        ends = [(w, w), (end, w), (end, -w), (w, -w)]  # one beam's outline, repeated by quarter turns
        points = [(x, y, -k * math.pi / 2) for k in range(4) for x, y in ends[:3]]
        raw = [(math.hypot(x, y), math.atan2(y, x) + angle) for x, y, angle in points]
    else:
        raise ValueError(f"no shape {shape!r}; expected circle, square, triangle or cross")
    return [(centre[0] + r * math.cos(a + turn), centre[1] + r * math.sin(a + turn)) for r, a in raw]


def _shaded(colour: Colour, px: int, rng: np.random.Generator) -> Image.Image:
    """A square of the colour that gets darker to one side; 0.92 at the darkest, so that colours stay apart."""
    ends = np.array([scaled(colour, 1.0), scaled(colour, 0.92)], dtype=np.float64)
    corner_weights = rng.uniform(0, 1, size=(2, 2, 1))
    coarse = ends[0] * corner_weights + ends[1] * (1 - corner_weights)
    return Image.fromarray(coarse.astype(np.uint8)).resize((px, px), Image.Resampling.BILINEAR)


@functools.cache
def load_font(size_px: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's built-in font, which is the same on every machine."""
    return ImageFont.load_default(size_px)


def paint_digit(colour: Colour, digit: str, px: int, rng: np.random.Generator, style: Style) -> Image.Image:
    """A digit with a dark outline on a transparent square; turned by at most 6 degrees. Args: see `paint_shape`."""
    share = rng.uniform(0.62, 0.78) if style.is_rich else rng.uniform(0.80, 0.84)
    free = px * (0.06 if style.is_rich else 0.02)
    x, y = px / 2 + rng.uniform(-free, free), px / 2 + rng.uniform(-free, free)
    painted = Image.new("RGBA", (px, px), (*OUTLINE, 0))
    pen, font = ImageDraw.Draw(painted), load_font(round(px * share * 1.2))
    bold, outline = round(px * 0.012), max(1, round(px * (0.018 if style.is_rich else 0.03)))
    fill = (*jitter(colour, rng, style), 255)
    for stroke, width in (((*OUTLINE, 255), bold + outline), (fill, bold)):
        pen.text((x, y), digit, fill=stroke, font=font, anchor="mm", stroke_width=width, stroke_fill=stroke)
    angle = rng.uniform(-6, 6) if style.is_rich else 0.0
    return painted.rotate(angle, Image.Resampling.BICUBIC) if angle else painted


def paint_photo(colour: Colour, photo_class: str, px: int, rng: np.random.Generator, style: Style) -> Image.Image:
    """A photograph with a border of the colour. Args: see `paint_shape`; raises as `paint_tile`."""
    margin = round(px * (rng.uniform(0.03, 0.06) if style.is_rich else 0.03))
    border = round(px * _BORDER)
    painted = Image.new("RGBA", (px, px), (*OUTLINE, 0))
    pen = ImageDraw.Draw(painted)
    inner = margin + border
    pen.rectangle((margin, margin, px - margin - 1, px - margin - 1), fill=(*jitter(colour, rng, style), 255))
    pen.rectangle((margin, margin, px - margin - 1, px - margin - 1), outline=(*OUTLINE, 255), width=max(1, px // 96))
    painted.paste(paint_tile(photo_class, px - 2 * inner, rng), (inner, inner))
    return painted
