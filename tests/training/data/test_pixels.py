from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from PIL import Image

from mmcr_dataset.record.dialogue import Dialogue
from training.data.encode import Encoder
from training.data.pixels import rescale_and_normalize, uint8_kwargs
from training.families import family_names, load_family

BYTES_FAMILIES = [name for name in family_names() if load_family(name).uint8_pixels]


@pytest.mark.parametrize("name", BYTES_FAMILIES)
def test_bytes_become_the_very_floats_of_the_image_processor(
    name: str, build_family: Callable[..., tuple[Any, Any]], dialogues: list[Dialogue]
) -> None:
    _, processor = build_family(name)
    for dialogue in dialogues:
        in_floats = Encoder(processor).encode(dialogue)
        in_bytes = Encoder(processor, uint8_pixels=True).encode(dialogue)
        pixels = in_bytes.images.pop("pixel_values")
        expected = in_floats.images.pop("pixel_values")
        assert pixels.dtype == torch.uint8
        assert pixels.numel() * pixels.element_size() * 4 <= expected.numel() * expected.element_size()
        assert torch.equal(rescale_and_normalize(pixels, processor.image_processor), expected)
        assert torch.equal(in_bytes.input_ids_T, in_floats.input_ids_T)
        assert in_bytes.images.keys() == in_floats.images.keys()
        for key, value in in_floats.images.items():
            assert torch.equal(in_bytes.images[key], value)


def test_every_byte_becomes_the_float_it_was(build_family: Callable[..., tuple[Any, Any]]) -> None:
    processor = build_family("ovis2")[1].image_processor
    side = processor.size["height"]
    ramp = torch.arange(side * side, dtype=torch.int64).remainder(256).to(torch.uint8).view(side, side)
    image = Image.fromarray(torch.stack([ramp, 255 - ramp, ramp.T], dim=-1).contiguous().numpy())
    expected = processor([image], return_tensors="pt")["pixel_values"]
    pixels = processor([image], return_tensors="pt", **uint8_kwargs(processor))["pixel_values"]
    assert len(pixels.unique()) == 256
    assert torch.equal(rescale_and_normalize(pixels, processor), expected)


def test_processor_that_does_not_divide_is_left_as_it_is(build_family: Callable[..., tuple[Any, Any]]) -> None:
    processor = build_family("ovis2")[1].image_processor
    processor.do_normalize = False
    assert uint8_kwargs(processor) == {}
    floats = torch.rand(1, 3, 8, 8)
    assert rescale_and_normalize(floats, processor) is floats
