"""Overhead of the CLIP stage: dialogues per second of ours against a batched loop with open_clip.

    python -m benchmarks.dataset_clip [--model ViT-B-32] [--dialogues 200] [--repeats 3]

Both sides decode the same JPEGs, preprocess, tokenize and encode the same images and texts with the same random
weights and batch size; ours also extracts the texts from the dialogues, scores them and writes shards.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import open_clip
import torch
from PIL import Image

from mmcr_dataset.filters.clip_match import BATCH, OpenClipMatcher, score_dialogues, texts_about
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from mmcr_dataset.stage.stages import write_jsonl

_SHARD = 100


def make_dialogues(count: int, side_px: int = 640) -> list[Dialogue]:
    """Dialogues of two images and eight turns, with unique texts."""
    rng = np.random.default_rng(0)
    dialogues = []
    for number in range(count):
        images = []
        for _ in range(2):
            small = Image.fromarray(rng.integers(0, 255, (40, 40, 3), dtype=np.uint8))
            buffer = io.BytesIO()
            small.resize((side_px, side_px * 3 // 4), Image.Resampling.BICUBIC).save(buffer, "JPEG", quality=88)
            images.append(DialogueImage(buffer.getvalue()))
        turns = [
            Turn(
                introduce([turn + 1] if turn < 2 else [], f"What is at place {turn}?"),
                f"Image {turn % 2 + 1} shows thing {number} at place {turn}.",
            )
            for turn in range(8)
        ]
        dialogues.append(Dialogue(f"{number:032x}", tuple(turns), tuple(images)))
    return dialogues


def ours(dialogues: Sequence[Dialogue], matcher: OpenClipMatcher, folder: Path) -> None:
    """Shard by shard, as in the build."""
    for start in range(0, len(dialogues), _SHARD):
        shard = dialogues[start : start + _SHARD]
        scores = score_dialogues(shard, matcher)
        rows = [{"id": d.id, "similarity": s} for d, s in zip(shard, scores, strict=True)]
        write_jsonl(folder / f"{start // _SHARD:05d}.jsonl", rows)


def bare(
    dialogues: Sequence[Dialogue],
    model: torch.nn.Module,
    preprocess: Callable[[Image.Image], torch.Tensor],
    tokenize: Callable[[list[str]], torch.Tensor],
) -> None:
    """A plain loop with open_clip: decode, preprocess, encode.

    Args:
        dialogues: the dialogues.
        model: the CLIP model.
        preprocess: image -> pixels, shape [3, H, W].
        tokenize: texts -> token ids, shape [B, T].
    """
    device = next(model.parameters()).device
    data = [image.data for dialogue in dialogues for image in dialogue.images]
    texts = [text for d in dialogues for n in range(len(d.images)) for text in texts_about(d, n + 1)]
    with torch.inference_mode():
        for start in range(0, len(data), BATCH):
            pixels = [preprocess(Image.open(io.BytesIO(one)).convert("RGB")) for one in data[start : start + BATCH]]
            model.encode_image(torch.stack(pixels).to(device), normalize=True)
        for start in range(0, len(texts), BATCH):
            model.encode_text(tokenize(texts[start : start + BATCH]).to(device), normalize=True)


def main() -> None:
    """Run both alternately; prints the best of each and the ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--model", default="ViT-B-32")
    parser.add_argument("--dialogues", type=int, default=200)
    parser.add_argument("--repeats", type=int, default=3)
    args = parser.parse_args()
    dialogues = make_dialogues(args.dialogues)
    with tempfile.TemporaryDirectory() as name:
        torch.manual_seed(0)
        model, _, preprocess = open_clip.create_model_and_transforms(args.model)
        torch.save(model.state_dict(), f"{name}/weights.pt")
        matcher = OpenClipMatcher(args.model, f"{name}/weights.pt")
        model = model.to("cuda" if torch.cuda.is_available() else "cpu").eval()
        tokenize = open_clip.get_tokenizer(args.model)
        best = {"ours": float("inf"), "open_clip": float("inf")}
        for _ in range(args.repeats):
            start = time.perf_counter()
            bare(dialogues, model, preprocess, tokenize)
            middle = time.perf_counter()
            ours(dialogues, matcher, Path(name))
            best["open_clip"] = min(best["open_clip"], middle - start)
            best["ours"] = min(best["ours"], time.perf_counter() - middle)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    print(f"{args.model}, {args.dialogues} dialogues of two images and eight turns, {device}")
    for side, seconds in best.items():
        print(f"{side:10} {args.dialogues / seconds:8.1f} dialogues/s")
    print(f"ours / open_clip's own loop: {best['open_clip'] / best['ours']:.2f}")


if __name__ == "__main__":
    main()
