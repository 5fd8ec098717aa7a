"""Dialogues side by side with their caches kept say what each says alone, read anew at every turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from eval_tasks.models.transformers_vlm import TransformersVLM
from mmcr_dataset.images import decode_rgb
from mmcr_dataset.messages import num_pictures_shown, to_messages
from mmcr_dataset.schema import Dialogue
from tests.eval_tasks.tiny_vlm import BUILDERS, write_tiny_vlm

Make = Callable[..., Dialogue]


def answered_anew(folder: Path, dialogues: Sequence[Dialogue], tokens: int) -> list[list[str]]:
    """Each turn read from the start, one dialogue at a time, by `generate`."""
    processor: Any = AutoProcessor.from_pretrained(folder)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
    said = []
    for dialogue in dialogues:
        replies: list[str] = []
        for turn in range(len(dialogue.turns)):
            shown = dialogue.pictures[: num_pictures_shown(dialogue, turn)]
            text = processor.apply_chat_template(
                to_messages(dialogue, replies), add_generation_prompt=True, tokenize=False
            )
            pictures = [decode_rgb(picture.data) for picture in shown]
            inputs = processor(text=[text], images=pictures, return_tensors="pt")
            with torch.inference_mode():
                output = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
            new = output[0, inputs["input_ids"].shape[1] :]
            replies.append(processor.tokenizer.decode(new, skip_special_tokens=True).strip())
        said.append(replies)
    return said


def answered_side_by_side(model: TransformersVLM, dialogues: Sequence[Dialogue], tokens: int) -> list[list[str]]:
    async def answer(dialogue: Dialogue) -> list[str]:
        replies: list[str] = []
        for _ in dialogue.turns:
            replies.append(await model.reply(dialogue, replies, tokens))
        return replies

    async def answer_all() -> list[list[str]]:
        async with model:
            return list(await asyncio.gather(*map(answer, dialogues)))

    return asyncio.run(answer_all())


@pytest.mark.parametrize("family", BUILDERS)
def test_replies_are_those_of_reading_everything_anew(family: str, tmp_path: Path, make_dialogue: Make) -> None:
    folder = write_tiny_vlm(family, tmp_path / family)
    dialogues = [make_dialogue(1, 4, seed=0), make_dialogue(3, 6, seed=1), make_dialogue(2, 4, seed=2)]
    model = TransformersVLM(str(folder), side_by_side=3)
    assert answered_side_by_side(model, dialogues, 12) == answered_anew(folder, dialogues, 12)


def test_each_picture_goes_through_the_vision_tower_once(tiny_ovis2: Path, make_dialogue: Make) -> None:
    model = TransformersVLM(str(tiny_ovis2))
    tiles: list[int] = []
    tower = model._model.model.vision_tower
    tower.register_forward_hook(lambda module, inputs, kwargs, output: tiles.append(1), with_kwargs=True)
    answered_side_by_side(model, [make_dialogue(3, 8)], 6)
    assert len(tiles) == 3


def test_states_are_forgotten_when_a_dialogue_is_over(tiny_ovis2: Path, make_dialogue: Make) -> None:
    model = TransformersVLM(str(tiny_ovis2))
    dialogue = make_dialogue(1, 2)
    answered_side_by_side(model, [dialogue], 4)
    assert list(model._states) == [dialogue.id]
    model.forget(dialogue)
    assert not model._states
