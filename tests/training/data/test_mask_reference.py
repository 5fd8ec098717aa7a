"""Our vectorised labels against transformers' own loop over every token of every answer, on random dialogues."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from benchmarks.training_arms import training_template
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.messages import to_messages
from tests.conftest import image_bytes
from training.data.encode import Encoder
from training.data.loss_mask import NO_LOSS
from training.families import family_names

WORDS = [
    "the", "Image", "assistant\nuser", "User:", "Assistant:", "é", "漢字", "😀", "🇫🇷", "a\u0301", "\t", "...",
    "‹image›", "12.5", "x_y", "", "\n\n", "-", "Answer",
]  # fmt: skip
SIZES = ((60, 60), (130, 50), (50, 130), (220, 90))


def random_dialogue(rng: np.random.Generator) -> Dialogue:
    """One to three turns, none to three images, words that templates and tokenizers stumble over."""

    def say() -> str:
        return " ".join(rng.choice(WORDS, rng.integers(1, 12))).strip() + rng.choice(["x", "x.", "x ", "x\n", "x 😀"])

    images = [
        DialogueImage(image_bytes(int(rng.integers(99)), SIZES[rng.integers(len(SIZES))]))
        for _ in range(rng.integers(0, 4))
    ]
    left, turns = list(range(1, len(images) + 1)), []
    for number in range(1, num_turns := int(rng.integers(1, 4)) + 1):
        shown = [left.pop(0) for _ in range(len(left) if number == num_turns - 1 else rng.integers(0, len(left) + 1))]
        turns.append(Turn(introduce(shown, say()), say()))
    return Dialogue("r", tuple(turns), tuple(images))


def reference_labels(processor: Any, dialogue: Dialogue, template: str) -> tuple[list[int], list[int]]:
    """Token ids, and the ids where transformers finds an answer without the line break after it, -100 elsewhere."""
    messages = [
        {
            "role": message["role"],
            "content": [
                {"type": "image", "image": decode_rgb(block["image"].data)} if "image" in block else block
                for block in message["content"]
            ],
        }
        for message in to_messages(dialogue, dialogue.references)
    ]
    out = processor.apply_chat_template(
        [messages], chat_template=template, tokenize=True, return_dict=True,
        return_assistant_tokens_mask=True, return_tensors="pt", processor_kwargs={"add_special_tokens": False},
    )  # fmt: skip
    ids, mask = out["input_ids"][0], out["assistant_masks"][0].bool()
    mask[1:] &= ids[:-1] != processor.tokenizer.eos_token_id
    return ids.tolist(), ids.where(mask, NO_LOSS).tolist()


def compare(family: str, count: int, build_family: Callable[..., tuple[Any, Any]]) -> None:
    _, processor = build_family(family)
    encoder, rng = Encoder(processor), np.random.default_rng(11)
    template = training_template(family)
    for _ in range(count):
        dialogue = random_dialogue(rng)
        encoded = encoder.encode(dialogue)
        assert (encoded.input_ids_T.tolist(), encoded.labels_T.tolist()) == reference_labels(
            processor, dialogue, template
        )


@pytest.mark.parametrize("family", family_names())
def test_labels_of_random_dialogues_are_those_of_the_loop(
    family: str, build_family: Callable[..., tuple[Any, Any]]
) -> None:
    compare(family, 25, build_family)


@pytest.mark.slow
@pytest.mark.parametrize("family", family_names())
def test_labels_of_1000_random_dialogues_are_those_of_the_loop(
    family: str, build_family: Callable[..., tuple[Any, Any]]
) -> None:
    compare(family, 1000, build_family)
