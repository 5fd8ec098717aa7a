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


def measured(config: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[int, int]:
    """Bytes of weights and of what torch's allocator holds at most above them in the first step; of the optimizer."""
    found: list[int] = []
    plain = DialogueTrainer.training_step

    def step(self: Any, model: Any, inputs: Any, num_items_in_batch: Any = None) -> Any:
        found.append(sum(parameter.nbytes for parameter in model.parameters()))
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

    def show_run(self: Any) -> dict[str, Any]:
        states = self.optimizer.state.values()
        found.append(sum(value.nbytes for state in states for value in state.values() if value.ndim))
        return shown(self)

    shown = DialogueTrainer.show_run
    monkeypatch.setattr(DialogueTrainer, "training_step", step)
    monkeypatch.setattr(DialogueTrainer, "show_run", show_run)
    train(config)
    return found[0] + found[1], found[2]


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
    train(settings(data_folder, tmp_path / "dry", dry_run=True, max_steps=1, **changed))
    predicted = json.loads((tmp_path / "dry" / "dry_run.json").read_text())["memory"]
    assert set(predicted) == {"weights", "gradients", "optimizer", "activations"}
    peak, optimizer = measured(settings(data_folder, tmp_path / "run", max_steps=1, **changed), monkeypatch)
    assert predicted.pop("optimizer") == pytest.approx(optimizer, rel=0.01)
    assert sum(predicted.values()) == pytest.approx(peak, rel=0.1)
