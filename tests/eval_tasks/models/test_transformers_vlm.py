"""A checkpoint folder as a model."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from eval_tasks.__main__ import main
from eval_tasks.models.model import NoReply
from eval_tasks.models.transformers_vlm import TransformersVLM
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage
from tests.eval_tasks.tiny_vlm import write_tiny_vlm

Make = Callable[..., Dialogue]


def reply_of(model: TransformersVLM, dialogue: Dialogue, replies: tuple[str, ...] = (), tokens: int = 12) -> str:
    async def ask() -> str:
        async with model:
            return await model.reply(dialogue, replies, tokens)

    return asyncio.run(ask())


def test_checkpoint_folder_runs_the_bench_from_the_command_line(
    tiny_ovis2: Path, bench_folder: Path, tmp_path: Path
) -> None:
    ask = [f"--model=hf:{tiny_ovis2}", "--tasks=mmcr_bench", f"--data={bench_folder}", "--max_new_tokens=8"]
    assert main([*ask, f"--out={tmp_path}/run"]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["tasks"]["mmcr_bench"]["num_samples"] == 4
    assert results["tasks"]["mmcr_bench"]["failures"] == {}
    lines = (tmp_path / "run" / "journal.jsonl").read_text().splitlines()
    assert len(lines) == 20
    assert main([*ask, f"--out={tmp_path}/run"]) == 0
    assert (tmp_path / "run" / "journal.jsonl").read_text().splitlines() == lines


def test_reply_depends_on_the_image_and_on_the_history(tiny_ovis2: Path, make_dialogue: Make) -> None:
    model = TransformersVLM(str(tiny_ovis2))
    dialogue = make_dialogue(seed=1)
    other = replace(dialogue, images=make_dialogue(seed=2).images)
    assert reply_of(model, dialogue) != reply_of(model, other)
    assert reply_of(model, dialogue, ("a red bicycle",)) != reply_of(model, dialogue, ("people walk past",))


def test_a_dialogue_longer_than_the_window_is_a_named_failure(tmp_path: Path, make_dialogue: Make) -> None:
    model = TransformersVLM(str(write_tiny_vlm("ovis2", tmp_path / "short", window=64)))
    with pytest.raises(NoReply, match="window") as failure:
        reply_of(model, make_dialogue(), ("word " * 100,))
    assert failure.value.reason == "over_length"


def test_an_image_that_does_not_decode_is_a_named_failure(tiny_ovis2: Path, make_dialogue: Make) -> None:
    broken = replace(make_dialogue(), images=(DialogueImage(b"no image"),))
    with pytest.raises(NoReply) as failure:
        reply_of(TransformersVLM(str(tiny_ovis2)), broken)
    assert failure.value.reason == "not_an_image"


def test_a_missing_checkpoint_folder_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no such folder"):
        TransformersVLM(str(tmp_path / "nothing"))


def test_revision_changes_with_the_weights(tmp_path: Path) -> None:
    one, two = (write_tiny_vlm("ovis2", tmp_path / str(seed), seed=seed) for seed in (1, 2))
    assert TransformersVLM(str(one)).revision != TransformersVLM(str(two)).revision
