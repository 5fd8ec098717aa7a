"""What is sent by the rules of an adapter beside what VLMEvalKit's own code sends, for every task that both have.

`PEER_VLMEVALKIT=CLONE python -m pytest -m slow tests/eval_tasks/readers/test_adapters_peer.py -s`, where CLONE holds
the commit of the rules' date; the table is printed. Nothing of it is copied here: its classes are read from the clone
and run without its package, which needs a GPU's libraries.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from eval_tasks.readers.adapters import (
    ADAPTER_RULES,
    INTERNVL,
    LLAVA_ONEVISION,
    QWEN2_5_VL,
    QWEN2_VL,
    SMOLVLM,
    gen_kwargs_of,
    max_new_tokens_of,
    wording_of,
)
from eval_tasks.readers.ovis2_prompts import PAPER_RULES
from eval_tasks.registry import find_tasks, load_task
from mmcr_dataset.record.dialogue import DialogueImage
from mmcr_dataset.record.messages import to_messages
from tests.conftest import image_bytes

CLONE = os.environ.get("PEER_VLMEVALKIT")
COMMIT = "6c5f81cbb50ff780f33799f708c1a76bb26efa7f"  # 31 March 2025
pytestmark = [pytest.mark.slow, pytest.mark.skipif(not CLONE, reason="PEER_VLMEVALKIT names no clone")]

DATASETS = {  # our task -> its name there, its class, its type
    "ai2d": ("AI2D_TEST", "ImageMCQDataset", "MCQ"),
    "mmbench": ("MMBench_DEV_EN_V11", "ImageMCQDataset", "MCQ"),
    "mmstar": ("MMStar", "ImageMCQDataset", "MCQ"),
    "scienceqa": ("ScienceQA_TEST", "ImageMCQDataset", "MCQ"),
    "ccbench": ("CCBench", "ImageMCQDataset", "MCQ"),
    "seedbench": ("SEEDBench_IMG", "ImageMCQDataset", "MCQ"),
    "seedbench_2_plus": ("SEEDBench2_Plus", "ImageMCQDataset", "MCQ"),
    "blink": ("BLINK", "ImageMCQDataset", "MCQ"),
    "mmmu": ("MMMU_DEV_VAL", "MMMUDataset", "MCQ"),
    "mme": ("MME", "ImageBaseDataset", "Y/N"),
    "hallusion_bench": ("HallusionBench", "ImageBaseDataset", "Y/N"),
    "pope": ("POPE", "ImageBaseDataset", "Y/N"),
    "ocrbench": ("OCRBench", "ImageBaseDataset", "VQA"),
    "mathvista": ("MathVista_MINI", "ImageBaseDataset", "VQA"),
    "mmvet": ("MMVet", "ImageBaseDataset", "VQA"),
    "chartqa": ("ChartQA_TEST", "ImageVQADataset", "VQA"),
    "docvqa": ("DocVQA_VAL", "ImageVQADataset", "VQA"),
    "infovqa": ("InfoVQA_VAL", "ImageVQADataset", "VQA"),
    "textvqa": ("TextVQA_VAL", "ImageVQADataset", "VQA"),
}
SOURCES = {  # file -> the functions and classes that are read from it
    "vlmeval/smp/misc.py": ("listinstr", "cn_string", "istype", "toliststr"),
    "vlmeval/dataset/image_base.py": ("ImageBaseDataset",),
    "vlmeval/dataset/image_mcq.py": ("ImageMCQDataset", "MMMUDataset"),
    "vlmeval/dataset/image_vqa.py": ("ImageVQADataset",),
    "vlmeval/vlm/qwen2_vl/prompt.py": ("Qwen2VLPromptMixin",),
    "vlmeval/vlm/qwen2_vl/model.py": ("ensure_image_url", "Qwen2VLChat"),
    "vlmeval/vlm/internvl/utils.py": ("build_multi_choice_prompt", "reorganize_prompt"),
    "vlmeval/vlm/internvl/internvl_chat.py": ("InternVLChat",),
    "vlmeval/vlm/smolvlm.py": ("SmolVLM",),
    "vlmeval/vlm/llava/llava.py": ("LLaVA_OneVision_HF",),
    "vlmeval/vlm/ovis/ovis.py": ("Ovis2",),
}
PRELUDE = """from __future__ import annotations
import os, re, string, sys, types, warnings
from abc import abstractmethod
import pandas as pd
import torch
from PIL import Image
TYPES = {}
def DATASET_TYPE(name, default=None):
    return TYPES[name]
