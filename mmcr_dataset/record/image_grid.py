"""The grid of tiles in which Ovis2 sees an image: rows x columns, by how much of the pixels the tiles cover.

Source: AIDC-AI/Ovis at 58b0ad6, ovis/model/visual_tokenizer/base_visual_tokenizer.py, `preprocess_image`.
"""

from __future__ import annotations

import functools
from itertools import product

COVERED_MIN = 0.9  # a grid is good enough when its tiles cover more than this share of the pixels at full resolution

Box = tuple[int, int, int, int]  # left, upper, right, lower in pixels


def grid_boxes(width: int, height: int, rows: int, columns: int) -> list[Box]:
    """The cells of a grid, row by row; the last row and column include the remainder.

    Args:
        width: of the image in pixels.
        height: of the image in pixels.
        rows: rows of the grid.
        columns: columns of the grid.
    """
    down, across = height // rows, width // columns
    return [
        (
            column * across,
            row * down,
            width if column == columns - 1 else (column + 1) * across,
            height if row == rows - 1 else (row + 1) * down,
        )
        for row, column in product(range(rows), range(columns))
    ]


def _covered_px(box: Box, side_px: int) -> float:
    """Pixels of a cell after its longer side is downscaled to a tile's."""
    long, short = sorted((box[2] - box[0], box[3] - box[1]), reverse=True)
    return long * short if long <= side_px else side_px * (short / long * side_px)


@functools.lru_cache(maxsize=4096)
def choose_grid(width: int, height: int, side_px: int, max_tiles: int) -> tuple[int, int]:
    """Rows and columns: the fewest tiles that cover enough of the image, else those that cover most of it.

    Args:
        width: of the image in pixels.
        height: of the image in pixels.
        side_px: side of a tile in pixels.
        max_tiles: maximum number of tiles.
    """
    counts = range(1, max_tiles + 1)
    covered = {
        (rows, columns): sum(_covered_px(box, side_px) for box in grid_boxes(width, height, rows, columns))
        / (width * height)
        for rows, columns in product(counts, counts)
        if rows * columns <= max_tiles
    }
    good = [grid for grid, share in covered.items() if share > COVERED_MIN]
    if good:
        return min(good, key=lambda grid: (grid[0] * grid[1], -covered[grid]))
    return min(covered, key=lambda grid: (-covered[grid], grid[0] * grid[1]))
