"""Pixels leave the data loader's workers as uint8; rescaling and normalization run on the device.

An image processor returns normalized float32 pixels, and Qwen-VL's repeats every patch for two video frames. That is 4
or 8 times the bytes to transfer between processes and to the GPU. Here it stops before, and `rescale_and_normalize`
does the rest, bit-equal (test_pixels.py).

Shapes: N patches or tiles, S side of a tile, P values of a patch.
"""

from __future__ import annotations

from typing import Any

import torch

_FRAMES = "temporal_patch_size"


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
