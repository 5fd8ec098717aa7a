"""python -m benchmarks.training_throughput: trained tokens per second on the CPU, ours packed against TRL's SFTTrainer.

Tiny models of two families, dialogues with the lengths of the paper's Table 1 (scaled by --scale), the same global
batch size and trained tokens in every arm. Arms run one after another in this process, one thread.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.training_arms import run_ours, run_trl
from benchmarks.training_dialogues import table_1_mix
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.load import load_dialogues
from training.data.encode import Encoder
from training.families import load_family
from training.model.tiny import build_tiny

A_STEP = 8  # dialogues
BATCH = 4


def compare(name: str, folder: Path) -> None:
    """Print one JSON line per arm, and the ratios."""
    dialogues = list(load_dialogues(str(folder)))

    def build() -> tuple[Any, Any]:
        return build_tiny(load_family(name), dialogues, seed=0)

    encoded = [Encoder(build()[1]).encode(dialogue) for dialogue in dialogues]
    trained = sum(one.num_trained for one in encoded)
    lengths = {one.id: len(one) for one in encoded}
    bin_tokens = BATCH * sum(lengths.values()) // len(lengths)  # the mean number of tokens of TRL's micro-batch
    seconds = {}
    for arm in ("trl", "trl_grouped", "ours"):
        if arm == "ours":
            measured = run_ours(build, name, folder, A_STEP, bin_tokens, "varlen", gradient_checkpointing=False)
        else:
            grouped = lengths if arm == "trl_grouped" else None
            measured = run_trl(build, name, folder, A_STEP, BATCH, grouped, gradient_checkpointing=False)
        seconds[arm] = measured.seconds
        line = {"family": name, "arm": arm, "trained_tokens_a_second": round(trained / measured.seconds)}
        line |= {"real_token_share": round(measured.real_token_share, 3), "seconds": round(measured.seconds, 1)}
        print(json.dumps(line), flush=True)
    ratios = {f"ours_over_{arm}": round(seconds[arm] / seconds["ours"], 2) for arm in ("trl", "trl_grouped")}
    print(json.dumps({"family": name} | ratios), flush=True)


def main() -> None:
    """Run all families."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dialogues", type=int, default=24)
    parser.add_argument("--scale", type=float, default=0.5, help="of Table 1's lengths")
    parser.add_argument("--families", nargs="+", default=["ovis2", "qwen2_5_vl"])
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    folder = Path(tempfile.mkdtemp()) / "data"
    write_dataset(table_1_mix(np.random.default_rng(0), arguments.dialogues, arguments.scale, 320), folder)
    for name in arguments.families:
        compare(name, folder)


if __name__ == "__main__":
    main()
