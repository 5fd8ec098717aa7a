"""Tokens of an image by its size: the numbers of the families' own processors."""

from __future__ import annotations

import math
import random

import pytest

from mmcr_dataset.publish.image_tokens import COUNTS

SIZES = [(1, 1), (32, 32), (448, 448), (640, 480), (480, 640), (1024, 300), (3000, 2000), (8000, 6000), (100, 4000)]
_RNG = random.Random(0)
SIZES += [(_RNG.randrange(20, 5000), _RNG.randrange(20, 5000)) for _ in range(60)]


@pytest.mark.parametrize("size", SIZES)
def test_qwen2_5_vl_is_counted_as_its_processor_resizes(size: tuple[int, int]) -> None:
    resizing = pytest.importorskip("transformers.models.qwen2_vl.image_processing_qwen2_vl")
    height, width = resizing.smart_resize(size[1], size[0], factor=28, min_pixels=56 * 56, max_pixels=12_845_056)
    assert COUNTS["qwen2_5_vl"]([size]) == height * width // 28**2 + 2


@pytest.mark.parametrize("size", SIZES)
def test_ovis2_is_counted_as_its_original_tiling_fills(size: tuple[int, int]) -> None:
    tiling = pytest.importorskip("training.ovis2.tiling")
    processor = tiling.OriginalTiling(size={"height": 448, "width": 448})
    processor.tiles_single, processor.tiles_multi = 9, 1
    tiles = math.prod(processor.grid(*size, several=False))
    blocks = [256] if tiles == 1 else [256] * (tiles + 1)
    separators = 3 + (tiles - 1 if tiles > 1 else 0)  # start, after the whole image, between tiles, end
    assert COUNTS["ovis2"]([size]) == sum(blocks) + separators
    assert COUNTS["ovis2"]([size, size]) == 2 * (256 + 3)
