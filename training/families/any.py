"""Any other model that `AutoModelForImageTextToText` loads; its parts and how it is packed are read from the model."""

from __future__ import annotations

from collections.abc import Sequence

from training.families.family import Family, Images


def any_family(model_type: str) -> Family:
    """A family for a model type without a file here; `read_model` completes it.

    Raises:
        ValueError: transformers has no vision-language model of this type.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    if model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise ValueError(f"transformers has no vision-language model of type {model_type!r}")
    return Family(model_type, "", parts={}, join_images=_JOINS.get(model_type, join_padded))


def join_padded(images: Sequence[Images]) -> Images:
    """The image tensors of several dialogues along the first dimension, others filled up with zeros to the largest.

    Models with a varying number of tiles drop tiles of zeros; those with a varying size crop to `image_sizes`.
    """
    import torch
    from torch.nn.functional import pad

    joined: Images = {}
    for name in {name: None for one in images for name in one}:
        tensors = [torch.as_tensor(one[name]) for one in images if name in one]
        largest = [max(sizes) for sizes in zip(*(tensor.shape[1:] for tensor in tensors), strict=True)]
        filled = []
        for tensor in tensors:
            missing = [most - size for most, size in zip(largest, tensor.shape[1:], strict=True)]
            filled.append(pad(tensor, [side for more in reversed(missing) for side in (0, more)]))
        joined[name] = torch.cat(filled)
    return joined


def _join_patch_rows(images: Sequence[Images]) -> Images:
    """All patches in one row, along the last dimension, as MiniCPM-V's processor has those of one dialogue."""
    import torch

    first, *rest = images
    joined = {name: torch.cat([value, *(one[name] for one in rest)]) for name, value in first.items() if value.ndim < 4}
    rows = {name: torch.cat([one[name] for one in images], dim=-1) for name in first if name not in joined}
    return joined | rows


_JOINS = {"minicpmv4_6": _join_patch_rows, "minicpmv4_7": _join_patch_rows}
