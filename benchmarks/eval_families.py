"""Our replies beside those of plain `generate`, family by family: python -m benchmarks.eval_families [FAMILY ...].

For each family of transformers that is built tiny (tests/eval_tasks/families.py): a dialogue of three turns and two
images in fp32. Tokens: what the model reads at each turn, ours beside `apply_chat_template(tokenize=True)`. Replies:
ours beside `generate` on them. Cache: kept from turn to turn, or why every turn is a full prefill. Types that aren't
walked follow with the reason.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import random
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from transformers import AutoModelForImageTextToText, AutoProcessor
from transformers.models.auto.modeling_auto import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES

from eval_tasks.models.transformers_vlm import TransformersVLM
from mmcr_dataset.publish.markdown_table import to_table
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.messages import to_messages
from tests.eval_tasks.families import FAMILIES, why_not_walked, write_family
from tests.eval_tasks.tiny_vlm import BUILDERS

NUM_TOKENS = 8


@dataclass(frozen=True)
class Walked:
    """What a family read and said at each turn, by plain `generate` and by us."""

    model_type: str
    ids: list[list[int]]
    our_ids: list[list[int]]
    said: list[str]
    we_said: list[str]
    cache: str


def to_image(seed: int, size: tuple[int, int]) -> DialogueImage:
    """An image of noise."""
    out, rng = io.BytesIO(), random.Random(seed)
    Image.frombytes("RGB", size, rng.randbytes(3 * size[0] * size[1])).save(out, "PNG")
    return DialogueImage(out.getvalue())


def to_dialogue() -> Dialogue:
    """Three turns, an image in each of the first two."""
    asked = [("Image_1: ", 1, "\nWhat does it show?"), ("Image_2: ", 2, "\nAnd this?"), ("Which is older?",)]
    turns = tuple(Turn(blocks, "reference") for blocks in asked)
    return Dialogue("d", turns, (to_image(1, (80, 60)), to_image(2, (50, 90))))


def inputs_of(processor: Any, dialogue: Dialogue, replies: Sequence[str]) -> Any:
    """The model's inputs as transformers' own chat template makes them."""
    messages: list[Any] = [*to_messages(dialogue, replies)]
    for message in messages:
        for block in message["content"]:
            if block["type"] == "image":
                block["image"] = decode_rgb(block["image"].data)
    options = {"add_generation_prompt": True, "tokenize": True, "return_dict": True, "return_tensors": "pt"}
    return processor.apply_chat_template(messages, **options).to(torch.float32)


def walk(family: str, folder: Path) -> Walked:
    """A family's dialogue by plain `generate` and by us."""
    path, dialogue = write_family(family, folder / family), to_dialogue()
    processor: Any = AutoProcessor.from_pretrained(path)
    model: Any = AutoModelForImageTextToText.from_pretrained(path, dtype="float32").eval()
    ids, said = [], []
    for _ in dialogue.turns:
        inputs = inputs_of(processor, dialogue, said)
        ids.append(inputs["input_ids"][0].tolist())
        with torch.inference_mode():
            written = model.generate(**inputs, do_sample=False, max_new_tokens=NUM_TOKENS)[0, len(ids[-1]) :]
        said.append(processor.tokenizer.decode(written, skip_special_tokens=True).strip())
    vlm = TransformersVLM(str(path))
    our_ids, we_said = asyncio.run(_ask(vlm, dialogue))
    return Walked(model.config.model_type, ids, our_ids, said, we_said, vlm.describe()["cache"])


async def _ask(vlm: TransformersVLM, dialogue: Dialogue) -> tuple[list[list[int]], list[str]]:
    ids: list[list[int]] = []
    said: list[str] = []
    async with vlm:
        for _ in dialogue.turns:
            said.append(str(await vlm.reply(dialogue, said, NUM_TOKENS)))
            ids.append(list(vlm._states[dialogue.id].ids))
    return ids, said


def main() -> None:
    """Walk the families and print the tables."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("families", nargs="*", default=[*BUILDERS, *FAMILIES])
    rows = []
    for family in parser.parse_args().families:
        with tempfile.TemporaryDirectory() as folder:
            found = walk(family, Path(folder))
        same = ("equal" if equal else "DIFFER" for equal in (found.ids == found.our_ids, found.said == found.we_said))
        rows.append([found.model_type, *same, found.cache])
    print(to_table(["type", "tokens", "replies", "cache"], rows))
    left = [(name, why_not_walked(name)) for name in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING_NAMES]
    print()
    print(to_table(["type that is not walked", "why"], [[name, why] for name, why in left if why]))


if __name__ == "__main__":
    main()
