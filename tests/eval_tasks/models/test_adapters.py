"""By the rules of an adapter a local checkpoint gets the adapter's text, tiles and reply prefix; results name them."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor

from eval_tasks.__main__ import main
from eval_tasks.models.generation import Wording
from eval_tasks.models.model_type import rules_of_model
from eval_tasks.models.transformers_vlm import TransformersVLM
from eval_tasks.readers.adapters import ADAPTER_RULES, INTERNVL, LLAVA_ONEVISION, SMOLVLM, to_dialogue, wording_of
from eval_tasks.registry import find_tasks, load_task
from mmcr_dataset.record.dialogue import DialogueImage
from mmcr_dataset.record.images import decode_rgb
from tests.conftest import image_bytes
from tests.eval_tasks.families import FAMILIES, write_family
from tests.eval_tasks.test_failures_count import entry_of, questions
from tests.eval_tasks.tiny_vlm import write_tiny_vlm

SMOLVLM_PROMPT = "Question: What is in 0?\nChoices:\nA. a dog\nB. a cat\nC. a horse\nD. a bird\nAnswer with the letter."


def write_model(family: str, folder: Path) -> Path:
    return write_family(family, folder) if family in FAMILIES else write_tiny_vlm(family, folder)


def answered_by_generate(folder: Path, text: str, images: list[bytes], tokens: int) -> str:
    processor: Any = AutoProcessor.from_pretrained(folder)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder, dtype="float32").eval()
    inputs = processor(text=[text], images=[[decode_rgb(one) for one in images]], return_tensors="pt")
    with torch.inference_mode():
        output = model.generate(**inputs, do_sample=False, max_new_tokens=tokens)
    return str(processor.tokenizer.decode(output[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())


def test_reply_goes_on_from_what_the_adapter_begins(tmp_path: Path) -> None:
    folder = write_model("smolvlm", tmp_path / "model")
    data = questions(tmp_path / "MMStar.jsonl", 1)
    ask = [f"--model=hf:{folder}", "--tasks=mmstar", f"--data={data}", "--max_new_tokens=8", f"--out={tmp_path}/run"]
    assert main([*ask, "--rules=vlmevalkit@2025-03:auto"]) == 0
    entry = entry_of(tmp_path / "run")
    assert (entry["rules"], entry["reply_begin"]) == (SMOLVLM, " Answer:")
    (record,) = map(json.loads, (tmp_path / "run" / "samples.jsonl").read_text().splitlines())
    assert record["dialogue"]["turns"][0]["human"] == [1, SMOLVLM_PROMPT]
    dialogue = to_dialogue("0", [DialogueImage(image_bytes(1))], SMOLVLM_PROMPT, "B", "mmstar", SMOLVLM)
    vlm = TransformersVLM(str(folder))
    plain = vlm._checkpoint.render(vlm._checkpoint.messages_of(dialogue, []))
    said = asyncio.run(reply(vlm, dialogue, wording_of(SMOLVLM, "mmstar")))
    worded = vlm._checkpoint.render(vlm._checkpoint.messages_of(dialogue, []))
    assert worded == plain + " Answer:"
    assert [said] == record["replies"] == [answered_by_generate(folder, worded, [image_bytes(1)], 8)]


async def reply(vlm: TransformersVLM, dialogue: Any, wording: Wording) -> str:
    vlm.ask_with(wording)
    async with vlm:
        return str(await vlm.reply(dialogue, [], 8))


def test_images_of_llava_onevision_are_a_part_of_the_text(tmp_path: Path) -> None:
    folder = write_model("llava_onevision", tmp_path / "model")
    images = [DialogueImage(image_bytes(seed)) for seed in (0, 1)]
    dialogue = to_dialogue("0", images, "Question: <image 1> or <image 2>?\n", "B", "mmmu", LLAVA_ONEVISION)
    vlm = TransformersVLM(str(folder))
    said = asyncio.run(reply(vlm, dialogue, wording_of(LLAVA_ONEVISION, "mmmu")))
    text = vlm._checkpoint.render(vlm._checkpoint.messages_of(dialogue, []))
    assert "Question: <image>\n or <image>\n?\n" in text
    assert said == answered_by_generate(folder, text, [image.data for image in images], 8)


@pytest.mark.parametrize(
    ("blocks", "said"),
    [
        ([1, " what? "], "\n<image>\nwhat?"),
        (["Is ", 1, " or ", 2, "?"], "Is\n<image>\nor\n<image>\n?"),
        ([1, 2, "x"], "\n<image>\n\n<image>\nx"),
        (["see ", 1], "see\n<image>\n"),
    ],
)
def test_images_between_words_stand_on_lines_of_their_own(blocks: list[Any], said: str) -> None:
    """MMMU for Ovis2, whose template writes an image as `<image>` and a line break."""
    content = [{"type": "text", "text": one} if isinstance(one, str) else {"type": "image"} for one in blocks]
    (message,) = wording_of("vlmevalkit@2025-03", "mmmu").write([{"role": "user", "content": content}])
    assert "".join(block.get("text", "<image>\n") for block in message["content"]) == said


def test_tiles_of_internvl_are_shared_by_the_images_of_a_prompt(tmp_path: Path) -> None:
    folder = write_model("internvl", tmp_path / "model")
    checkpoint = TransformersVLM(str(folder))._checkpoint
    wide = image_bytes(3, (560, 56))
    counts = {}
    for task, num_images in (("mmstar", 1), ("ocrbench", 1), ("mmmu", 16)):
        checkpoint.ask_with(wording_of(INTERNVL, task))
        shown = checkpoint.decoded([DialogueImage(wide)] * num_images, 0)
        inputs = checkpoint.inputs_of("<IMG_CONTEXT>\n" * num_images, shown)
        counts[task] = inputs["pixel_values"].shape[0] / num_images
    assert counts["mmstar"] == 7  # 6 tiles and the whole image
    assert 7 < counts["ocrbench"] <= 25
    assert counts["mmmu"] <= 5  # 64 // 16 tiles each
    assert checkpoint.decoded([DialogueImage(wide)] * 2, 0)[0].size == (1120, 112)  # MMMU: the first one enlarged
    assert checkpoint.decoded([DialogueImage(wide)] * 2, 0)[1].size == (560, 56)


def test_an_image_is_read_anew_for_a_task_with_other_words(tmp_path: Path) -> None:
    """A kept cache of the same image in as many tokens must not serve a task that enlarges it."""
    folder = write_model("internvl", tmp_path / "model")
    image = DialogueImage(image_bytes(5, (56, 56)))
    dialogues = [to_dialogue(str(number), [image], f"What, {number}?", "B", "", INTERNVL) for number in range(2)]
    plain, enlarged = (Wording(image_options={"max_patches": 1}, first_image_scale=scale) for scale in (1, 2))

    vlm = TransformersVLM(str(folder))
    reads: list[int] = []

    def count(module: Any, inputs: Any, kwargs: dict[str, Any]) -> None:
        reads.append(kwargs["input_ids"].shape[1])

    vlm._model.register_forward_pre_hook(count, with_kwargs=True)
    for dialogue, wording in zip(dialogues, (plain, enlarged), strict=True):
        asyncio.run(reply(vlm, dialogue, wording))
        vlm.forget(dialogue)
    first, second = [number for number in reads if number > 1]
    assert first == second


@pytest.mark.parametrize(("task", "tiles"), [("mmstar", 9), ("ocrbench", 12)])
def test_ovis2_is_shown_the_papers_number_of_tiles_and_other_models_their_own(
    task: str, tiles: int, tmp_path: Path
) -> None:
    data = questions(tmp_path / "table.jsonl", 1, category="c")
    for family, shown in (("ovis2", {"max_patches": tiles}), ("smolvlm", None)):
        folder = write_model(family, tmp_path / family)
        ask = [f"--model=hf:{folder}", f"--tasks={task}", f"--data={data}", "--max_new_tokens=2"]
        assert main([*ask, f"--out={tmp_path}/run_{family}"]) == 0
        entry = json.loads((tmp_path / f"run_{family}" / "results.json").read_text())["tasks"][task]
        assert entry.get("images") == shown


@pytest.mark.parametrize(
    ("family", "rules"),
    [("smolvlm", LLAVA_ONEVISION), ("llava_onevision", INTERNVL), ("internvl", ADAPTER_RULES[0])],
)
def test_another_familys_adapter_is_refused(
    family: str, rules: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_model(family, tmp_path / "model")
    data = questions(tmp_path / "MMStar.jsonl", 1)
    ask = [f"--model=hf:{folder}", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
    if (family, rules) == ("smolvlm", LLAVA_ONEVISION):  # its image token is the same word
        assert main([*ask, f"--rules={rules}", "--max_new_tokens=2"]) == 0
        return
    assert main([*ask, f"--rules={rules}"]) == 2
    assert "choose other --rules" in capsys.readouterr().err


@pytest.mark.parametrize("family", ["qwen2_vl", "qwen2_5_vl", "internvl", "smolvlm", "llava_onevision", "idefics3"])
def test_rules_are_chosen_by_the_type(family: str, tmp_path: Path) -> None:
    wanted = "smolvlm" if family == "idefics3" else family  # SmolVLM 1 has that type
    folder = write_model(family, tmp_path / "model")
    assert {rules_of_model(f"{kind}:{folder}") for kind in ("hf", "vllm")} == {f"vlmevalkit@2025-03:{wanted}"}


@pytest.mark.parametrize("rules", ADAPTER_RULES)
def test_every_task_of_an_adapter_takes_its_rows(rules: str) -> None:
    names = [name for name, path in find_tasks().items() if rules in load_task(path).adapter_rules]
    assert len(names) >= 19
    row = {"question": "q?", "answer": "A", "A": "Yes", "B": "No", "category": "c", "image_path": "1.jpg"}
    for name in names:
        task = load_task(find_tasks()[name])
        assert task.to_sample is not None
        index = "VD_a_1_0_0_1" if name == "hallusion_bench" else "1"
        answer = {"answer": "Yes"} if name in ("mme", "hallusion_bench", "pope") else {}
        sample = task.to_sample({**row, "index": index, **answer}, rules, 0)
        assert task.score(sample, ["A"], rules, None)
