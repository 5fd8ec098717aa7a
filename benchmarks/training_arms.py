"""The arms of the training benchmarks: an epoch with stock TRL, grouped by length or not, and with ours, packed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch
from datasets import Image, List
from trl import SFTConfig, SFTTrainer

from mmcr_dataset.record.load import load_rows
from training.config import TrainConfig
from training.data.collate import Collator
from training.data.encode import Encoder
from training.data.packing import rope_of
from training.data.step_loader import plan_steps
from training.families import load_family
from training.families.family import QWEN_IMAGE, trl_template
from training.model.varlen import register_varlen
from training.run.meter import Meter
from training.run.token_counts import TokenCounts
from training.sft_settings import to_sft_config
from training.trainer import DialogueTrainer

Build = Callable[[], tuple[Any, Any]]


class Measured(NamedTuple):
    """An epoch: seconds, share of tokens that aren't padding, peak GPU memory (0 without a GPU)."""

    seconds: float
    real_token_share: float
    peak_gb: float


class Counted:
    """A collator that counts tokens with and without padding; needs `num_workers` 0."""

    def __init__(self, collate: Any) -> None:
        self.collate = collate
        self.real = 0
        self.positions = 0

    def __call__(self, examples: list[dict[str, Any]]) -> Any:
        """Collate and count."""
        out = self.collate(examples)
        self.real += int(out["attention_mask"].sum())
        self.positions += out["attention_mask"].numel()
        return out


def training_template(name: str) -> str:
    """TRL's chat template with `{% generation %}` around answers, their ends and the line break, for a family."""
    known = {"ovis2": "qwen2_5_vl", "llava_onevision": "qwen3_vl"}.get(name, name)
    return trl_template(f"{known}_training").replace(QWEN_IMAGE, QWEN_IMAGE if known == name else "<image>")


def timed(run: Callable[[], Any]) -> tuple[float, float]:
    """Seconds and peak GB of a call."""
    gpu = torch.cuda.is_available()
    if gpu:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        torch.cuda.synchronize()
    begin = time.perf_counter()
    run()
    if gpu:
        torch.cuda.synchronize()
    return time.perf_counter() - begin, torch.cuda.max_memory_allocated() / 1e9 if gpu else 0.0


def run_trl(
    build: Build, name: str, folder: Path, a_step: int, batch: int, lengths: dict[str, int] | None,
    gradient_checkpointing: bool,
) -> Measured:  # fmt: skip
    """Stock TRL with padded batches.

    Args:
        build: builds model and processor.
        name: the family.
        folder: folder of the data.
        a_step: global batch size, in dialogues.
        batch: micro-batch size, in dialogues.
        lengths: tokens by row id, to group dialogues by length; None for random batches.
        gradient_checkpointing: recompute activations in the backward pass.
    """
    model, processor = build()
    processor.chat_template = training_template(name)
    rows = load_rows(str(folder)).cast_column("images", List(Image(decode=True)))
    if lengths is not None:
        rows = rows.add_column("length", [lengths[row_id] for row_id in rows["id"]])
    gpu = torch.cuda.is_available()
    args = SFTConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=batch, gradient_accumulation_steps=a_step // batch,
        num_train_epochs=1, learning_rate=1e-5, logging_steps=1, report_to="none", use_cpu=not gpu, bf16=gpu,
        save_strategy="no", disable_tqdm=True, max_length=None, assistant_only_loss=True,
        gradient_checkpointing=gradient_checkpointing, remove_unused_columns=False, dataloader_pin_memory=gpu,
        train_sampling_strategy="random" if lengths is None else "group_by_length",
    )  # fmt: skip
    trainer = SFTTrainer(model=model, args=args, train_dataset=rows, processing_class=processor)
    counted = trainer.data_collator = Counted(trainer.data_collator)
    seconds, peak_gb = timed(trainer.train)
    return Measured(seconds, counted.real / counted.positions, peak_gb)


def run_ours(
    build: Build, name: str, folder: Path, a_step: int, bin_tokens: int, attention: str, gradient_checkpointing: bool
) -> Measured:
    """Ours, packed, without padding; the time includes measuring lengths.

    Args:
        build: builds model and processor.
        name: the family.
        folder: folder of the data.
        a_step: global batch size, in dialogues.
        bin_tokens: maximum tokens of a bin.
        attention: attention implementation.
        gradient_checkpointing: recompute activations in the backward pass.
    """
    from training.model.trainable import checkpoint_parts

    family = load_family(name)
    model, processor = build()
    model.set_attn_implementation({"text_config": register_varlen() if attention == "varlen" else attention})
    if gradient_checkpointing:
        checkpoint_parts(model, family, list(family.parts))
    out = Path(tempfile.mkdtemp())
    config = TrainConfig(
        model=f"tiny:{name}", output_dir=str(out), global_batch_dialogues=a_step, bin_tokens=bin_tokens,
        learning_rate=1e-5,
    )  # fmt: skip
    rows = load_rows(str(folder))
    collator = Collator(Encoder(processor, uint8_pixels=family.uint8_pixels), family, True, rope_of(model))

    def run() -> None:
        trainer = DialogueTrainer(
            model=model, processing_class=processor, args=to_sft_config(config), train_dataset=rows,
            plan=plan_steps(config, rows, collator), log_path=out / "log.jsonl", counts=TokenCounts(Meter(), 0),
            data_collator=collator,
        )  # fmt: skip
        trainer.train()

    seconds, peak_gb = timed(run)
    return Measured(seconds, 1.0, peak_gb)
