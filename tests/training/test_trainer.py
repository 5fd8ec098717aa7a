from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.load import load_rows
from training.config import TrainConfig
from training.data.collate import Collator, LossAverage
from training.data.encode import Encoder
from training.data.packing import rope_of, spread_evenly
from training.data.row_order import ShuffledRows
from training.data.steps import StepPlan
from training.families import family_names, load_family
from training.model.varlen import register_varlen
from training.run.meter import Meter
from training.run.token_counts import TokenCounts
from training.sft_settings import to_sft_config
from training.trainer import DialogueTrainer

ALL = 8  # dialogues of the fixture, one step


def train_one_step(
    family: str,
    built: tuple[Any, Any],
    data_folder: Path,
    out: Path,
    micro_batches: int,
    packing: bool,
    average: LossAverage = "token",
    uint8_pixels: bool = True,
) -> tuple[float, dict[str, torch.Tensor]]:
    """Loss and weights after one plain gradient step over all dialogues."""
    model, processor = built
    config = TrainConfig(
        model=f"tiny:{family}", output_dir=str(out), learning_rate=0.1, lr_schedule="constant", max_grad_norm=0.0,
        precision="float32", max_steps=1, packing=packing, attention="varlen" if packing else "sdpa",
    )  # fmt: skip
    model.set_attn_implementation({"text_config": register_varlen() if packing else "sdpa"})
    args = to_sft_config(config)
    args.optim = "sgd"
    rows = load_rows(str(data_folder))
    trainer = DialogueTrainer(
        model=model, processing_class=processor, args=args, train_dataset=rows,
        data_collator=Collator(
            Encoder(processor, uint8_pixels=uint8_pixels and load_family(family).uint8_pixels),
            load_family(family), packing,
            rope_of(model) if packing else None, average,
        ),
        plan=StepPlan(ShuffledRows(len(rows)), ALL, lambda rows, _: spread_evenly([1] * len(rows), micro_batches)),
        log_path=out / "log.jsonl", counts=TokenCounts(Meter(), 0),
    )  # fmt: skip
    trainer.train()
    return trainer.state.log_history[0]["loss"], {name: p.detach().clone() for name, p in model.named_parameters()}


def farthest(first: dict[str, torch.Tensor], second: dict[str, torch.Tensor]) -> float:
    """Largest difference of two sets of weights, relative to the largest weight of each tensor."""
    return max(float((first[n] - second[n]).abs().max() / first[n].abs().max().clamp(min=1e-3)) for n in first)


@pytest.mark.parametrize("family", [name for name in family_names() if load_family(name).uint8_pixels])
def test_step_is_the_same_to_the_bit_with_pixels_as_bytes(
    family: str, build_family: Callable[..., tuple[Any, Any]], data_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    in_bytes, in_floats = (
        train_one_step(family, build_family(family), data_folder, tmp_path / "out", 2, True, uint8_pixels=as_bytes)
        for as_bytes in (True, False)
    )
    assert in_bytes[0] == in_floats[0]
    assert farthest(in_bytes[1], in_floats[1]) == 0


@pytest.mark.parametrize("family", family_names())
def test_step_is_the_same_however_it_is_cut_padded_or_packed(
    family: str, build_family: Callable[..., tuple[Any, Any]], data_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    start = {n: p.detach().clone() for n, p in build_family(family)[0].named_parameters()}
    results = [
        train_one_step(family, build_family(family), data_folder, tmp_path / "out", micro_batches, packing)
        for micro_batches, packing in ((1, False), (4, False), (ALL, False), (1, True), (3, True), (ALL + 2, True))
    ]
    loss, weights = results[0]
    assert farthest(start, weights) > 1e-4
    for other_loss, other_weights in results[1:]:
        assert other_loss == pytest.approx(loss, abs=1e-5)
        assert farthest(weights, other_weights) < 1e-6


@pytest.mark.parametrize("average", ["dialogue", "square_root"])
def test_step_with_weighted_dialogues_is_the_same_however_it_is_cut(
    average: LossAverage, build_family: Callable[..., tuple[Any, Any]], data_folder: Path, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    results = [
        train_one_step("ovis2", build_family("ovis2"), data_folder, tmp_path / "out", micro_batches, packing, average)
        for micro_batches, packing in ((1, False), (4, False), (3, True))
    ]
    for other_loss, other_weights in results[1:]:
        assert other_loss == pytest.approx(results[0][0], abs=1e-5)
        assert farthest(results[0][1], other_weights) < 1e-6


@pytest.mark.parametrize("average", ["token", "dialogue", "square_root"])
def test_step_loss_is_the_mean_it_says(
    average: LossAverage,
    build_family: Callable[..., tuple[Any, Any]],
    dialogues: list[Dialogue],
    data_folder: Path,
    tmp_path: Path,
) -> None:
    (tmp_path / "out").mkdir()
    model, processor = build_family("ovis2")
    sums, counts = [], []
    for dialogue in dialogues:
        encoded = Encoder(processor).encode(dialogue)
        with torch.no_grad():
            logits = model(input_ids=encoded.input_ids_T[None], **encoded.images).logits[0, :-1]
        total = torch.nn.functional.cross_entropy(logits, encoded.labels_T[1:], reduction="sum")
        sums.append(float(total))
        counts.append(encoded.num_trained)
    power = {"token": 0.0, "square_root": -0.5, "dialogue": -1.0}[average]
    expected = sum(s * n**power for s, n in zip(sums, counts, strict=True)) / sum(n ** (1 + power) for n in counts)
    loss, _ = train_one_step("ovis2", (model, processor), data_folder, tmp_path / "out", 2, True, average)
    assert loss == pytest.approx(expected, abs=1e-5)
