"""Dialogues side by side with their caches kept say what each says alone, read anew at every turn."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from eval_tasks.models.model import NoReply
from eval_tasks.models.transformers_vlm import TransformersVLM
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import decode_rgb
from mmcr_dataset.record.messages import images_in, to_messages
from tests.eval_tasks.tiny_vlm import BUILDERS, write_tiny_vlm

Make = Callable[..., Dialogue]


def answered_anew(folder: Path, dialogues: Sequence[Dialogue], tokens: int) -> list[list[str]]:
    """Each turn read from the start, one dialogue at a time, by `generate`."""
    processor: Any = AutoProcessor.from_pretrained(folder)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
    said = []
    for dialogue in dialogues:
        replies: list[str] = []
        for _ in dialogue.turns:
            messages = to_messages(dialogue, replies)
            text = processor.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)
            images = [decode_rgb(image.data) for image in images_in(messages)]
            inputs = processor(text=[text], images=[images], return_tensors="pt")  # one list: one dialogue
            with torch.inference_mode():
                output = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
            new = output[0, inputs["input_ids"].shape[1] :]
            replies.append(processor.tokenizer.decode(new, skip_special_tokens=True).strip())
        said.append(replies)
    return said


def answered_in_batches(model: TransformersVLM, dialogues: Sequence[Dialogue], tokens: int) -> list[list[str]]:
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
    model = TransformersVLM(str(folder), batch_size=3)
    assert answered_in_batches(model, dialogues, 12) == answered_anew(folder, dialogues, 12)


def test_layers_that_see_only_the_last_tokens_are_read_right(tmp_path: Path, make_dialogue: Make) -> None:
    folder = write_tiny_vlm("llava_onevision", tmp_path / "sliding")
    config = json.loads((folder / "config.json").read_text())
    kinds = {"use_sliding_window": True, "sliding_window": 40, "layer_types": ["sliding_attention", "full_attention"]}
    config["text_config"] |= kinds
    (folder / "config.json").write_text(json.dumps(config))
    dialogues = [make_dialogue(1, 3, seed=0), make_dialogue(2, 3, seed=1)]
    model = TransformersVLM(str(folder), batch_size=2)
    assert not model._keeps
    assert answered_in_batches(model, dialogues, 8) == answered_anew(folder, dialogues, 8)


def test_short_answers_come_and_go_while_a_long_one_is_written(tiny_ovis2: Path, make_dialogue: Make) -> None:
    dialogues = [make_dialogue(1, 1, seed=seed) for seed in range(5)]
    lengths = [24, 4, 4, 4, 4]
    expected = [answered_anew(tiny_ovis2, [one], length)[0][0] for one, length in zip(dialogues, lengths, strict=True)]
    model = TransformersVLM(str(tiny_ovis2), batch_size=2)
    widths: list[int] = []

    def note(module: Any, inputs: Any, kwargs: dict[str, Any]) -> None:
        if kwargs["input_ids"].shape[1] == 1:
            widths.append(kwargs["input_ids"].shape[0])

    model._model.register_forward_pre_hook(note, with_kwargs=True)
    ended: list[str] = []

    async def ask(dialogue: Dialogue, length: int) -> str:
        reply = await model.reply(dialogue, [], length)
        model.forget(dialogue)
        ended.append(dialogue.id)
        return reply

    async def ask_all() -> list[str]:
        async with model:
            return list(await asyncio.gather(*map(ask, dialogues, lengths)))

    assert asyncio.run(ask_all()) == expected
    assert ended == [one.id for one in [*dialogues[1:], dialogues[0]]]
    assert widths == [2] * 12 + [1] * 11  # four short answers of three steps each beside the long one's 23


def test_memory_that_does_not_suffice_for_all_is_shared_by_halves(tiny_ovis2: Path, make_dialogue: Make) -> None:
    """The model's forward pass is the edge here: it refuses more than two rows, and any row of one dialogue."""
    dialogues = [make_dialogue(1, 2, seed=seed) for seed in range(4)]
    expected = answered_anew(tiny_ovis2, dialogues, 6)
    model = TransformersVLM(str(tiny_ovis2), batch_size=4)

    def refuse(module: Any, inputs: Any, kwargs: dict[str, Any]) -> None:
        if kwargs["input_ids"].shape[0] > 2:
            raise torch.OutOfMemoryError("no room")

    model._model.register_forward_pre_hook(refuse, with_kwargs=True)
    assert answered_in_batches(model, dialogues, 6) == expected


