from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from mmcr_dataset.record.dialogue import Dialogue, Turn
from training.data.encode import Encoded, Encoder
from training.data.loss_mask import NO_LOSS
from training.data.packing import fill_bins, pack, rope_of, spread_evenly
from training.families import family_names, load_family
from training.model.varlen import register_varlen

ATTENTIONS = ("sdpa", "eager", "varlen")


def spread(model: Any) -> None:
    """Random tables start so small that every context gives nearly the same logits; make contexts matter."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim >= 2:
                parameter.normal_(0, 0.15)


def set_attention(model: Any, attention: str) -> None:
    name = register_varlen() if attention == "varlen" else attention
    model.set_attn_implementation({"text_config": name})


def run(model: Any, name: str, dialogues: list[Encoded], attention: str) -> torch.Tensor:
    """Logits [L, V] of the dialogues in one packed row."""
    family = load_family(name)
    batch = pack(dialogues, rope_of(model))
    begins = batch.pop("cu_seq_lens")
    batch.pop("labels")
    if attention == "varlen":
        longest = int(begins.diff().max())
        batch |= {"cu_seq_lens_q": begins, "cu_seq_lens_k": begins, "max_length_q": longest, "max_length_k": longest}
    images = family.join_images([dialogue.images for dialogue in dialogues if dialogue.images])
    logits: torch.Tensor = model(**batch, **images, use_cache=False).logits[0]
    return logits


def run_alone(model: Any, dialogue: Encoded) -> torch.Tensor:
    """Logits [T, V] of one dialogue as any user of the model would get them."""
    types = {} if dialogue.token_types_T is None else {"mm_token_type_ids": dialogue.token_types_T[None]}
    logits: torch.Tensor = model(
        input_ids=dialogue.input_ids_T[None], **types, **dialogue.images, use_cache=False
    ).logits[0]
    return logits


@pytest.fixture
def packed_dialogues(dialogues: list[Dialogue]) -> list[Dialogue]:
    """Four dialogues of one to three images, and one of text alone in their midst."""
    words = Dialogue("words", (Turn(("Only words, no image?",), "Only words."), Turn(("Sure?",), "Yes.")))
    return [*dialogues[:2], words, *dialogues[2:4]]


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("name", family_names())
def test_packed_logits_are_those_of_separate_dialogues(
    name: str, attention: str, build_family: Callable[..., tuple[Any, Any]], packed_dialogues: list[Dialogue]
) -> None:
    model, processor = build_family(name)
    spread(model)
    model.eval()
    encoded = [Encoder(processor).encode(dialogue) for dialogue in packed_dialogues]
    with torch.no_grad():
        alone = torch.cat([run_alone(model, dialogue) for dialogue in encoded])
        set_attention(model, attention)
        packed = run(model, name, encoded, attention)
    assert alone.std() > 0.5, "logits too small to tell contexts apart"
    assert (packed - alone).abs().max() < 1e-5 * max(1.0, float(alone.abs().max()))


@pytest.mark.parametrize("attention", ATTENTIONS)
@pytest.mark.parametrize("name", family_names())
def test_packed_neighbour_changed_moves_no_bit_of_a_dialogue(
    name: str, attention: str, build_family: Callable[..., tuple[Any, Any]], packed_dialogues: list[Dialogue]
) -> None:
    model, processor = build_family(name)
    spread(model)
    model.eval()
    set_attention(model, attention)
    encoded = [Encoder(processor).encode(dialogue) for dialogue in packed_dialogues]
    changed_ids = encoded[0].input_ids_T.clone()
    plain = encoded[0].labels_T != NO_LOSS  # words only, so that images keep their places
    changed_ids[plain] = changed_ids[plain].flip(0)
    changed = [
        dataclasses.replace(
            encoded[0],
            input_ids_T=changed_ids,
            images={
                key: value.flip(-1) if key == "pixel_values" else value for key, value in encoded[0].images.items()
            },
        ),
        *encoded[1:],
    ]
    with torch.no_grad():
        before, after = run(model, name, encoded, attention), run(model, name, changed, attention)
    begin = len(encoded[0])
    assert not torch.equal(before[:begin], after[:begin])
    assert torch.equal(before[begin:], after[begin:])


def test_pack_positions_start_again_and_first_tokens_carry_no_loss() -> None:
    ids = [torch.arange(3), torch.arange(5)]
    batch = pack([Encoded("a", ids[0], ids[0]), Encoded("b", ids[1], ids[1])], None)
    assert batch["position_ids"].tolist() == [[0, 1, 2, 0, 1, 2, 3, 4]]
    assert batch["labels"].tolist() == [[NO_LOSS, 1, 2, NO_LOSS, 1, 2, 3, 4]]
    assert batch["cu_seq_lens"].tolist() == [0, 3, 8]
    assert "attention_mask" not in batch


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl"])
def test_m_rope_positions_are_the_models_and_go_to_workers_without_its_weights(
    name: str, build_family: Callable[..., tuple[Any, Any]], dialogues: list[Dialogue]
) -> None:
    model, processor = build_family(name)
    rope = rope_of(model)
    assert len(pickle.dumps(rope)) < 10_000
    encoded = [Encoder(processor).encode(dialogue) for dialogue in dialogues[:2]]
    positions_41L = pack(encoded, rope)["position_ids"]
    first, second = (
        model.model.get_rope_index(
            one.input_ids_T[None],
            mm_token_type_ids=one.token_types_T[None],  # type: ignore[index]
            image_grid_thw=one.images["image_grid_thw"],
        )[0][:, 0]
        for one in encoded
    )
    assert torch.equal(positions_41L[1:, 0], torch.cat([first, second], dim=1))
    assert positions_41L[0, 0].tolist() == [*range(len(encoded[0])), *range(len(encoded[1]))]


def test_spread_evenly_has_every_dialogue_once_and_bins_nearly_equal() -> None:
    rng = np.random.default_rng(0)
    lengths = [int(n) for n in rng.integers(900, 6000, 1024)]
    bins = spread_evenly(lengths, 136)
    assert sorted(index for one in bins for index in one) == list(range(1024))
    loads = [sum(lengths[index] for index in one) for one in bins]
    assert min(loads) > 0.9 * max(loads)


def test_spread_evenly_more_bins_than_dialogues_leaves_bins_empty() -> None:
    assert spread_evenly([5, 9], 3) == [[1], [0], []]


def test_fill_bins_no_bin_is_larger_than_its_room_and_every_dialogue_is_in_one() -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        room = int(rng.integers(1, 50))
        lengths = [int(n) for n in rng.integers(0, room + 1, rng.integers(1, 40))]
        bins = fill_bins(lengths, room)
        assert sorted(index for one in bins for index in one) == list(range(len(lengths)))
        loads = [sum(lengths[index] for index in one) for one in bins]
        assert max(loads) <= room
        assert loads == sorted(loads, reverse=True)


def test_fill_bins_share_of_real_tokens_at_16k_is_at_least_0_98() -> None:
    """A step of the paper's 1024 dialogues with the lengths of its Table 1."""
    rng = np.random.default_rng(0)
    shares = []
    for _ in range(20):
        single = 900 + 900 * rng.beta(3.3, 2.7, 690)
        multi = 1600 + 4400 * rng.beta(2.2, 2.8, 334)
        lengths = [int(n) for n in (*single, *multi)]
        shares.append(sum(lengths) / (16384 * len(fill_bins(lengths, 16384))))
    assert min(shares) >= 0.98
