"""The memory that a dry run predicts against what a run on the CPU allocates."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from tests.training.test_train import settings
from training.data.step_loader import Step
from training.train import train
from training.trainer import DialogueTrainer


def measured_peak(config: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """Bytes of the weights, and of what torch's allocator holds at most above them in the second step."""
    found: list[int] = []
    plain = DialogueTrainer.training_step

    def step(self: Any, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        if self.state.global_step != 1:
            return plain(self, model, inputs, num_items_in_batch)
        held = [*model.parameters(), *(v for s in self.optimizer.state.values() for v in s.values())]
        found.append(sum(tensor.nbytes for tensor in held))
        inputs = Step(inputs.num_batches, iter(list(inputs.batches)))  # encoded before it is measured
        with torch.profiler.profile(profile_memory=True) as profiler:
            loss = plain(self, model, inputs, num_items_in_batch)
        live = peak = 0
        for event in sorted(profiler.profiler.kineto_results.events(), key=lambda event: event.start_ns()):
            if event.name() == "[memory]":
                live += event.nbytes()
                peak = max(peak, live)
        found.append(peak)
        return loss

    monkeypatch.setattr(DialogueTrainer, "training_step", step)
    train(config)
    return sum(found)


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"bin_tokens": 2500, "global_batch_dialogues": 8},
        {"lora_rank": 4},
        {"freeze": ["vision"]},
        {"gradient_checkpointing": "all"},
        {"gradient_checkpointing": "vision", "model": "tiny:qwen3_vl"},
        {"packing": False, "attention": "auto", "micro_batch_dialogues": 2, "model": "tiny:smolvlm"},
        {"precision": "bfloat16", "model": "tiny:llava_onevision"},
    ],
)
def test_dry_run_predicts_the_peak_within_15_percent(
    changed: dict[str, Any], data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = settings(data_folder, tmp_path / "dry", dry_run=True, max_steps=2, **changed)
    train(config)
    predicted = json.loads((tmp_path / "dry" / "dry_run.json").read_text())["memory"]
    assert set(predicted) == {"weights", "gradients", "optimizer", "activations"}
    config = settings(data_folder, tmp_path / "run", max_steps=2, **changed)
    measured = measured_peak(config, monkeypatch)
    assert sum(predicted.values()) == pytest.approx(measured, rel=0.15)