def test_memory_that_does_not_suffice_to_read_beside_others_costs_no_reply(
    tiny_ovis2: Path, make_dialogue: Make
) -> None:
    """The model's forward pass is the edge here: it has no memory for the keys and values of three dialogues."""
    dialogues = [make_dialogue(2, 3, seed=seed) for seed in range(4)]
    expected = answered_anew(tiny_ovis2, dialogues, 6)
    model = TransformersVLM(str(tiny_ovis2), batch_size=4)
    refused: list[int] = []

    def refuse(module: Any, inputs: Any, kwargs: dict[str, Any]) -> None:
        if len(model._states) > 2:
            refused.append(len(model._states))
            raise torch.OutOfMemoryError("no room")

    model._model.register_forward_pre_hook(refuse, with_kwargs=True)
    assert answered_in_batches(model, dialogues, 6) == expected
    assert refused


def test_a_dialogue_that_does_not_fit_alone_is_a_named_failure(tiny_ovis2: Path, make_dialogue: Make) -> None:
    model = TransformersVLM(str(tiny_ovis2))

    def refuse(module: Any, inputs: Any, kwargs: dict[str, Any]) -> None:
        if kwargs["input_ids"].shape[1] == 1:
            raise torch.OutOfMemoryError("no room")

    model._model.register_forward_pre_hook(refuse, with_kwargs=True)
    with pytest.raises(NoReply) as failure:
        answered_in_batches(model, [make_dialogue(1, 2)], 6)
    assert failure.value.reason == "out_of_memory"
    assert not model._states


def test_a_freed_row_serves_the_next_dialogue_and_others_between_are_left_alone(
    tiny_ovis2: Path, make_dialogue: Make
) -> None:
    """Three dialogues open, the middle one ends, a longer one takes its row while the outer two go on."""
    dialogues = [make_dialogue(1, 3, seed=0), make_dialogue(1, 2, seed=1), make_dialogue(2, 4, seed=2)]
    late = make_dialogue(3, 5, seed=3)
    expected = answered_anew(tiny_ovis2, [*dialogues, late], 8)
    model = TransformersVLM(str(tiny_ovis2), batch_size=4)

    async def ask() -> None:
        said: dict[str, list[str]] = {one.id: [] for one in [*dialogues, late]}

        async def turn(*asked: Dialogue) -> None:
            replies = await asyncio.gather(*(model.reply(one, said[one.id], 8) for one in asked))
            for one, reply in zip(asked, replies, strict=True):
                said[one.id].append(reply)

        async with model:
            await turn(*dialogues)
            await turn(*dialogues)
            model.forget(dialogues[1])
            await turn(dialogues[2], late)
            await turn(dialogues[0], dialogues[2])
            for _ in range(4):
                await turn(late)
        assert list(said.values()) == expected

    asyncio.run(ask())
    assert len(model._cache.lengths) == 3


def test_each_image_goes_through_the_vision_tower_once(tiny_ovis2: Path, make_dialogue: Make) -> None:
    model = TransformersVLM(str(tiny_ovis2))
    tiles: list[int] = []
    tower = model._model.model.vision_tower
    tower.register_forward_hook(lambda module, inputs, kwargs, output: tiles.append(1), with_kwargs=True)
    answered_in_batches(model, [make_dialogue(3, 8)], 6)
    assert len(tiles) == 3


@pytest.mark.parametrize("family", BUILDERS)
def test_questions_about_one_image_read_it_once(family: str, tmp_path: Path, make_dialogue: Make) -> None:
    folder = write_tiny_vlm(family, tmp_path / family)
    first, other = make_dialogue(1, 1, seed=0), make_dialogue(1, 1, seed=5)
    asked = [replace(make_dialogue(1, 1, seed=seed), images=first.images) for seed in range(1, 5)]
    dialogues = [first, asked[0], other, *asked[1:]]
    expected = answered_anew(folder, dialogues, 8)
    model = TransformersVLM(str(folder), batch_size=3)
    num_tokens: list[int] = []

    def count(module: Any, inputs: Any, kwargs: dict[str, Any]) -> None:
        num_tokens.append(kwargs["input_ids"].shape[1])

    model._model.register_forward_pre_hook(count, with_kwargs=True)
    said = []
    for start in (0, 3):
        said += answered_in_batches(model, dialogues[start : start + 3], 8)
        for dialogue in dialogues[start : start + 3]:
            model.forget(dialogue)
    assert said == expected
    reads = [number for number in num_tokens if number > 1]
    assert len(reads) == 6
    assert sum(number > max(reads) // 2 for number in reads) == 2  # the first image and the other one


def test_states_are_forgotten_when_a_dialogue_is_over(tiny_ovis2: Path, make_dialogue: Make) -> None:
    model = TransformersVLM(str(tiny_ovis2))
    dialogue = make_dialogue(1, 2)
    answered_in_batches(model, [dialogue], 4)
    assert list(model._states) == [dialogue.id]
    model.forget(dialogue)
    assert not model._states
