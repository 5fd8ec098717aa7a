"""Pixels leave the data loader's workers as uint8; rescaling and normalization run on the device.

An image processor returns normalized float32 pixels, and Qwen-VL's repeats every patch for two video frames. That is 4
or 8 times the bytes to transfer between processes and to the GPU. Here it stops before, and `rescale_and_normalize`
does the rest, bit-equal (test_pixels.py).

Shapes: N patches or tiles, S side of a tile, P values of a patch.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import torch
from PIL import Image

_FRAMES = "temporal_patch_size"


@dataclass(frozen=True)
class PixelLimits:
    """Smallest and largest number of pixels of an image, to which it is resized; 0 for no limit."""

    min_pixels: int = 0
    max_pixels: int = 0

    def size(self, width: int, height: int) -> tuple[int, int]:
        """Width and height after resizing."""
        pixels = width * height
        if self.max_pixels and pixels > self.max_pixels:
            scale = math.sqrt(self.max_pixels / pixels)
            wide, high = max(1, math.floor(width * scale)), max(1, math.floor(height * scale))
            return min(wide, max(1, self.max_pixels // high)), min(high, max(1, self.max_pixels // wide))
        if pixels < self.min_pixels:
            scale = math.sqrt(self.min_pixels / pixels)
            return math.ceil(width * scale), math.ceil(height * scale)
        return width, height

    def resize(self, image: Image.Image) -> Image.Image:
        """The image, resized if it is outside the limits."""
        size = self.size(*image.size)
        return image if size == image.size else image.resize(size, Image.Resampling.BICUBIC)


NO_LIMITS = PixelLimits()


def limit_pixels(processor: Any, limits: PixelLimits) -> PixelLimits:
    """Set the limits in the image processor, where it has such settings, so that they are saved with the model.

    Returns:
        The limits that are left for `Encoder` to apply: none, or of an image processor without such settings all.
    """
    images = processor.image_processor
    size: Any = getattr(images, "size", None)
    if limits.max_pixels and getattr(images, "do_image_splitting", False):  # Idefics3: enlarges every image to its size
        tile = int(images.max_image_size["longest_edge"])
        side = max(1, math.isqrt(limits.max_pixels) // tile) * tile
        images.size = type(size)(longest_edge=min(side, int(size["longest_edge"])))
        return limits
    if not (hasattr(images, "merge_size") and size and {"shortest_edge", "longest_edge"} <= set(dict(size))):
        return limits
    largest = limits.max_pixels or int(size["longest_edge"])
    smallest = min(limits.min_pixels or int(size["shortest_edge"]), largest)
    images.size = type(size)(shortest_edge=smallest, longest_edge=largest)
    return NO_LIMITS


def uint8_kwargs(image_processor: Any) -> dict[str, Any]:
    """Arguments that make the image processor return uint8; empty if it isn't supported.

    Supported are processors with transformers' torchvision backend that rescale and normalize.
    """
    from transformers.image_processing_backends import TorchvisionBackend

    if not isinstance(image_processor, TorchvisionBackend):
        return {}
    if not (image_processor.do_rescale and image_processor.do_normalize):
        return {}
    options = {"do_rescale": False, "do_normalize": False}
    return options | ({_FRAMES: 1} if hasattr(image_processor, _FRAMES) else {})


def rescale_and_normalize(pixels: torch.Tensor, image_processor: Any) -> torch.Tensor:
    """Rescale and normalize uint8 pixels like the image processor; float pixels are returned unchanged.

    Args:
        pixels: [N, 3, S, S], or [N, P] in the order channel, frame, row, column.
        image_processor: defines mean, standard deviation and number of frames.
    """
    if pixels.dtype != torch.uint8:
        return pixels
    scale = 1.0 / image_processor.rescale_factor
    mean_31, deviation_31 = (
        (torch.tensor(values, device=pixels.device) * scale)[:, None]
        for values in (image_processor.image_mean, image_processor.image_std)
    )
    by_channel = pixels.view(len(pixels), 3, -1) if pixels.ndim == 2 else pixels.flatten(-2)
    floats = by_channel.to(torch.float32).sub_(mean_31).div_(deviation_31)
    if pixels.ndim == 2:
        return floats.repeat(1, 1, getattr(image_processor, _FRAMES)).flatten(1)
    return floats.view(pixels.shape)
