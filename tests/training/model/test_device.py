"""Collate -> loss -> evaluation with a model on a GPU: no operation mixes tensors of host and GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import TrainingArguments

from benchmarks.training_families import build
from tests.training.fake_gpu import OnGpu, a_gpu, move_to_gpu
from tests.training.test_train import settings
from training.families import family_names
from training.train import train
from training.trainer import DialogueTrainer


def test_a_mix_of_host_and_gpu_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    there, here = OnGpu(torch.ones(3)), torch.ones(3)
    with a_gpu(monkeypatch, torch.bfloat16):
        assert (there + torch.arange(3, device=there.device)).tolist() == [1, 2, 3]
        assert (there + here.to(there.device)).is_cuda
        assert not (here + there.cpu()).is_cuda
        assert (there[:, None] @ there[None]).dtype == torch.bfloat16
        with pytest.raises(RuntimeError, match="host and GPU"):
            there + here


class Done(Exception):
    """The run is over."""


def run_on_gpu(trainer: Any, monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """What the trainer computes in its first step and in an evaluation, on the GPU."""
    monkeypatch.setattr(TrainingArguments, "device", torch.device("cuda", 0))
    monkeypatch.setattr("training.run.replies._MOST_TOKENS", 2)
    move_to_gpu(trainer.model)
    found = []
    with a_gpu(monkeypatch, torch.bfloat16):
        for batch in trainer.counts.passing(next(iter(trainer.get_train_dataloader())).batches):
            del batch["row_ids"]
            found.append(trainer.compute_loss(trainer.model, trainer._prepare_inputs(batch)))
        found.append(trainer.evaluation.run(trainer))
    return found


@pytest.mark.parametrize("name", [*family_names(), "internvl", "qwen2_vl", "gemma3", "llava_next"])
@pytest.mark.parametrize("packing", [True, False])
def test_a_step_and_an_evaluation_mix_no_tensors_of_host_and_gpu(
    name: str, packing: bool, data_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found: list[Any] = []

    def train_on_gpu(trainer: Any) -> None:
        found.extend(run_on_gpu(trainer, monkeypatch))
        raise Done

    monkeypatch.setattr(DialogueTrainer, "train", train_on_gpu)
    model = f"tiny:{name}" if name in family_names() else str(build(name, tmp_path / "m"))
    with pytest.raises(Done):
        train(
            settings(
                data_folder, tmp_path / "o", model=model, packing=packing, precision="bfloat16", max_steps=1,
                eval_percent=25, eval_replies=1,
            )
        )  # fmt: skip
    *losses, metrics = found
    assert losses
    assert all(loss.is_cuda and loss.dtype == torch.float32 and loss.isfinite().item() for loss in losses)
    assert metrics["eval_loss"] > 0