def DATASET_MODALITY(name, default=None):
    return 'IMAGE'
package = types.ModuleType('vlmeval.dataset')
package.DATASET_TYPE = DATASET_TYPE
sys.modules.setdefault('vlmeval', types.ModuleType('vlmeval'))
sys.modules['vlmeval.dataset'] = package
"""


@dataclass
class Sent:
    """What a model gets: its text with `<image>` where the images are, the images, options and decoding."""

    text: str
    images: list[str]
    options: Any = None


class Captured(Exception):
    """Ends the peer's own call where it would ask the model."""


def is_method(node: ast.stmt) -> bool:
    return isinstance(node, ast.FunctionDef) and node.name != "__init__"


def is_constant(node: ast.stmt) -> bool:
    return isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant)


def source_of(file: str) -> str:
    """A file at the commit; the test is skipped where the clone doesn't hold it."""
    command = ["git", "-C", str(CLONE), "show", f"{COMMIT}:{file}"]
    shown = subprocess.run(command, capture_output=True, text=True)
    if shown.returncode:
        pytest.skip(f"{CLONE} does not hold the commit {COMMIT}: {shown.stderr.strip()}")
    return shown.stdout


@pytest.fixture(scope="module")
def peer(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """The peer's classes as a module of their own, without what loads a model."""
    found = [PRELUDE]
    known = {name for names in SOURCES.values() for name in names}
    for file, names in SOURCES.items():
        for node in ast.parse(source_of(file)).body:
            if not isinstance(node, ast.FunctionDef | ast.ClassDef) or node.name not in names:
                continue
            if isinstance(node, ast.ClassDef):
                node.bases = [base for base in node.bases if isinstance(base, ast.Name) and base.id in known]
                node.body = [one for one in node.body if is_method(one) or is_constant(one)]
            found.append(ast.unparse(node))
    path = tmp_path_factory.mktemp("peer") / "peer_vlmevalkit.py"
    path.write_text("\n\n".join(found))
    spec = importlib.util.spec_from_file_location("peer_vlmevalkit", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    module.TYPES.update({name: kind for name, _, kind in DATASETS.values()})
    return module


def bare(kind: type, **fields: Any) -> Any:
    """An object of a class without its `__init__`, with these fields."""
    made = kind.__new__(kind)
    made.__dict__.update({"meta_only": False, "dump_image": lambda line, dataset=None: line["_files"], **fields})
    return made


def default_message(peer: ModuleType, row: Any, task: str) -> Any:
    return bare(getattr(peer, DATASETS[task][1])).build_prompt(row)


def their_message(peer: ModuleType, model: Any, row: Any, task: str) -> Any:
    name = DATASETS[task][0]
    custom = hasattr(model, "use_custom_prompt") and model.use_custom_prompt(name)
    return model.build_prompt(row, name) if custom else default_message(peer, row, task)


def by_qwen(peer: ModuleType, row: Any, task: str, use_custom_prompt: bool) -> Sent:
    patch = 28 * 28
    limits = {"min_pixels": 1280 * patch, "max_pixels": 16384 * patch}  # as config.py gives them to both
    model = bare(peer.Qwen2VLChat, _use_custom_prompt=use_custom_prompt, **limits)
    content = model._prepare_content(their_message(peer, model, row, task), DATASETS[task][0])
    images = [part for part in content if part["type"] == "image"]
    options = [{name: part[name] for name in ("min_pixels", "max_pixels")} for part in images]
    text = "".join("<image>" if part["type"] == "image" else part["text"] for part in content)
    return Sent(text, [part["image"].removeprefix("file://") for part in images], options)


def by_internvl(peer: ModuleType, row: Any, task: str) -> Sent:
    model: Any = bare(peer.InternVLChat, use_mpo_prompt=False, use_cot=False, best_of_n=1, device="cpu", kwargs={})
    shown: list[tuple[str, int, bool]] = []
    asked: dict[str, Any] = {}

    def load_image(file: str, max_num: int, upscale: bool = False) -> Any:
        shown.append((file, max_num, upscale))
        return torch.zeros(1)

    def chat(tokenizer: Any, **given: Any) -> None:
        asked.update(given)
        raise Captured

    peer.load_image = load_image  # type: ignore[attr-defined]
    model.model, model.tokenizer = SimpleNamespace(chat=chat), None
    message = their_message(peer, model, row, task)
    model.set_max_num(DATASETS[task][0])
    with pytest.raises(Captured):
        model.generate_v2(message, DATASETS[task][0])
    assert asked["generation_config"]["do_sample"] is False
    files = [file for file, _, _ in shown]
    return Sent(asked["question"], files, [{"max_patches": most, "upscale": scaled} for _, most, scaled in shown])


def by_smolvlm(peer: ModuleType, row: Any, task: str) -> Sent:
    asked: dict[str, Any] = {}

    def processor(**given: Any) -> None:
        asked.update(given)
        raise Captured

    model = bare(peer.SmolVLM, processor=processor, kwargs={})
    with pytest.raises(Captured):
        model.generate_inner(default_message(peer, row, task), DATASETS[task][0])
    return Sent(asked["text"], [image.info["name"] for image in asked["images"]])


def by_llava(peer: ModuleType, row: Any, task: str) -> Sent:
    asked: list[Any] = []

    def apply_chat_template(conversation: Any, **given: Any) -> None:
        asked.extend(conversation)
        raise Captured

    message = default_message(peer, row, task)
    model = bare(peer.LLaVA_OneVision_HF, processor=SimpleNamespace(apply_chat_template=apply_chat_template))
    with pytest.raises(Captured):
        model.generate_inner_image(message, DATASETS[task][0])
    (turn,) = asked
    (part,) = turn["content"]
    return Sent(part["text"], [one["value"] for one in message if one["type"] == "image"])


def tiles_by_ovis2(peer: ModuleType, row: Any, task: str) -> int:
    def preprocess_inputs(query: str, images: Any, max_partition: int, **given: Any) -> None:
        raise Captured(max_partition)

    model = bare(peer.Ovis2, image_placeholder="<image>", frame_selector=None)
    model.model = SimpleNamespace(preprocess_inputs=preprocess_inputs)
    with pytest.raises(Captured) as found:
        model.prepare_inputs(default_message(peer, row, task), DATASETS[task][0])
    return int(found.value.args[0])


# How a family's chat template writes a user's turn: https://huggingface.co, the checkpoints that VLMEvalKit names.
TEMPLATES: Mapping[str, Callable[[str, bool], str]] = {
    SMOLVLM: lambda text, image_first: (
        f"<|im_start|>User:{'' if image_first else ' '}{text}<end_of_utterance>\nAssistant:"
    )
}
IMAGES = {INTERNVL: "<image>\n"}  # an image block in InternVL's template


def ours(row: dict[str, Any], files: Mapping[str, str], task: str, rules: str) -> Sent:
    to_sample = load_task(find_tasks()[task]).to_sample
    assert to_sample is not None
    dialogue = to_sample(row, rules, 0).dialogue
    wording = wording_of(rules, task)
    (message,) = wording.write(to_messages(dialogue))
    marks = [block.get("text", IMAGES.get(rules, "<image>")) for block in message["content"]]
    text = TEMPLATES.get(rules, lambda text, _: text)("".join(marks), message["content"][0]["type"] == "image")
    images = [files[image.sha256] for image in dialogue.images]
    options: Any = None
    if rules in (QWEN2_VL, QWEN2_5_VL):
        options = [wording.options_of(len(images)) for _ in images]
    if rules == INTERNVL:
        options = [
            {**wording.options_of(len(images)), "upscale": wording.first_image_scale == 2 and not number}
            for number in range(len(images))
        ]
    return Sent(text + wording.begin(text), images, options)


QUESTIONS = ("What is it?", "  Which is larger,\nA or B? ", "图中有什么？", "A. or B. in the text?")
OPTIONS: tuple[dict[str, str], ...] = ({"A": "a dog", "B": "a cat"}, {"A": "1", "B": "二", "C": "B", "D": "None"})
MATHS = (
    "Hint: Please answer the question and provide the correct option letter, e.g., A, B, C, D, at the end.\n"
    "Question: Which?\nChoices:\n(A) 1 m\n(B) 2 m\n(F) none",
    "Hint: Please answer the question requiring an integer answer.\nQuestion: How many?",
)
MARKED = (
    "Look at <image 1>. What is it?",
    "<image 1> and <image 2>?\n",
    "Again <image 1>, <image 2>, <image 1>!",
    "No.",
)


def rows_of(task: str) -> list[dict[str, Any]]:
    """Rows of all kinds that the benchmark's table has."""
    kind = DATASETS[task][2]
    asked = MATHS if task == "mathvista" else MARKED if task == "mmmu" else QUESTIONS
    rows: list[dict[str, Any]] = []
    for question in asked:
        for num_images in (1, 2, 7) if task in ("mmmu", "blink") else (1,):
            if f"<image {num_images + 1}>" in question:
                continue
            row = {"question": question, "_images": num_images, "answer": "Yes" if kind == "Y/N" else "A"}
            row |= {"index": "VD_a_1_0_0_1" if task == "hallusion_bench" else 1, "category": "c", "image_path": "1.png"}
            for options in OPTIONS if kind == "MCQ" else ({},):
                rows.append({**row, **options})
                if task != "mmmu" and options:
                    rows.append({**row, **options, "hint": "Look well.\nTwice."})
            if task == "mmmu":
                rows.append({**row, "question_type": "open", "answer": "dog"})
                if num_images > 1:
                    rows.append({**row, "A": "<image 2>", "B": "none"})
    return rows


def write_named(path: Path, seed: int) -> Path:
    """An image that knows its file."""
    path.write_bytes(image_bytes(seed))
    named = PngInfo()
    named.add_text("name", str(path))
    with Image.open(path) as image:
        image.load()
        image.save(path, pnginfo=named)
    return path


def compared(peer: ModuleType, task: str, rules: str, folder: Path) -> list[tuple[Sent, Sent]]:
    paths = [str(write_named(folder / f"{number}.png", number)) for number in range(7)]
    files = {DialogueImage(Path(path).read_bytes()).sha256: path for path in paths}
    by: dict[str, Callable[..., Sent]] = {
        QWEN2_VL: lambda *given: by_qwen(*given, use_custom_prompt=True),
        QWEN2_5_VL: lambda *given: by_qwen(*given, use_custom_prompt=False),
        **{INTERNVL: by_internvl, SMOLVLM: by_smolvlm, LLAVA_ONEVISION: by_llava},
    }
    pairs = []
    for row in rows_of(task):
        num_images = row.pop("_images")
        their_row = pd.Series({**row, "_files": paths[:num_images]})
        our_row = {**row, "image": [Path(path).read_bytes() for path in paths[:num_images]]}
        pairs.append((ours(our_row, files, task, rules), by[rules](peer, their_row, task)))
    return pairs


@pytest.mark.parametrize("rules", ADAPTER_RULES)
@pytest.mark.parametrize("task", DATASETS)
def test_texts_images_and_limits_are_theirs(task: str, rules: str, peer: ModuleType, tmp_path: Path) -> None:
    pairs = compared(peer, task, rules, tmp_path)
    print(f"\n{task:18} {rules.partition(':')[2]:16} {len(pairs):3} rows, {sum(a == b for a, b in pairs)} equal")
    for we_send, they_send in pairs:
        assert we_send == they_send, json.dumps([we_send.__dict__, they_send.__dict__], indent=1)


@pytest.mark.parametrize("task", DATASETS)
def test_tiles_of_ovis2_are_theirs(task: str, peer: ModuleType, tmp_path: Path) -> None:
    (tmp_path / "1.png").write_bytes(image_bytes(1))
    row = pd.Series({**rows_of(task)[0], "_files": [str(tmp_path / "1.png")]})
    assert wording_of(PAPER_RULES, task).image_options == {"max_patches": tiles_by_ovis2(peer, row, task)}


def init_of(file: str, name: str) -> ast.FunctionDef:
    """The `__init__` of one of the peer's classes."""
    tree = ast.parse(source_of(file))
    (found,) = [node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == name]
    return next(node for node in found.body if isinstance(node, ast.FunctionDef) and node.name == "__init__")


@pytest.mark.parametrize("size", ["1B", "2B", "4B", "8B", "16B", "34B"])
@pytest.mark.parametrize("task", [name for name in DATASETS if PAPER_RULES in load_task(find_tasks()[name]).rules])
def test_texts_of_ovis2_are_theirs(task: str, size: str, peer: ModuleType) -> None:
    """Of one image; MMMU's stand between the words: the test below."""
    rules = PAPER_RULES + {"1B": "", "4B": "", "16B": ":8B"}.get(size, f":{size}")
    (use_cot,) = [
        ast.literal_eval(node.value)
        for node in ast.walk(init_of("vlmeval/vlm/ovis/ovis.py", "Ovis2"))
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "self.use_cot"
    ]
    model = bare(peer.Ovis2, size=size, use_cot=use_cot)
    name = DATASETS[task][0]
    to_sample = load_task(find_tasks()[task]).to_sample
    assert to_sample is not None
    for row in rows_of(task):
        if row.pop("_images") > 1 or task == "mmmu":
            continue
        their_row = pd.Series({**row, "_files": []})
        custom = model.use_custom_prompt(name)
        message = model.build_prompt(their_row, name) if custom else default_message(peer, their_row, task)
        assert to_sample(row, rules, 0).dialogue.turns[0].human_text == message[-1]["value"]


OVIS2_IMAGE = "<image>\n"  # an image block in its template


def test_lines_of_mmmu_for_ovis2_are_theirs(peer: ModuleType, tmp_path: Path) -> None:
    """A mark that is repeated shows its image once here, so such rows are left out."""
    paths = [str(write_named(tmp_path / f"{number}.png", number)) for number in range(7)]
    asked: list[str] = []

    def preprocess_inputs(query: str, images: Any, **given: Any) -> None:
        asked.append(query)
        raise Captured

    model = bare(peer.Ovis2, image_placeholder="<image>", frame_selector=None)
    model.model = SimpleNamespace(preprocess_inputs=preprocess_inputs)
    to_sample = load_task(find_tasks()["mmmu"]).to_sample
    assert to_sample is not None
    num_rows = 0
    for row in rows_of("mmmu"):
        num_images = row.pop("_images")
        text = row["question"] + str(row.get("A", ""))
        if "<image " not in text or any(text.count(f"<image {number}>") > 1 for number in range(1, 8)):
            continue
        num_rows += 1
        given = {**row, "image": [Path(path).read_bytes() for path in paths[:num_images]]}
        dialogue = to_sample(given, PAPER_RULES, 0).dialogue
        (message,) = wording_of(PAPER_RULES, "mmmu").write(to_messages(dialogue))
        said = "".join(block.get("text", OVIS2_IMAGE) for block in message["content"])
        words = model.build_multi_choice_prompt(pd.Series({"A": None, **row}), "MMMU_DEV_VAL")
        parts = [{"type": "image", "value": path} for path in paths[:num_images]] + [{"type": "text", "value": words}]
        with pytest.raises(Captured):
            model.prepare_inputs(peer.MMMUDataset.split_MMMU(parts), "MMMU_DEV_VAL")
        assert said == asked[-1]
    assert num_rows > 8


def test_decoding_is_theirs() -> None:
    """The wrapper's own defaults; with top_k=1 it is greedy."""
    init = init_of("vlmeval/vlm/qwen2_vl/model.py", "Qwen2VLChat")
    names = [one.arg for one in init.args.args][-len(init.args.defaults) :]
    given = dict(zip(names, map(ast.literal_eval, init.args.defaults), strict=True))
    assert given["top_k"] == 1
    for rules in (QWEN2_VL, QWEN2_5_VL):
        assert gen_kwargs_of(rules) == {"repetition_penalty": given["repetition_penalty"]}
        assert max_new_tokens_of(rules) == given["max_new_tokens"]
    internvl = ast.unparse(init_of("vlmeval/vlm/internvl/internvl_chat.py", "InternVLChat"))
    assert f"do_sample=False, max_new_tokens={max_new_tokens_of(INTERNVL)}, top_p=None" in internvl
