"""Single-turn evaluation of a local model: python -m benchmarks.eval_one_turn [--family ovis2] [--questions 48].

Ours against a reimplementation of lmms-eval's loop for a local model (lmms_eval/models/chat/qwen2_5_vl.py of August
2026) at the best of the batch sizes 1 to 16: questions sorted by text, images decoded per batch, prompts left-padded,
one `generate` per batch until its longest reply ends. (Some of its models, such as llava_hf, support batch size 1
only.) Same random weights, questions and number of tokens; replies are compared. Measures CPU time of one thread.

Random weights never end a reply, so each question has a given length: `--tokens` by default, with `--spread` log-normal
lengths of that mean and that sigma. `--alike` questions share an image, as in MME (2) or in MMBench with its rotations
(4); 1 is a benchmark with unique images.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, StoppingCriteria

from benchmarks.eval_multi_turn import show_shape
from eval_tasks.models.transformers_vlm import TransformersVLM
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.messages import to_messages
from tests.conftest import image_bytes
from tests.eval_tasks.tiny_vlm import write_tiny_vlm

BATCH_SIZES = (1, 2, 4, 8, 16)


def make_questions(count: int, alike: int, longest: int) -> list[Dialogue]:
    """Questions of 6 to `longest` words, `alike` of them about each image."""
    words = ("what", "does", "the", "image", "show", "near", "bridge", "people", "walk", "stone", "red", "old")
    rng = np.random.default_rng(0)
    questions = []
    for number in range(count):
        image = DialogueImage(image_bytes(number // alike, (640, 480)))
        text = " ".join(rng.choice(words, rng.integers(6, longest + 1))) + "?"
        questions.append(Dialogue(f"q{number}", (Turn(introduce([1], text), "reference"),), (image,)))
    return questions


def draw_lengths(count: int, mean: int, spread: float) -> list[int]:
    """Tokens of each reply: log-normal with this mean and sigma, at least 1."""
    drawn = np.random.default_rng(1).lognormal(np.log(mean) - spread**2 / 2, spread, count)
    return [max(1, round(length)) for length in drawn]


class StopAtLength(StoppingCriteria):  # type: ignore[misc]  # transformers is not typed
    """Stops each row at a given length, like an EOS token."""

    def __init__(self, num_read: int, lengths: Sequence[int]) -> None:
        self.ends_at = num_read + torch.tensor(lengths)

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor, **kwargs: Any) -> torch.Tensor:
        """Which rows are finished, shape [B]."""
        return input_ids.shape[1] >= self.ends_at.to(input_ids.device)


def static_batches(
    model: Any, processor: Any, asked: Sequence[Dialogue], lengths: Sequence[int], size: int
) -> list[str]:
    """Static batching: left-padded batches, one `generate` each.

    Args:
        model: the model.
        processor: its processor.
        asked: the questions.
        lengths: length of each reply in tokens.
        size: batch size.
    """
    texts = [
        processor.apply_chat_template(to_messages(one), add_generation_prompt=True, tokenize=False) for one in asked
    ]
    order = sorted(range(len(asked)), key=lambda number: texts[number])
    said = [""] * len(asked)
    for start in range(0, len(order), size):
        chosen = order[start : start + size]
        images = [[decode_rgb(asked[number].images[0].data)] for number in chosen]
        inputs = processor(
            text=[texts[number] for number in chosen], images=images, padding=True, return_tensors="pt"
        ).to(model.device)
        with torch.inference_mode():
            num_read, longest = inputs["input_ids"].shape[1], max(lengths[number] for number in chosen)
            ends = [StopAtLength(num_read, [lengths[number] for number in chosen])]
            output = model.generate(**inputs, do_sample=False, max_new_tokens=longest, stopping_criteria=ends)
        for number, new in zip(chosen, output[:, num_read:], strict=True):
            said[number] = processor.tokenizer.decode(new[: lengths[number]], skip_special_tokens=True).strip()
    return said


def continuous_batching(model: TransformersVLM, asked: Sequence[Dialogue], lengths: Sequence[int]) -> list[str]:
    """Ours: continuous batching, as in the loop of eval_tasks."""

    async def ask_all() -> list[str]:
        free = asyncio.Semaphore(model.batch_size)

        async def ask(dialogue: Dialogue, length: int) -> str:
            async with free:
                reply = await model.reply(dialogue, [], length)
                model.forget(dialogue)
                return reply

        async with model:
            return list(await asyncio.gather(*map(ask, asked, lengths)))

    return asyncio.run(ask_all())


def main() -> None:
    """Measure and print a line for each batch size, then the ratio to the best."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--family", default="qwen2_5_vl")
    parser.add_argument("--questions", type=int, default=32)
    parser.add_argument("--alike", type=int, default=4, help="questions per image")
    parser.add_argument("--tokens", type=int, default=8, help="mean length of a reply")
    parser.add_argument("--spread", type=float, default=0.0, help="sigma of the replies' lengths (default: equal)")
    parser.add_argument("--words", type=int, default=40, help="of the longest question")
    parser.add_argument("--scale", type=int, default=4, help="an image's side: its tokens grow with the square")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as place:
        folder = write_tiny_vlm(args.family, Path(place) / "model", width=256, depth=4, scale=args.scale)
        asked = make_questions(args.questions, args.alike, args.words)
        ours = TransformersVLM(str(folder), batch_size=16)
        processor = AutoProcessor.from_pretrained(folder)
        processor.tokenizer.padding_side = "left"
        model = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval().to(ours.device)
        shape = show_shape(processor, asked[0])
        lengths = draw_lengths(len(asked), args.tokens, args.spread)
        continuous_batching(ours, make_questions(args.questions + 1, 1, args.words)[-1:], [2])  # warm-up, another image
        start = time.process_time()
        said = continuous_batching(ours, asked, lengths)
        ours_s = time.process_time() - start
        print(
            f"{args.family}, {args.questions} questions, {args.alike} an image, {shape}, replies of {min(lengths)} to "
            f"{max(lengths)} tokens (mean {sum(lengths) / len(lengths):.0f}): ours {ours_s:.2f} s"
        )
        peers: dict[int, float] = {}
        for size in BATCH_SIZES:
            start = time.process_time()
            expected = static_batches(model, processor, asked, lengths, size)
            peers[size] = time.process_time() - start
            same = sum(a == b for a, b in zip(said, expected, strict=True))
            print(f"static batch size {size}: {peers[size]:.2f} s, same replies {same}/{len(asked)}")
    best = min(peers, key=lambda size: peers[size])
    print(f"ratio to the best (batch size {best}): {peers[best] / ours_s:.1f}, CPU time of one thread")


if __name__ == "__main__":
    main()
