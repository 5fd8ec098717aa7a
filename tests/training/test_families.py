"""Models without a file in training/families/: what `python -m benchmarks.training_families` prints for each type."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from benchmarks.tiny import TINY
from benchmarks.tiny.model import SIZE, VISION, Tiny
from benchmarks.tiny.plain import VICUNA_TEMPLATE
from benchmarks.training_families import build, check, some_dialogues
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue, Turn
from tests.training.test_train import settings
from training.config import TrainConfig
from training.data.packing import rope_of
from training.families import family_of
from training.families.family import join_padded
from training.model.load import choose_attention
from training.model.read_family import read_model
from training.model.tiny import dialogue_texts
from training.train import train

FAST = ("internvl", "gemma3", "qwen3_vl_moe", "mllama", "llama4", "minicpmv4_6")
PADDED = ("gemma3", "qwen3_5", "qwen3_5_moe", "lfm2_vl", "lfm3_vl", "minicpmv4_6", "mllama")


@pytest.mark.parametrize(
    "model_type", [name if name in FAST else pytest.param(name, marks=pytest.mark.slow) for name in TINY]
)
def test_type_without_a_file_trains(model_type: str) -> None:
    found = check(model_type)
    unused = 160 if model_type == "janus" else 0  # its image generator
    assert (found.wrong_lengths, found.wrong_labels, found.unmoved, found.moved) == (0, 0, unused, 0)
    assert found.difference < 1e-5
    assert found.generates
    assert (found.packed == "packed") == (model_type not in PADDED)


def test_family_is_read_from_the_model(tmp_path: Path) -> None:
    from transformers import AutoModelForImageTextToText

    folder = build("qwen2_vl", tmp_path / "q")
    model = AutoModelForImageTextToText.from_pretrained(folder)
    family = read_model(family_of(str(folder)), model)
    assert family.has_m_rope
    assert rope_of(model) is not None
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


def _paligemma(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    config = t.PaliGemmaConfig(
        text_config=text | {"model_type": "gemma", "head_dim": 32}, projection_dim=128,
        vision_config=VISION | {"model_type": "siglip_vision_model", "projection_dim": 128},
        image_token_index=tokenizer.image_token_id,
    )  # fmt: skip
    tokenizer.bos_token = "<bos>"
    images = t.SiglipImageProcessor(size=SIZE)
    images.image_seq_length = 16
    return t.PaliGemmaForConditionalGeneration(config), t.PaliGemmaProcessor(images, tokenizer)


def _idefics2(tokenizer: Any, text: dict[str, Any]) -> tuple[Any, Any]:
    import transformers as t

    perceiver = {"hidden_size": 128, "resampler_n_latents": 4, "resampler_depth": 1, "resampler_n_heads": 2}
    perceiver |= {"num_key_value_heads": 1, "resampler_head_dim": 16}
    config = t.Idefics2Config(
        text_config=text | {"model_type": "mistral"}, vision_config=VISION, perceiver_config=perceiver,
        image_token_id=tokenizer.image_token_id,
    )  # fmt: skip
    images = t.Idefics2ImageProcessor(size={"shortest_edge": 28, "longest_edge": 56})
    return t.Idefics2ForConditionalGeneration(config), t.Idefics2Processor(images, tokenizer, image_seq_len=4)


@pytest.mark.parametrize(
    ("build_one", "named", "others"),
    [
        (_paligemma, {"image_token": "<image>"}, ("<bos>",)),
        (
            _idefics2,
            {"image_token": "<image>", "image_boundary_token": "<fake_token_around_image>"},
            ("<end_of_utterance>",),
        ),
    ],
)
def test_processor_that_rewrites_text_in_silence_is_refused_before_training(
    build_one: Any, named: dict[str, str], others: tuple[str, ...], data_folder: Path, tmp_path: Path
) -> None:
    """Their answers would be looked for in the wrong places, and other tokens be trained."""
    tiny = Tiny(VICUNA_TEMPLATE, "</s>", named, others, build_one)
    model, processor = tiny.make(dialogue_texts(some_dialogues()))
    model.save_pretrained(tmp_path / "m")
    processor.save_pretrained(tmp_path / "m")
    with pytest.raises(ValueError, match="Processor rewrites the text around images and doesn't tell where"):
        train(settings(data_folder, tmp_path / "o", model=str(tmp_path / "m"), packing=False, attention="auto"))


def test_dialogue_without_an_image_is_refused_by_a_model_that_cross_attends(
    dialogues: list[Dialogue], tmp_path: Path
) -> None:
    words = Dialogue("words", (Turn(("Only words?",), "Only words."),))
    write_dataset([*dialogues[:3], words], tmp_path / "d")
    final = train(settings(tmp_path / "d", tmp_path / "o", model=str(build("mllama", tmp_path / "m")), max_steps=1))
    assert json.loads((final / "training.json").read_text())["run"]["rows_skipped"] == {"no_image": 1}


def test_layers_that_attend_within_chunks_are_not_given_to_a_kernel_that_can_not() -> None:
    text = SimpleNamespace(layer_types=["chunked_attention", "full_attention"], head_dim=32)
    assert choose_attention(TrainConfig(model="m"), text, None)[0] == "sdpa"
