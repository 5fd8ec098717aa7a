"""python -m benchmarks.training_collate: CPU time from row to tensors, ours against TRL's vision collator.

Full-size processors (Ovis2: 448 px tiles, 256 tokens each; Qwen2.5-VL: up to 1024 tokens per image), one thread. Both
start from the stored row and decode its JPEGs, and have the same ids and labels but for the line break after an answer,
which TRL trains; `images_alone_ms` is decoding and TRL's image processor alone;
`to_floats_ms` is the part that ours leaves to the device, on this CPU. The last line of a family is the mean over the
mix of the paper's Table 1: 210,000 single-image and 100,000 multi-image dialogues.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import torch

from benchmarks.training_arms import training_template
from benchmarks.training_dialogues import make_dialogue
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.row import to_row
from training.data.collate import Collator
from training.data.encode import Encoder
from training.data.lengths import Measurer
from training.data.loss_mask import NO_LOSS
from training.data.packing import rope_of
from training.data.pixels import rescale_and_normalize
from training.families import load_family
from training.model.tiny import build_tiny

MIX = (210_000, 100_000)  # dialogues with one image and with several, paper Table 1
MEASURED = ("trl_ms", "ours_ms")


def cpu_ms(call: Callable[[], Any], repeats: int) -> float:
    """Median CPU milliseconds of a call, after a warm-up."""
    call()
    times = []
    for _ in range(repeats):
        begin = time.process_time()
        call()
        times.append(1000 * (time.process_time() - begin))
    return float(np.median(times))


def full_size(name: str, processor: Any) -> None:
    """Set the full sizes in a tiny model's processor."""
    if name == "ovis2":
        processor.image_processor.size = {"height": 448, "width": 448}
        processor.image_seq_length = 256
    else:
        processor.image_processor.size = {"shortest_edge": 256 * 28 * 28, "longest_edge": 1024 * 28 * 28}


def compare(name: str, dialogue: Dialogue, repeats: int) -> dict[str, Any]:
    """One family, one dialogue."""
    from trl.trainer.sft_trainer import DataCollatorForVisionLanguageModeling

    family = load_family(name)
    model, processor = build_tiny(family, [dialogue], seed=0)
    full_size(name, processor)
    row = to_row(dialogue)
    encoder = Encoder(processor, uint8_pixels=family.uint8_pixels)
    ours = Collator(encoder, family, packing=True, rope=rope_of(model))
    for_trl = copy.copy(processor)
    for_trl.chat_template = training_template(name)
    theirs = DataCollatorForVisionLanguageModeling(for_trl, assistant_only_loss=True)

    def run_theirs() -> dict[str, Any]:
        images = [decode_rgb(image["bytes"]) for image in row["images"]]
        return dict(theirs([{"messages": row["messages"], "images": images}]))

    def images_alone() -> Any:
        return processor.image_processor([[decode_rgb(one["bytes"]) for one in row["images"]]], return_tensors="pt")

    our_batch, trl_batch = ours([row]), run_theirs()
    after_end = trl_batch["input_ids"][:, :-1] == processor.tokenizer.eos_token_id
    trl_batch["labels"][:, 1:][after_end] = NO_LOSS  # the line break after an answer, which TRL trains
    same = all(torch.equal(our_batch[key], trl_batch[key]) for key in ("input_ids", "labels"))
    ours_ms, theirs_ms = cpu_ms(lambda: ours([row]), repeats), cpu_ms(run_theirs, repeats)
    pixels = ours([row])["pixel_values"]
    floats_ms = cpu_ms(lambda: rescale_and_normalize(pixels, processor.image_processor), repeats)
    images_ms = cpu_ms(images_alone, repeats)
    return {
        "family": name,
        "turns": len(dialogue.turns),
        "images": len(dialogue.images),
        "tokens": ours([row])["input_ids"].shape[1],
        "same_ids_and_labels": same,
        "trl_ms": round(theirs_ms, 1),
        "ours_ms": round(ours_ms, 1),
        "to_floats_ms": round(floats_ms, 1),
        "images_alone_ms": round(images_ms, 1),
        "decode_ms": round(cpu_ms(lambda: [decode_rgb(one["bytes"]) for one in row["images"]], repeats), 1),
        "measure_ms": round(cpu_ms(lambda: Measurer(ours.encoder, family).measure(row), repeats), 1),
        "ratio": round(theirs_ms / ours_ms, 2),
    }


def main() -> None:
    """Print one JSON line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    rng = np.random.default_rng(0)
    single = make_dialogue(rng, 1, 400, multi=False, side_px=1000)
    multi = make_dialogue(rng, 2, 900, multi=True, side_px=1000)
    for name in ("ovis2", "qwen2_5_vl"):
        kinds = [compare(name, dialogue, arguments.repeats) for dialogue in (single, multi)]
        mean = {key: round(float(np.average([kind[key] for kind in kinds], weights=MIX)), 1) for key in MEASURED}
        mean |= {"family": name, "ratio": round(mean["trl_ms"] / mean["ours_ms"], 2)}
        for result in (*kinds, mean):
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
