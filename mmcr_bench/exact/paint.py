"""Paint a scene of the controlled world, in the style `plain` or `rich`: its pixels, or a PNG file."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from mmcr_bench.exact.paint_cells import paint_digit, paint_photo, paint_shape
from mmcr_bench.exact.paint_chart import paint_chart
from mmcr_bench.exact.paint_style import STYLES, Colour, Style, paint_ground
from mmcr_bench.exact.scene import COLOURS, DOMAINS

PaintCell = Callable[[Colour, str, int, np.random.Generator, Style], Image.Image]
CELL_PAINTERS: dict[str, PaintCell] = {"shapes": paint_shape, "numerals": paint_digit, "sheets": paint_photo}


def paint(scene: NDArray[np.integer], domain_name: str, side: int, rng: np.random.Generator, style: str) -> bytes:
    """The PNG file of a scene; the same state of `rng` gives the same bytes. Args, Raises: see `paint_image`."""
    file = io.BytesIO()
    paint_image(scene, domain_name, side, rng, style).save(file, "PNG", optimize=False)
    return file.getvalue()


def paint_image(
    scene: NDArray[np.integer], domain_name: str, side: int, rng: np.random.Generator, style: str
) -> Image.Image:
    """The image of a scene.

    Args:
        scene: [cell, attribute] numbers of the attributes' values; -1 for an empty cell.
        domain_name: shapes, sheets, numerals or charts.
        side: side of the grid; for charts the number of bars.
        rng: random numbers, for brightness, size, place and ground.
        style: plain or rich.

    Raises:
        ValueError: the style or the domain is unknown, or the photographs of sheets are not installed.
    """
    if style not in STYLES:
        raise ValueError(f"no style {style!r}; expected {' or '.join(STYLES)}")
    if domain_name not in DOMAINS:
        raise ValueError(f"no domain {domain_name!r}; expected one of {', '.join(DOMAINS)}")
    cells = _to_words(scene, domain_name)
    if domain_name == "charts":
        bars = [cell and (COLOURS[cell[0]], int(cell[1])) for cell in cells]
        return paint_chart(bars, rng, STYLES[style])
    return _paint_grid(cells, CELL_PAINTERS[domain_name], side, rng, STYLES[style])


def _to_words(scene: NDArray[np.integer], domain_name: str) -> list[tuple[str, str] | None]:
    """(colour, other attribute's value) of each cell, None for an empty one."""
    attributes = DOMAINS[domain_name].attributes
    colour = next(place for place, attribute in enumerate(attributes) if attribute.values[0] in COLOURS)
    found: list[tuple[str, str] | None] = []
    for cell in scene:
        words = [attributes[place].values[int(cell[place])] for place in (colour, 1 - colour)]
        found.append(None if cell[0] < 0 else (words[0], words[1]))
    return found


def _paint_grid(
    cells: list[tuple[str, str] | None], paint_cell: PaintCell, side: int, rng: np.random.Generator, style: Style
) -> Image.Image:
    px = style.cell_px[side]
    image = paint_ground((side * px, side * px), rng, style)
    for place, cell in enumerate(cells):
        if cell is None:
            continue
        large = paint_cell(COLOURS[cell[0]], cell[1], px * style.supersampling, rng, style)
        small = large.resize((px, px), Image.Resampling.BOX if not style.is_rich else Image.Resampling.LANCZOS)
        image.paste(small, (place % side * px, place // side * px), mask=small)
    return image
