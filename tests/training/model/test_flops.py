from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.row import to_row
from tests.training.test_train import read_log, settings
from training.config import TrainConfig
from training.data.collate import Collator
from training.data.encode import Encoder
from training.data.loss_mask import NO_LOSS
from training.families import family_names, load_family
from training.model.flops import flop_formula
from training.model.trainable import add_lora, freeze_parts
from training.run.meter import Meter, peak_flops
from training.train import train

NOT_FOR_THE_MODEL = ("labels", "loss_weights", "skipped", "real_tokens")


def counted(model: Any, batch: dict[str, Any]) -> int:
    """Operations that torch sees, forward and back, the head on trained tokens only."""
    inputs = {name: value for name, value in batch.items() if name not in NOT_FOR_THE_MODEL}
    core = model.get_base_model() if hasattr(model, "get_base_model") else model
    with FlopCounterMode(display=False) as counter:
        hidden_BTD = core.model(**inputs, use_cache=False).last_hidden_state
        core.get_output_embeddings()(hidden_BTD[batch["labels"] != NO_LOSS]).sum().backward()
    return int(counter.get_total_flops())


@pytest.mark.parametrize("frozen", [[], ["vision"], ["language"], ["lora"]], ids=" ".join)
@pytest.mark.parametrize("name", family_names())
def test_flop_formula_is_within_a_tenth_of_the_operations_counted(
    name: str, frozen: list[str], build_family: Callable[..., tuple[Any, Any]], dialogues: list[Dialogue]
) -> None:
    family = load_family(name)
    model, processor = build_family(name)
    model.set_attn_implementation("eager")  # torch counts no other kind on a CPU
    if frozen == ["lora"]:
        model = add_lora(model, family, TrainConfig(model="tiny:any", lora_rank=4))
    else:
        freeze_parts(model, family, frozen)
    batch = Collator(Encoder(processor), family)([to_row(dialogue) for dialogue in dialogues[:1]])
    assert flop_formula(model, family).count(batch) == pytest.approx(counted(model, batch), rel=0.1)


def test_flop_formula_of_a_packed_batch_is_that_of_its_dialogues(
    build_family: Callable[..., tuple[Any, Any]], dialogues: list[Dialogue]
) -> None:
    family = load_family("ovis2")
    model, processor = build_family("ovis2")
    formula = flop_formula(model, family)
    packed = Collator(Encoder(processor), family, packing=True)([to_row(dialogue) for dialogue in dialogues])
    alone = [Collator(Encoder(processor), family)([to_row(dialogue)]) for dialogue in dialogues]
    assert formula.count(packed) == pytest.approx(sum(map(formula.count, alone)))


def test_meter_reads_rates_since_the_last_reading_and_the_share_of_all_peaks(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([100.0, 110.0, 130.0])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    meter = Meter(peak_flops=50.0, num_processes=2)
    meter.add(300, 1000, 400.0)
    first = meter.read(steps_left=5, steps_read=1)
    assert (first["trained_tokens_a_second"], first["real_tokens_a_second"], first["mfu"]) == (30.0, 100.0, 0.4)
    assert first["seconds_left"] == 50.0
    meter.add(20, 40, 0.0)
    assert meter.read(steps_left=0, steps_read=1)["real_tokens_a_second"] == 2.0


def test_train_tells_the_share_of_a_peak_that_is_given(data_folder: Path, tmp_path: Path, caplog: Any) -> None:
    caplog.set_level("INFO", logger="training")
    train(settings(data_folder, tmp_path / "o", max_steps=1, peak_tflops=0.001))
    assert read_log(tmp_path / "o")[0]["mfu"] > 0
    assert "% of peak" in caplog.text


@pytest.mark.parametrize(
    ("name", "given", "expected"),
    [
        ("NVIDIA H200", 0.0, 989e12), ("NVIDIA H100 PCIe", 0.0, 756e12), ("NVIDIA A100-SXM4-80GB", 0.0, 312e12),
        ("Some other card", 0.0, None), ("Some other card", 2.0, 2e12), (None, 0.0, None), (None, 2.0, 2e12),
    ],
)  # fmt: skip
def test_peak_of_a_card_is_the_given_one_or_that_of_its_name(
    name: str | None, given: float, expected: float | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.cuda.is_available", lambda: name is not None)
    monkeypatch.setattr("torch.cuda.get_device_name", lambda: name)
    assert peak_flops(given) == expected
