"""Models without a file in training/families/: what `python -m benchmarks.training_families` prints for each type."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from benchmarks.training_families import TINY, build, check
from training.families import family_of
from training.families.any import join_padded
from training.model.read_family import read_model

FAST = ("internvl", "gemma3", "qwen3_vl_moe")


@pytest.mark.parametrize(
    "model_type", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in TINY]
)
def test_type_without_a_file_trains(model_type: str) -> None:
    found = check(model_type)
    assert (found.wrong_lengths, found.wrong_labels, found.unmoved, found.moved) == (0, 0, 0, 0)
    assert found.difference < 1e-5
    assert found.generates
    assert (found.packed == "packed") == (model_type not in ("gemma3", "qwen3_5"))


def test_family_is_read_from_the_model(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    folder = build("qwen2_vl", tmp_path / "q")
    model = AutoModelForImageTextToText.from_pretrained(folder)
    family = read_model(family_of(str(folder)), model)
    assert family.has_m_rope
    assert family.no_packing is None
    prefixes = tuple(prefix for part in family.parts.values() for prefix in part)
    assert all(name.startswith(prefixes) for name, _ in model.named_parameters())


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"layer_types": ["linear_attention", "full_attention", "full_attention"]}, "layers of type linear_attention"),
        ({"use_bidirectional_attention": "vision"}, "attend to each other in both directions"),
    ],
)
def test_model_that_would_leak_between_packed_dialogues_is_padded(
    changed: dict[str, object], said: str, tmp_path: Path
) -> None:
    from transformers import AutoModelForImageTextToText

    folder = build("internvl", tmp_path / "m")
    model = AutoModelForImageTextToText.from_pretrained(folder)
    for name, value in changed.items():
        setattr(model.config.get_text_config(), name, value)
    assert said in str(read_model(family_of(str(folder)), model).no_packing)


def test_images_of_several_sizes_are_joined_with_zeros_to_the_largest() -> None:
    joined = join_padded([{"x": torch.ones(1, 2, 3), "n": torch.tensor([1])}, {"x": torch.ones(2, 1, 4)}])
    assert joined["x"].shape == (3, 2, 4)
    assert joined["x"].sum() == 6 + 8
    assert joined["n"].tolist() == [1]
