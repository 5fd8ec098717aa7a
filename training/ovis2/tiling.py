"""Ovis2's original image tiling: grid as rows x columns, aspect ratio kept, zero-padded to a square.

The processor in transformers transposes non-square grids and stretches tiles. Use this one
(`--image_tiling original`) for a checkpoint to be run by the authors' code; for inference with transformers train with
its own processor, so that training and inference match.

Source: AIDC-AI/Ovis at 58b0ad6, ovis/model/visual_tokenizer/base_visual_tokenizer.py, `preprocess_image`.
Shapes: N tiles, S side of a tile.
"""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature, Ovis2ImageProcessor

from mmcr_dataset.record.image_grid import Box, choose_grid, grid_boxes


class OriginalTiling(Ovis2ImageProcessor):  # type: ignore[misc]  # transformers is not typed
    """Image processor with the original tiling; size, mean and standard deviation are the checkpoint's."""

    tiles_single: int
    tiles_multi: int

    def grid(self, width: int, height: int, several: bool) -> tuple[int, int]:
        """Rows and columns of a single image, or of one of several."""
        return choose_grid(width, height, int(self.size["height"]), self.tiles_multi if several else self.tiles_single)

    def preprocess(self, images: Any, **kwargs: Any) -> BatchFeature:
        """Tiles of all images of one dialogue (`pixel_values` [N, 3, S, S]) and their grids."""
        flat: list[Image.Image] = [image for group in images for image in group]
        side_px = int(self.size["height"])
        grids = [self.grid(image.width, image.height, several=len(flat) > 1) for image in flat]
        boxes = [
            [(0, 0, image.width, image.height), *grid_boxes(image.width, image.height, *grid)]
            if grid != (1, 1)
            else [(0, 0, image.width, image.height)]
            for image, grid in zip(flat, grids, strict=True)
        ]
        tiles_N3SS = np.zeros((sum(map(len, boxes)), 3, side_px, side_px), dtype=np.float32)
        cells = ((image, box) for image, of_one in zip(flat, boxes, strict=True) for box in of_one)
        for tile_3SS, (image, box) in zip(tiles_N3SS, cells, strict=True):
            self._fill(tile_3SS, image, box)
        return BatchFeature({"pixel_values": torch.from_numpy(tiles_N3SS), "grids": torch.tensor(grids)})

    def _fill(self, tile_3SS: Any, image: Image.Image, box: Box) -> None:
        """Resize a cell of the image into a tile [3, S, S] (letterbox) and normalize it."""
        side_px = tile_3SS.shape[1]
        width, height = box[2] - box[0], box[3] - box[1]
        if width >= height:
            across, down = side_px, side_px if width == height else int(height / width * side_px)
        else:
            across, down = int(width / height * side_px), side_px
        small = image.crop(box).resize((max(1, across), max(1, down)), Image.Resampling.BICUBIC)
        mean, deviation = (np.asarray(values, dtype=np.float32) for values in (self.image_mean, self.image_std))
        pixels_HW3 = (np.asarray(small, dtype=np.float32) / 255 - mean) / deviation
        left, upper = (side_px - small.width) // 2, (side_px - small.height) // 2
        tile_3SS[:, upper : upper + small.height, left : left + small.width] = pixels_HW3.transpose(2, 0, 1)


def with_original_tiling(processor: Any, tiles_single: int, tiles_multi: int) -> Any:
    """A copy of an Ovis2 processor with the original tiling."""
    tiling = OriginalTiling(**{
        name: getattr(processor.image_processor, name) for name in ("size", "image_mean", "image_std")
    })  # fmt: skip
    tiling.tiles_single, tiling.tiles_multi = tiles_single, tiles_multi
    changed = copy.copy(processor)
    changed.image_processor = tiling
    return changed
