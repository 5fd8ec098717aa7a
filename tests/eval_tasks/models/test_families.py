"""What the model reads and says is what transformers' own template and `generate` give, for every family built tiny."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForImageTextToText, AutoProcessor, GenerationConfig

from benchmarks.eval_families import inputs_of, to_dialogue, walk
from eval_tasks.__main__ import main
from eval_tasks.models.checkpoint import KEEPS_CACHE
from eval_tasks.models.generation import GenerationSettings, Wording
from eval_tasks.models.transformers_vlm import TransformersVLM
from mmcr_dataset.record.dialogue import Dialogue
from mmcr_dataset.record.images import decode_rgb
from tests.conftest import image_bytes
from tests.eval_tasks.families import FAMILIES, write_family
from tests.eval_tasks.test_failures_count import entry_of, questions
from tests.eval_tasks.tiny_vlm import BUILDERS, write_tiny_vlm

Make = Callable[..., Dialogue]


@pytest.mark.parametrize("family", [*BUILDERS, *FAMILIES])
def test_tokens_and_replies_over_three_turns_and_two_images_are_those_of_generate(family: str, tmp_path: Path) -> None:
    found = walk(family, tmp_path)
    assert found.our_ids == found.ids
    assert found.we_said == found.said
    assert (found.cache == "kept") == (found.model_type in KEEPS_CACHE)


def reply(folder: Path, dialogue: Dialogue, tokens: int, generation: GenerationSettings | None = None) -> str:
    async def ask(vlm: TransformersVLM) -> str:
        async with vlm:
            return str(await vlm.reply(dialogue, [], tokens))

    return asyncio.run(ask(TransformersVLM(str(folder), generation=generation or GenerationSettings())))


SETTINGS: list[dict[str, Any]] = [
    {"repetition_penalty": 1.8},
    {"suppress_tokens": list(range(30, 300))},
    {"min_new_tokens": 20},
    {"no_repeat_ngram_size": 2},
    {"begin_suppress_tokens": list(range(30, 360)), "bad_words_ids": [[370], [371, 372]]},
    {"temperature": 0.1, "top_p": 0.2, "do_sample": True},  # a run is greedy unless it samples
]


@pytest.mark.parametrize("settings", SETTINGS, ids=lambda settings: next(iter(settings)))
@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_5"])
def test_the_checkpoints_generation_config_acts_as_in_generate(
    family: str, settings: dict[str, Any], tmp_path: Path
) -> None:
    folder, dialogue = write_family(family, tmp_path / family), to_dialogue()
    config = GenerationConfig.from_pretrained(folder)
    config.update(**settings)
    config.save_pretrained(folder)
    processor: Any = AutoProcessor.from_pretrained(folder)
    model: Any = AutoModelForImageTextToText.from_pretrained(folder).eval()
    inputs = inputs_of(processor, dialogue, [])
    with torch.inference_mode():
        written = model.generate(**inputs, max_new_tokens=24, do_sample=False)[0, inputs["input_ids"].shape[1] :]
    assert reply(folder, dialogue, 24) == processor.tokenizer.decode(written, skip_special_tokens=True).strip()


def test_a_sampled_reply_depends_on_its_seed_and_not_on_its_batch(tmp_path: Path, make_dialogue: Make) -> None:
    folder = write_tiny_vlm("qwen2_5_vl", tmp_path / "model")
    dialogues = [make_dialogue(1, 1, seed=seed) for seed in range(4)]
    settings = GenerationSettings({"temperature": 1.5, "top_p": 0.95})

    def ask(batch_size: int, asked: list[Dialogue], repeat: int = 0) -> list[str]:
        vlm = TransformersVLM(str(folder), batch_size, generation=settings)

        async def go() -> list[str]:
            async with vlm:
                return [*map(str, await asyncio.gather(*(vlm.reply(one, [], 8, repeat) for one in asked)))]

        return asyncio.run(go())

    alone = [ask(1, [one])[0] for one in dialogues]
    assert ask(4, dialogues) == ask(2, dialogues[::-1])[::-1] == alone
    assert ask(4, dialogues, repeat=1) != alone


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_5", "llava_onevision"])
def test_a_reply_that_holds_special_tokens_as_text_costs_nothing(
    family: str, tmp_path: Path, make_dialogue: Make
) -> None:
    folder, dialogue = write_family(family, tmp_path / family), make_dialogue(2, 3)
    odd = "It holds <image> and <|image_pad|><|im_end|> as words."

    async def ask(vlm: TransformersVLM) -> list[str]:
        async with vlm:
            return [str(await vlm.reply(dialogue, [odd] * turn, 4)) for turn in range(3)]

    assert all(asyncio.run(ask(TransformersVLM(str(folder)))))


@pytest.mark.parametrize("family", ["qwen2_5_vl", "qwen3_5"])
def test_an_image_that_the_processor_refuses_costs_one_sample(family: str, tmp_path: Path) -> None:
    folder = write_family(family, tmp_path / family)
    data = questions(tmp_path / "MMStar.jsonl", 4)
    rows = [json.loads(line) for line in data.read_text().splitlines()]
    rows[2]["image"] = base64.b64encode(image_bytes(1, (2100, 10))).decode()
    data.write_text("\n".join(map(json.dumps, rows)))
    ask = [f"--model=hf:{folder}", "--tasks=mmstar", f"--data={data}", "--max_new_tokens=4", f"--out={tmp_path}/run"]
    for _ in range(2):
        assert main(ask) == 0
        assert entry_of(tmp_path / "run")["failures"] == {"model_error": 1}


def test_results_say_all_that_a_reply_depends_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_vlm("qwen2_5_vl", tmp_path / "model")
    config = GenerationConfig.from_pretrained(folder)
    config.repetition_penalty = 1.05
    config.save_pretrained(folder)
    data = questions(tmp_path / "MMStar.jsonl", 2)
    ask = [f"--model=hf:{folder}", "--tasks=mmstar", f"--data={data}", "--max_new_tokens=2", f"--out={tmp_path}/run"]
    assert main(ask) == 0
    model = json.loads((tmp_path / "run" / "results.json").read_text())["model"]
    assert model["generation_config"]["repetition_penalty"] == 1.05
    assert {"dtype", "device", "attention", "batch_size", "cache", "transformers"} <= model.keys()
    assert main([*ask, "--batch_size=2"]) == 2
    assert "choose another --output_dir" in capsys.readouterr().err
    assert main([*ask, "--dtype=bfloat16"]) == 2


def test_pixels_and_decoding_are_those_of_the_rules(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = write_tiny_vlm("qwen2_5_vl", tmp_path / "model")
    config = GenerationConfig.from_pretrained(folder)
    config.repetition_penalty = 1.05
    config.save_pretrained(folder)
    data = questions(tmp_path / "OCRBench.jsonl", 1, answer="x", category="y")
    ask = [f"--model=hf:{folder}", "--tasks=ocrbench", f"--data={data}", "--max_new_tokens=2"]
    assert main([*ask, "--rules=vlmevalkit@2025-03:qwen2_5_vl", f"--out={tmp_path}/run"]) == 0
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    assert results["tasks"]["ocrbench"]["images"] == {"min_pixels": 100 * 784, "max_pixels": 16384 * 784}
    assert results["model"]["generation_config"].get("repetition_penalty", 1.0) == 1.0
    vlm = TransformersVLM(str(folder))
    vlm.ask_with(Wording(image_options={"min_pixels": 100 * 784, "max_pixels": 16384 * 784}))
    inputs = vlm._checkpoint.inputs_of("<|image_pad|>", [decode_rgb(image_bytes(1, (96, 72)))])
    assert int(inputs["image_grid_thw"][0].prod()) * 14 * 14 >= 100 * 784
    smol = write_tiny_vlm("smolvlm", tmp_path / "smol")
    assert main([f"--model=hf:{smol}", *ask[1:], "--rules=vlmevalkit@2025-03:qwen2_vl", f"--out={tmp_path}/s"]) == 2
    assert "takes no min_pixels" in capsys.readouterr().err


THINKS = "{% if enable_thinking is not defined or enable_thinking %}{{ '<think>\n' }}{% endif %}"


@pytest.mark.parametrize(("thinking", "replies"), [("strip", [""]), ("off", None)])
def test_a_template_that_opens_the_thoughts_is_known(thinking: str, replies: list[str] | None, tmp_path: Path) -> None:
    """At the token limit such thoughts have neither mark in the reply's own text; they are no answer."""
    folder = write_tiny_vlm("qwen2_5_vl", tmp_path / "model")
    template = (folder / "chat_template.jinja").read_text()
    (folder / "chat_template.jinja").write_text(template + "{% if add_generation_prompt %}" + THINKS + "{% endif %}")
    data = questions(tmp_path / "MMStar.jsonl", 1)
    ask = [f"--model=hf:{folder}", "--tasks=mmstar", f"--data={data}", "--max_new_tokens=6", f"--out={tmp_path}/run"]
    assert main([*ask, f"--thinking={thinking}"]) == 0
    (record,) = map(json.loads, (tmp_path / "run" / "samples.jsonl").read_text().splitlines())
    assert (record["replies"] == replies) if replies else record["replies"] != [""]
    assert bool(record["thoughts"]) == (thinking == "strip")
    assert record["truncated"] == [1]


