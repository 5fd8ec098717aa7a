"""python -m benchmarks.training_throughput: trained tokens a second on the CPU, ours packed against TRL's SFTTrainer.

Tiny models of two families, dialogues with the lengths of the paper's Table 1 (scaled by --scale), the same dialogues a
step and the same trained tokens in every arm. One process after another inside this one, one thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from datasets import Image, List
from trl import SFTConfig, SFTTrainer

from benchmarks.training_dialogues import table_1_mix
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.rows import load_dialogues, load_rows
from training.collate import Collator
from training.config import TrainConfig
from training.encode import Encoder
from training.families import load_family
from training.loss_mask import NO_LOSS
from training.packing import rope_index_of
from training.steps import plan_steps
from training.tiny import build_tiny
from training.trainer import DialogueTrainer, to_sft_config
from training.varlen import register_varlen

A_STEP = 8  # dialogues


def trl_arm(name: str, folder: Path, batch: int, grouped: bool, lengths: dict[str, int]) -> tuple[float, float]:
    """Seconds of an epoch with stock TRL, and the share of real tokens among all positions."""
    model, processor = build_tiny(load_family(name), load_dialogues(str(folder)), 0)
    rows = load_rows(str(folder)).cast_column("images", List(Image(decode=True)))
    rows = rows.add_column("length", [lengths[row_id] for row_id in rows["id"]])
    seen = [0, 0]
    args = SFTConfig(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=batch, gradient_accumulation_steps=A_STEP // batch,
        num_train_epochs=1, learning_rate=1e-4, logging_steps=1, report_to="none", use_cpu=True, bf16=False,
        save_strategy="no", disable_tqdm=True, max_length=None, assistant_only_loss=True, gradient_checkpointing=False,
        remove_unused_columns=False, dataloader_pin_memory=False,
        train_sampling_strategy="group_by_length" if grouped else "random",
    )  # fmt: skip
    trainer = SFTTrainer(model=model, args=args, train_dataset=rows, processing_class=processor)
    collate = trainer.data_collator

    def counted(examples: list[dict[str, Any]]) -> Any:
        out = collate(examples)
        seen[0] += int(out["attention_mask"].sum())
        seen[1] += out["attention_mask"].numel()
        return out

    trainer.data_collator = counted
    begin = time.perf_counter()
    trainer.train()
    return time.perf_counter() - begin, seen[0] / seen[1]


def our_arm(name: str, folder: Path, bin_tokens: int) -> tuple[float, float]:
    """Seconds of an epoch of ours, and the share of real tokens: 1, for a packed row has no padding."""
    family = load_family(name)
    model, processor = build_tiny(family, load_dialogues(str(folder)), 0)
    model.set_attn_implementation({"text_config": register_varlen()})
    out = Path(tempfile.mkdtemp())
    config = TrainConfig(
        model=f"tiny:{name}", output_dir=str(out), global_batch_dialogues=A_STEP, bin_tokens=bin_tokens,
        learning_rate=1e-4, precision="float32",
    )  # fmt: skip
    rows = load_rows(str(folder))
    encoder = Encoder(processor)
    begin = time.perf_counter()  # the measuring of lengths counts
    plan = plan_steps(config, rows, encoder, 1)
    trainer = DialogueTrainer(
        model=model, processing_class=processor, args=to_sft_config(config, plan.micro_batches), train_dataset=rows,
        data_collator=Collator(encoder, family, True, rope_index_of(family, model.config)), plan=plan,
        log_path=out / "log.jsonl", skipped_max=0,
    )  # fmt: skip
    trainer.train()
    return time.perf_counter() - begin, 1.0


def main() -> None:
    """Print one JSON line an arm, and the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialogues", type=int, default=24)
    parser.add_argument("--scale", type=float, default=0.5, help="of Table 1's lengths")
    parser.add_argument("--families", nargs="+", default=["ovis2", "qwen2_5_vl"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp()) / "data"
    write_dataset(table_1_mix(np.random.default_rng(0), arguments.dialogues, arguments.scale, 320), folder)
    for name in arguments.families:
        _, processor = build_tiny(load_family(name), load_dialogues(str(folder)), 0)
        encoded = [Encoder(processor).encode(dialogue) for dialogue in load_dialogues(str(folder))]
        trained = sum(int((one.labels_T != NO_LOSS).sum()) for one in encoded)
        lengths = {one.id: len(one) for one in encoded}
        bin_tokens = 4 * sum(lengths.values()) // len(lengths)  # as many real tokens at once as four padded dialogues
        arms = {
            "trl": lambda name=name, lengths=lengths: trl_arm(name, folder, 4, False, lengths),
            "trl_grouped": lambda name=name, lengths=lengths: trl_arm(name, folder, 4, True, lengths),
            "ours": lambda name=name, bin_tokens=bin_tokens: our_arm(name, folder, bin_tokens),
        }
        seconds = {}
        for arm, run in arms.items():
            seconds[arm], real = run()
            print(
                json.dumps({
                    "family": name, "arm": arm, "trained_tokens_a_second": round(trained / seconds[arm]),
                    "real_token_share": round(real, 3), "seconds": round(seconds[arm], 1),
                }),
                flush=True,
            )  # fmt: skip
        print(json.dumps({
            "family": name, "ours_over_trl": round(seconds["trl"] / seconds["ours"], 2),
            "ours_over_trl_grouped": round(seconds["trl_grouped"] / seconds["ours"], 2),
        }), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
