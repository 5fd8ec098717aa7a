"""Pixels leave the data loader's workers as uint8; rescaling and normalizing run on the device.

An image processor ends with pixels as floats, each channel less its mean and divided by its deviation, and Qwen-VL's
writes every patch twice, as two frames of a film. That is four or eight times the bytes to write, to hand from process
to process and to bring to the GPU. Here it is asked to stop before, and `to_floats` does the rest: the very same
numbers (test_pixels.py).

Shapes: N patches or tiles, S side of a tile, P values of a patch.
"""

from __future__ import annotations

from typing import Any

import torch

_FRAMES = "temporal_patch_size"


def ask_for_bytes(image_processor: Any) -> dict[str, Any]:
    """Arguments that make the image processor stop at uint8; empty if it can't.

    It can't if it fills up with zeros after the division, or has a way of its own to it: only processors of
    transformers' torchvision kind that divide at all are asked.
    """
    from transformers.image_processing_backends import TorchvisionBackend

    if not isinstance(image_processor, TorchvisionBackend):
        return {}
    if not (image_processor.do_rescale and image_processor.do_normalize):
        return {}
    options = {"do_rescale": False, "do_normalize": False}
    return options | ({_FRAMES: 1} if hasattr(image_processor, _FRAMES) else {})


def to_floats(pixels: torch.Tensor, image_processor: Any) -> torch.Tensor:
    """Rescale and normalize uint8 pixels as the image processor would have; floats stay as they are.

    Args:
        pixels: bytes [N, 3, S, S], or [N, P] in the order channel, frame, row, column.
        image_processor: knows mean, deviation and the number of frames.
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