@pytest.mark.parametrize("flags", [["--device_map=auto"], ["--attn_implementation=eager"], ["--dtype=float32"]])
def test_loading_settings_change_no_reply_in_fp32(flags: list[str], tmp_path: Path) -> None:
    folder = write_tiny_vlm("qwen2_5_vl", tmp_path / "model")
    data = questions(tmp_path / "MMStar.jsonl", 2)
    ask = [f"--model=hf:{folder}", "--tasks=mmstar", f"--data={data}", "--max_new_tokens=6"]
    replies = []
    for name, more in (("plain", []), ("set", flags)):
        assert main([*ask, *more, f"--out={tmp_path}/{name}"]) == 0
        lines = (tmp_path / name / "samples.jsonl").read_text().splitlines()
        replies.append([json.loads(line)["replies"] for line in lines])
    assert replies[0] == replies[1]


def test_quantization_without_its_package_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if find_spec("bitsandbytes"):
        pytest.skip("bitsandbytes is installed")
    folder = write_tiny_vlm("qwen2_5_vl", tmp_path / "model")
    data = questions(tmp_path / "MMStar.jsonl", 1)
    ask = [f"--model=hf:{folder}", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
    assert main([*ask, "--quantization=bitsandbytes-4bit"]) == 2
    assert "pip install bitsandbytes" in capsys.readouterr().err
    assert main([*ask, "--quantization=awq"]) == 2


@pytest.mark.parametrize(("family", "rules"), [("qwen2_5_vl", "vlmevalkit@2025-03:qwen2_5_vl"), ("qwen3_vl", None)])
def test_rules_are_chosen_by_the_models_type(
    family: str, rules: str | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = write_tiny_vlm(family, tmp_path / "model")
    data = questions(tmp_path / "MMStar.jsonl", 1)
    ask = [f"--model=hf:{folder}", "--tasks=mmstar", f"--data={data}", "--max_new_tokens=2", f"--out={tmp_path}/run"]
    assert main([*ask, "--rules=vlmevalkit@2025-03:auto"]) == (0 if rules else 2)
    if rules:
        assert entry_of(tmp_path / "run")["rules"] == rules
    else:
        assert "no adapter is written for the type qwen3_vl" in capsys.readouterr().err


def test_marks_of_thoughts_that_are_special_tokens_are_kept(tmp_path: Path) -> None:
    folder = write_tiny_vlm("qwen2_5_vl", tmp_path / "model")
    checkpoint = TransformersVLM(str(folder))._checkpoint
    tokenizer = checkpoint.tokenizer
    tokenizer.add_special_tokens({"additional_special_tokens": ["[THINK]", "[/THINK]", "<|im_end|>"]})
    ids = tokenizer("[THINK]a bridge[/THINK]B<|im_end|>")["input_ids"]
    assert checkpoint.decode(ids) == "[THINK]a bridge[/THINK]B"
