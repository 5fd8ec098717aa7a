"""python -m benchmarks.gpu.training_full_size --out FILE.json: full-size models with random weights on one GPU.

Ovis2-1B and Qwen2.5-VL-3B, realistic lengths and image sizes: tokens per second without padding, estimated MFU, peak
memory; stock TRL (batch size 4 and 8, grouped by length) against ours packed (sdpa, varlen). `--tiny` runs the same
program with tiny models on any machine. Takes less than ten minutes on an H200.
"""

from __future__ import annotations

import argparse
import functools
import json
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.training_arms import Measured, run_ours, run_trl
from benchmarks.training_collate import full_size
from benchmarks.training_dialogues import make_dialogue
from mmcr_dataset.publish.parquet import write_dataset
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.load import load_dialogues
from training.data.encode import Encoder
from training.families import load_family
from training.model.tiny import build_tiny

A_STEP = 16  # dialogues
QWEN_VOCABULARY = 151936
TEXT = {  # true sizes of the language parts
    "ovis2": {
        "hidden_size": 896, "intermediate_size": 4864, "num_hidden_layers": 24, "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
    "qwen2_5_vl": {
        "hidden_size": 2048, "intermediate_size": 11008, "num_hidden_layers": 36, "num_attention_heads": 16,
        "num_key_value_heads": 2,
    },
}  # fmt: skip
VISION = {
    "ovis2": {
        "hidden_size": 1024, "intermediate_size": 2816, "num_hidden_layers": 24, "num_attention_heads": 8,
        "image_size": 448, "patch_size": 14, "vocab_size": 65536,
    },
    "qwen2_5_vl": {
        "depth": 32, "hidden_size": 1280, "intermediate_size": 3420, "num_heads": 16, "window_size": 112,
        "out_hidden_size": 2048, "fullatt_block_indexes": [7, 15, 23, 31],
    },
}  # fmt: skip


def build(name: str, dialogues: list[Dialogue], tiny: bool) -> tuple[Any, Any]:
    """A model with random weights and its processor, full-size unless `tiny`."""
    model, processor = build_tiny(load_family(name), dialogues, seed=0)
    if tiny:
        return model, processor
    full_size(name, processor)
    with torch.device("cuda"):
        return type(model)(full_size_config(name, model.config)), processor


def full_size_config(name: str, tiny_config: Any) -> Any:
    """The configuration of a tiny model with the full sizes."""
    config = tiny_config.to_dict()
    config["text_config"] |= TEXT[name] | {"vocab_size": QWEN_VOCABULARY}
    for derived in ("layer_types", "head_dim"):  # follow from the sizes
        config["text_config"].pop(derived, None)
    config["vision_config"] |= VISION[name]
    if name == "ovis2":
        config |= {"hidden_size": TEXT[name]["hidden_size"], "vocab_size": QWEN_VOCABULARY}
    else:
        config["text_config"]["rope_parameters"] |= {"mrope_section": [16, 24, 24]}
    return type(tiny_config)(**config)


def model_flops(model: Any, name: str, num_tokens: int, num_trained: int, num_patches: int) -> float:
    """FLOPs of an epoch, forward and backward, without attention scores: six per weight and token.

    Args:
        model: the model.
        name: its family.
        num_tokens: number of tokens.
        num_trained: number of tokens with loss.
        num_patches: number of image patches.
    """
    family = load_family(name)
    sizes = dict.fromkeys(("vision", "connector", "language"), 0)
    for parameter_name, parameter in model.named_parameters():
        if "embed_tokens" in parameter_name or parameter_name.startswith("lm_head"):
            continue
        part = next(part for part, prefixes in family.parts.items() if parameter_name.startswith(prefixes))
        sizes[part] += parameter.numel()
    head = model.get_output_embeddings().weight.numel()
    weights = sizes["language"] * num_tokens + head * num_trained
    return 6.0 * (weights + sizes["vision"] * num_patches + sizes["connector"] * num_patches / 4)


def compare(name: str, folder: Path, tiny: bool, peak_flops: float) -> list[dict[str, Any]]:
    """Run all arms of one family.

    Args:
        name: the family.
        folder: folder of the data.
        tiny: use a tiny model.
        peak_flops: peak FLOP/s of the GPU.
    """
    dialogues = list(load_dialogues(str(folder)))
    make = functools.partial(build, name, dialogues, tiny)
    model, processor = make()
    encoded = [Encoder(processor).encode(dialogue) for dialogue in dialogues]
    lengths = {one.id: len(one) for one in encoded}
    num_patches = sum(_count_patches(one.images["pixel_values"]) for one in encoded)
    flops = model_flops(model, name, sum(lengths.values()), sum(one.num_trained for one in encoded), num_patches)
    del model
    bin_tokens = 2000 if tiny else 16384
    arms: dict[str, Any] = {
        f"trl_batch_{batch}": functools.partial(run_trl, make, name, folder, A_STEP, batch, None, not tiny)
        for batch in (4, 8)
    }
    arms["trl_grouped_4"] = functools.partial(run_trl, make, name, folder, A_STEP, 4, lengths, not tiny)
    for attention in ("sdpa", "varlen"):
        arms[f"ours_{attention}"] = functools.partial(
            run_ours, make, name, folder, A_STEP, bin_tokens, attention, not tiny
        )
    results = []
    for arm, run in arms.items():
        result: dict[str, Any] = {"family": name, "arm": arm}
        try:
            measured: Measured = run()
            result |= {
                "real_tokens_a_second": round(sum(lengths.values()) / measured.seconds),
                "mfu_estimate": round(flops / measured.seconds / peak_flops, 4),
                "real_token_share": round(measured.real_token_share, 3),
                "peak_gb": round(measured.peak_gb, 1),
                "seconds": round(measured.seconds, 1),
            }
        except torch.OutOfMemoryError as error:
            result["failed"] = f"out of memory: {error}"
        print(json.dumps(result), flush=True)
        results.append(result)
    return results


def _count_patches(pixel_values: torch.Tensor) -> int:
    """Number of 14 px patches: [patches, values] (Qwen), or [tiles, 3, side, side] (Ovis2)."""
    if pixel_values.ndim == 2:
        return len(pixel_values)
    return pixel_values.shape[0] * (pixel_values.shape[-1] // 14) ** 2


def main() -> None:
    """Run all arms, print a line for each, write the results to a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--tiny", action="store_true")
    parser.add_argument("--dialogues", type=int, default=64)
    parser.add_argument("--families", nargs="+", default=["ovis2", "qwen2_5_vl"])
    parser.add_argument("--peak_tflops", type=float, default=989.0, help="of the GPU in bfloat16 (H100, H200: 989)")
    arguments = parser.parse_args()
    if not arguments.tiny and not torch.cuda.is_available():
        parser.error("needs a GPU; --tiny runs the same program anywhere")
    rng = np.random.default_rng(0)
    side_px = 100 if arguments.tiny else 1000
    dialogues = [
        make_dialogue(
            rng, n, int(rng.integers(700, 1100) if n % 3 == 2 else rng.integers(300, 500)), n % 3 == 2, side_px
        )
        for n in range(arguments.dialogues)
    ]
    folder = Path(tempfile.mkdtemp()) / "data"
    write_dataset(dialogues, folder)
    peak = arguments.peak_tflops * 1e12
    results = [line for name in arguments.families for line in compare(name, folder, arguments.tiny, peak)]
    card = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
    arguments.out.write_text(json.dumps({"card": card, "tiny": arguments.tiny, "results": results}, indent=1) + "\n")


if __name__ == "__main__":
    main()
