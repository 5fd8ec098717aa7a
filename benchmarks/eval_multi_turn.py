"""Multi-turn evaluation of a local model: python -m benchmarks.eval_multi_turn [--family ovis2] [--in_proportion].

Dialogues of 8 turns and 3 images: ours (batched, KV cache kept over the turns) against one dialogue at a time with a
full prefill at every turn, as in VLMEvalKit and lmms-eval for local models. Same random weights, questions and number
of tokens; replies are compared. The two alternate; medians are printed.

By default model and vision tower fit into the CPU cache, which favours the side that runs them more often.
`--width 768 --in_proportion --dialogues 8 --tokens 48` is more realistic: weights larger than the cache, two key-value
heads of 64 as in Qwen2.5-0.5B, and a tower half as wide as the language model and as deep, near the smallest among the
families' small checkpoints (Qwen3-VL-2B: 1024 x 24 and 2048 x 28).
"""

from __future__ import annotations

import argparse
import asyncio
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from eval_tasks.models.transformers_vlm import TransformersVLM
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.messages import images_in, to_messages
from tests.conftest import image_bytes
from tests.eval_tasks.tiny_vlm import write_tiny_vlm


def make_dialogues(count: int, num_words: int, seed: int = 0) -> list[Dialogue]:
    """Dialogues of 8 turns whose first three turns introduce an image each; different for each seed."""
    words = ("what", "does", "the", "image", "show", "near", "bridge", "people", "walk", "stone", "red", "old")
    rng = np.random.default_rng(seed)
    dialogues = []
    for number in range(1000 * seed, 1000 * seed + count):
        images = tuple(DialogueImage(image_bytes(10 * number + n, (640, 480))) for n in range(3))
        turns = []
        for turn in range(1, 9):
            question = " ".join(rng.choice(words, num_words)) + "?"
            turns.append(Turn(introduce([turn] if turn <= 3 else [], question), "reference"))
        dialogues.append(Dialogue(f"d{number}", tuple(turns), images))
    return dialogues


def full_prefill(model: Any, processor: Any, dialogues: Sequence[Dialogue], tokens: int) -> list[list[str]]:
    """One dialogue at a time, with a full prefill at every turn.

    Args:
        model: the model.
        processor: its processor.
        dialogues: the dialogues.
        tokens: maximum new tokens of a reply.
    """
    said = []
    for dialogue in dialogues:
        replies: list[str] = []
        for _ in dialogue.turns:
            messages = to_messages(dialogue, replies)
            text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            images = [decode_rgb(image.data) for image in images_in(messages)]
            inputs = processor(text=[text], images=images, return_tensors="pt").to(model.device)
            with torch.inference_mode():
                output = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
            new = output[0, inputs["input_ids"].shape[1] :]
            replies.append(processor.tokenizer.decode(new, skip_special_tokens=True).strip())
        said.append(replies)
    return said


def answer_batch(model: TransformersVLM, dialogues: Sequence[Dialogue], tokens: int) -> list[list[str]]:
    """All dialogues through our model, concurrently."""

    async def answer(dialogue: Dialogue) -> list[str]:
        replies: list[str] = []
        for _ in dialogue.turns:
            replies.append(await model.reply(dialogue, replies, tokens))
        model.forget(dialogue)
        return replies

    async def answer_all() -> list[list[str]]:
        async with model:
            return list(await asyncio.gather(*map(answer, dialogues)))

    return asyncio.run(answer_all())


def show_shape(processor: Any, dialogue: Dialogue) -> str:
    """Number of tokens of the images and the questions of a dialogue."""
    text = processor.apply_chat_template(
        to_messages(dialogue, ["x"] * (len(dialogue.turns) - 1)), add_generation_prompt=True, tokenize=False
    )
    images = [decode_rgb(image.data) for image in dialogue.images]
    num_all = len(processor(text=[text], images=images, return_tensors="pt")["input_ids"][0])
    num_text = len(processor.tokenizer(text)["input_ids"])
    of_images, of_questions = (num_all - num_text) // len(dialogue.images), num_text // len(dialogue.turns)
    return f"{of_images} tokens an image, {of_questions} a question"


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", default="ovis2")
    parser.add_argument("--dialogues", type=int, default=16)
    parser.add_argument("--tokens", type=int, default=64, help="of a reply")
    parser.add_argument("--words", type=int, default=12, help="of a question (one word is about 3.5 tokens here)")
    parser.add_argument("--scale", type=int, default=4, help="an image's side: its tokens grow with the square")
    parser.add_argument("--width", type=int, default=256)
    parser.add_argument("--depth", type=int, default=4)
    parser.add_argument(
        "--in_proportion",
        "--in-proportion",
        action="store_true",
        help="a vision tower with the proportions of released models",
    )
    parser.add_argument("--repeats", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(1)
    tower = (args.width // 2, args.depth) if args.in_proportion else (32, 2)
    ours_s, anew_s, num_same = [], [], 0
    with tempfile.TemporaryDirectory() as place:
        folder = write_tiny_vlm(
            args.family, Path(place) / "model", width=args.width, depth=args.depth, scale=args.scale, tower=tower
        )
        ours = TransformersVLM(str(folder), batch_size=args.dialogues)
        processor = AutoProcessor.from_pretrained(folder)
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval().to(ours.device)
        warm_up = make_dialogues(1, args.words, seed=args.repeats)
        shape = show_shape(processor, warm_up[0])
        full_prefill(model, processor, warm_up, 2)
        answer_batch(ours, warm_up, 2)
        for seed in range(args.repeats):
            dialogues = make_dialogues(args.dialogues, args.words, seed)
            start = time.process_time()
            said = answer_batch(ours, dialogues, args.tokens)
            ours_s.append(time.process_time() - start)
            start = time.process_time()
            expected = full_prefill(model, processor, dialogues, args.tokens)
            anew_s.append(time.process_time() - start)
            num_same += sum(a == b for pair in zip(said, expected, strict=True) for a, b in zip(*pair, strict=True))
    ratios = [anew / own for anew, own in zip(anew_s, ours_s, strict=True)]
    print(
        f"{args.family}, {args.dialogues} dialogues x 8 turns x 3 images, {shape}, {args.tokens} tokens a reply, "
        f"tower {tower[0]} x {tower[1]}, model {args.width} x {args.depth}, {torch.get_num_threads()} threads, CPU "
        f"time: ours {statistics.median(ours_s):.1f} s, full prefill {statistics.median(anew_s):.1f} s, "
        f"ratio {statistics.median(ratios):.1f} ({min(ratios):.1f} to {max(ratios):.1f}); "
        f"same replies {num_same}/{8 * args.dialogues * args.repeats}"
    )


if __name__ == "__main__":
    main()
