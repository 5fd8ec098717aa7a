"""Tokens that an image takes in the context of a model family, from its size alone.

Ovis2: a tile of 448 pixels is 256 tokens; the whole image, and where it is alone in the dialogue a grid of up to nine
tiles as in the authors' code, with the tokens that mark start, tiles and end. Qwen2.5-VL: 28 x 28 pixels are a token
after resizing to multiples of 28 within 3,136 to 12,845,056 pixels, with a start and an end.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from mmcr_dataset.record.image_grid import choose_grid

Size = tuple[int, int]  # width and height in pixels

_TILE_PX, _TILE_TOKENS, _TILES_SINGLE, _TILES_MULTI = 448, 256, 9, 1
_OVIS2_MARKS = 3  # start, after the whole image, end
_CELL_PX, _LEAST_PX, _MOST_PX = 28, 56 * 56, 12_845_056
_QWEN_MARKS = 2  # start and end


def count_ovis2(sizes: Sequence[Size]) -> int:
    """Tokens of the images of one dialogue for Ovis2 with its original tiling."""
    most = _TILES_SINGLE if len(sizes) == 1 else _TILES_MULTI
    total = 0
    for width, height in sizes:
        tiles = math.prod(choose_grid(width, height, _TILE_PX, most))
        total += _TILE_TOKENS + _OVIS2_MARKS + (tiles * (_TILE_TOKENS + 1) - 1 if tiles > 1 else 0)
    return total


def count_qwen2_5_vl(sizes: Sequence[Size]) -> int:
    """Tokens of the images of one dialogue for Qwen2.5-VL with the sizes of its processor."""
    return sum(_count_cells(*size) + _QWEN_MARKS for size in sizes)


def _count_cells(width: int, height: int) -> int:
    across, down = (max(1, round(side / _CELL_PX)) for side in (width, height))
    pixels = across * down * _CELL_PX**2
    if pixels > _MOST_PX:
        factor = math.sqrt(width * height / _MOST_PX)
        across, down = (max(1, math.floor(side / factor / _CELL_PX)) for side in (width, height))
    elif pixels < _LEAST_PX:
        factor = math.sqrt(_LEAST_PX / (width * height))
        across, down = (math.ceil(side * factor / _CELL_PX) for side in (width, height))
    return across * down


COUNTS: dict[str, Callable[[Sequence[Size]], int]] = {"ovis2": count_ovis2, "qwen2_5_vl": count_qwen2_5_vl}
