"""Any other model that `AutoModelForImageTextToText` loads; its parts and how it is packed are read from the model."""

from __future__ import annotations

from collections.abc import Sequence

from training.families.family import Family, Images, join_padded


def any_family(model_type: str) -> Family:
    """A family for a model type without a file here; `read_model` completes it.

    Raises:
        ValueError: transformers has no vision-language model of this type.
    """
    from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

    if model_type not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES:
        raise ValueError(f"transformers has no vision-language model of type {model_type!r}")
    return Family(model_type, "", parts={}, join_images=_JOINS.get(model_type, join_padded))


def _join_patch_rows(images: Sequence[Images]) -> Images:
    """All patches in one row, along the last dimension, as MiniCPM-V's processor has those of one dialogue."""
    import torch

    first, *rest = images
    joined = {name: torch.cat([value, *(one[name] for one in rest)]) for name, value in first.items() if value.ndim < 4}
    rows = {name: torch.cat([one[name] for one in images], dim=-1) for name in first if name not in joined}
    return joined | rows


_JOINS = {"minicpmv4_6": _join_patch_rows, "minicpmv4_7": _join_patch_rows}
