"""Bar charts from known numbers: a bar ends exactly at the axis line of its value."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from mmcr_bench.exact.paint_cells import load_font
from mmcr_bench.exact.paint_style import OUTLINE, Colour, Style, jitter, paint_ground

AXIS_MAX = 10  # the same in every chart, so that the axis tells nothing about the values


class ChartLayout(NamedTuple):
    """Where the parts of a chart are, in pixels.

    Attributes:
        size: width and height of the image.
        left: x of the axis.
        bottom: y of the value 0.
        unit: height of the value 1.
        slot: width of a bar with the space around it.
        bar: width of a bar.
    """

    size: tuple[int, int]
    left: int
    bottom: int
    unit: int
    slot: int
    bar: int

    def y_of(self, value: int) -> int:
        """Row of the axis line of a value."""
        return self.bottom - value * self.unit

    def box_of(self, place: int, value: int) -> tuple[int, int, int, int]:
        """Left, top, right and bottom pixel, inclusive, of the bar at a place (from 0)."""
        x = self.left + place * self.slot + (self.slot - self.bar) // 2
        return x, self.y_of(value), x + self.bar - 1, self.bottom


def layout_of(num_bars: int, style: Style) -> ChartLayout:
    """The layout of a chart with a number of bars."""
    slot, height = style.bar_px
    if not style.is_rich:
        return ChartLayout((slot * num_bars, height), 0, height - 2, (height - 4) // AXIS_MAX, slot, slot - 8)
    left = 54
    width = max(336, left + slot * num_bars + 12)
    slot = (width - left - 12) // num_bars
    return ChartLayout((width, height), left, height - 24, (height - 48) // AXIS_MAX, slot, min(54, slot * 2 // 3))


def paint_chart(bars: Sequence[tuple[Colour, int] | None], rng: np.random.Generator, style: Style) -> Image.Image:
    """A bar chart with an axis from 0 to 10 and a line at every unit.

    Args:
        bars: colour and value (1..9) of each bar; None leaves its place empty.
        rng: random numbers.
        style: the style.
    """
    layout = layout_of(len(bars), style)
    image = paint_ground(layout.size, rng, style, with_strokes=False)
    pen = ImageDraw.Draw(image)
    right = layout.size[0] - 1 - (12 if style.is_rich else 0)
    for value in range(AXIS_MAX + 1):
        y = layout.y_of(value)
        line = (105, 105, 105) if value % 5 == 0 else (165, 165, 165)
        pen.line((layout.left, y, right, y), fill=line, width=1)
        if style.is_rich:
            pen.line((layout.left - 6, y, layout.left, y), fill=OUTLINE, width=1)
            pen.text((layout.left - 10, y), str(value), fill=OUTLINE, font=load_font(18), anchor="rm")
    for place, bar in enumerate(bars):
        if bar is not None:
            colour, value = bar
            fill = jitter(colour, rng, style)
            pen.rectangle(layout.box_of(place, value), fill=fill, outline=OUTLINE, width=2 if style.is_rich else 1)
    if style.is_rich:
        pen.line((layout.left, layout.y_of(AXIS_MAX), layout.left, layout.bottom), fill=OUTLINE, width=2)
        pen.line((layout.left, layout.bottom, right, layout.bottom), fill=OUTLINE, width=2)
    return image
