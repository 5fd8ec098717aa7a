"""One-turn evaluation of a local model: python -m benchmarks.eval_one_turn [--family ovis2] [--questions 48].

Ours against batches that are padded to their longest prompt and read whole, sorted by length, at the best of the batch
sizes 1 to 16: a re-statement of what lmms-eval does with a local model (its package isn't run here). Same random
weights, same questions, same tokens; the replies are checked to be the same. Questions come `--alike` to a picture, as
in MME (2) or in MMBench with its rotations (4); 1 is a benchmark whose pictures all differ.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from benchmarks.eval_multi_turn import show_shape, side_by_side
from eval_tasks.models.transformers_vlm import TransformersVLM
from mmcr_dataset.images import decode_rgb
from mmcr_dataset.messages import to_messages
from mmcr_dataset.schema import Dialogue, Picture, Turn, introduce
from tests.conftest import picture_bytes
from tests.eval_tasks.tiny_vlm import write_tiny_vlm

BATCH_SIZES = (1, 2, 4, 8, 16)


def make_questions(count: int, alike: int, longest: int) -> list[Dialogue]:
    """Questions of 6 to `longest` words, `alike` of them about each picture."""
    words = ("what", "does", "the", "picture", "show", "near", "bridge", "people", "walk", "stone", "red", "old")
    rng = np.random.default_rng(0)
    questions = []
    for number in range(count):
        picture = Picture(picture_bytes(number // alike, (640, 480)))
        text = " ".join(rng.choice(words, rng.integers(6, longest + 1))) + "?"
        questions.append(Dialogue(f"q{number}", (Turn(introduce([1], text), "reference"),), (picture,)))
    return questions


def in_padded_batches(model: Any, processor: Any, asked: Sequence[Dialogue], tokens: int, size: int) -> list[str]:
    """Batches of alike lengths, padded on the left, one `generate` each."""
    texts = [
        processor.apply_chat_template(to_messages(one), add_generation_prompt=True, tokenize=False) for one in asked
    ]
    order = sorted(range(len(asked)), key=lambda number: -len(texts[number]))
    said = [""] * len(asked)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        pictures = [[decode_rgb(asked[number].pictures[0].data)] for number in chosen]
        inputs = processor(
            text=[texts[number] for number in chosen], images=pictures, padding=True, return_tensors="pt"
        ).to(model.device)
        with torch.inference_mode():
            output = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
        for number, new in zip(chosen, output[:, inputs["input_ids"].shape[1] :], strict=True):
            said[number] = processor.tokenizer.decode(new, skip_special_tokens=True).strip()
    return said


def main() -> None:
    """Measure and print a line for each batch size, then the ratio to the best."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", default="qwen2_5_vl")
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--alike", type=int, default=4, help="questions about one picture")
    parser.add_argument("--tokens", type=int, default=8, help="of a reply")
    parser.add_argument("--words", type=int, default=40, help="of the longest question")
    parser.add_argument("--scale", type=int, default=4, help="a picture's side: its tokens grow with the square")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = write_tiny_vlm(args.family, Path(place) / "model", width=256, depth=4, scale=args.scale)
        asked = make_questions(args.questions, args.alike, args.words)
        ours = TransformersVLM(str(folder), side_by_side=16)
        processor = AutoProcessor.from_pretrained(folder)
        processor.tokenizer.padding_side = "left"
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval().to(ours.device)
        shape = show_shape(processor, asked[0])
        side_by_side(ours, asked[:1], 2)
        start = time.process_time()
        said = [replies[0] for replies in side_by_side(ours, asked, args.tokens)]
        ours_s = time.process_time() - start
        print(f"{args.family}, {args.questions} questions, {args.alike} a picture, {shape}: ours {ours_s:.2f} s")
        peers: dict[int, float] = {}
        for size in BATCH_SIZES:
            start = time.process_time()
            expected = in_padded_batches(model, processor, asked, args.tokens, size)
            peers[size] = time.process_time() - start
            same = sum(a == b for a, b in zip(said, expected, strict=True))
            print(f"padded batches of {size}: {peers[size]:.2f} s, same replies {same}/{len(asked)}")
    best = min(peers, key=lambda size: peers[size])
    print(f"ratio to the best (batches of {best}): {peers[best] / ours_s:.1f}, CPU time of one thread")


if __name__ == "__main__":
    main()
