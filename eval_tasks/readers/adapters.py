"""As VLMEvalKit asks a family of models: prompts by benchmark, image limits, decoding. Data, chosen by the rules.

| rules `vlmevalkit@2025-03:` | prompts | images | reply |
| --- | --- | --- | --- |
| qwen2_vl | of its adapter | 1280 to 16384 patches of 28 x 28 px, OCRBench from 100 | repetition penalty 1.0 |
| qwen2_5_vl | the data sets' own | as qwen2_vl | repetition penalty 1.0 |
| internvl | of its adapter (InternVL2.5) | 6 tiles, 12 to 24 on documents, 64 in all | up to 4096 tokens, others 2048 |
| smolvlm | of its adapter | the processor's own | begins with " Answer:" on multiple choice |
| llava_onevision | the data sets' own | the processor's own; `<image>` is a part of the text | |

Ovis2's prompts are in ovis2_prompts.py, its number of tiles is here.

Source: VLMEvalKit vlm/qwen2_vl, vlm/internvl, vlm/smolvlm.py, vlm/llava/llava.py, vlm/ovis/ovis.py, config.py and
dataset/image_*.py (commit 6c5f81cb, 31 March 2025)
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from eval_tasks.models.generation import Wording
from eval_tasks.readers.ovis2_prompts import OVIS2_RULES, PAPER_RULES, YES_OR_NO
from eval_tasks.rows.hub_rows import dialogue_of_parts, single_turn_dialogue
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage

QWEN2_VL, QWEN2_5_VL = f"{PAPER_RULES}:qwen2_vl", f"{PAPER_RULES}:qwen2_5_vl"
INTERNVL, SMOLVLM = f"{PAPER_RULES}:internvl", f"{PAPER_RULES}:smolvlm"
LLAVA_ONEVISION = f"{PAPER_RULES}:llava_onevision"
ADAPTER_RULES = (QWEN2_VL, QWEN2_5_VL, INTERNVL, SMOLVLM, LLAVA_ONEVISION)
Part = str | int  # of a prompt: text, or the number of an image

SHORT_WORDS = "\nPlease try to answer the question with short words or phrases if possible."
ONE_WORD = "\nAnswer the question using a single word or phrase."
BRIEFLY = "\nGive a very brief answer."
_SELECT, _SELECT_CHINESE = "Please select the correct answer from the options above.", "请直接回答选项字母。"
_LETTER_DIRECTLY = "Answer with the option's letter from the given choices directly."
_CHINESE = re.compile("[一-鿿]")

# What follows an open or yes/no question; where a task is missing, nothing does.
_DOCUMENTS = ("chartqa", "docvqa", "infovqa", "textvqa")
_OWN = dict.fromkeys(_DOCUMENTS, ONE_WORD)
_CLOSINGS: Mapping[str, Mapping[str, str]] = {
    QWEN2_VL: dict.fromkeys((*_DOCUMENTS, "ocrbench", "mathvista"), SHORT_WORDS)
    | dict.fromkeys(("hallusion_bench", "pope"), YES_OR_NO),
    QWEN2_5_VL: _OWN,
    LLAVA_ONEVISION: _OWN,
    INTERNVL: dict.fromkeys((*_DOCUMENTS, "ocrbench"), ONE_WORD)
    | {"mme": f" {ONE_WORD.strip()}", "hallusion_bench": f"{YES_OR_NO} {ONE_WORD.strip()}"},
    SMOLVLM: _OWN
    | dict.fromkeys(("mme", "mmvet", "ocrbench"), BRIEFLY)
    | {"infovqa": ONE_WORD + BRIEFLY, "hallusion_bench": "\nAnswer yes or no."},
}
_SMOLVLM_OPENINGS = {
    "chartqa": "For the question below, follow the following instructions:\n"
    "-The answer should contain as few words as possible.\n"
    "-Don’t paraphrase or reformat the text you see in the image.\n"
    "-Answer a binary question with Yes or No.\n"
    "-When asked to give a numerical value, provide a number like 2 instead of Two.\n"
    "-If the final answer has two or more items, provide it in the list format like [1, 2].\n"
    "-When asked to give a ratio, give out the decimal value like 0.25 instead of 1:4.\n"
    "-When asked to give a percentage, give out the whole value like 17 instead of decimal like 0.17%.\n"
    "-Don’t include any units in the answer.\n"
    "-Do not include any full stops at the end of the answer.\n"
    "-Try to include the full label from the graph when asked about an entity.\n"
    "Question: ",
    "docvqa": "Give a short and terse answer to the following question. "
    "Do not paraphrase or reformat the text you see in the image. Do not include any full stops. "
    "Just give the answer without additional explanation. Question: ",
    "textvqa": "Answer the following question about the image using as few words as possible. "
    "Follow these additional instructions:\n"
    "-Always answer a binary question with Yes or No.\n"
    "-When asked what time it is, reply with the time seen in the image.\n"
    "-Do not put any full stops at the end of the answer.\n"
    "-Do not put quotation marks around the answer.\n"
    "-An answer with one or two words is favorable.\n"
    "-Do not apply common sense knowledge. The answer can be found in the image.\n"
    "Question: ",
}
_SMOLVLM_LETTERS = ("mmstar", "seedbench", "ai2d", "scienceqa")  # "Answer with the letter."
_SMOLVLM_MMBENCH = ("mmbench", "ccbench")  # "Answer with a letter.", the hint after the question

_PATCH = 28 * 28
_QWEN_PIXELS = {"min_pixels": 1280 * _PATCH, "max_pixels": 16384 * _PATCH}
_TILES: Mapping[str, tuple[int, Mapping[str, int]]] = {
    INTERNVL: (6, {"chartqa": 12, "mmmu": 12, "docvqa": 18, "infovqa": 24, "ocrbench": 24}),
    PAPER_RULES: (9, dict.fromkeys((*_DOCUMENTS, "hallusion_bench", "ocrbench"), 12)),
}
_MARK = re.compile(r"<image (\d)>")


def wording_of(rules: str, task: str) -> Wording:
    """How a task's images and replies differ from the chat template's way; nothing without an adapter."""
    if rules in (QWEN2_VL, QWEN2_5_VL):
        least = {"min_pixels": 100 * _PATCH} if task == "ocrbench" else {}
        return Wording(image_options={**_QWEN_PIXELS, **least}, has_marks=rules == QWEN2_VL)
    if rules in (INTERNVL, *OVIS2_RULES):
        most, of_task = _TILES[INTERNVL if rules == INTERNVL else PAPER_RULES]
        options = {"max_patches": of_task.get(task, most)}
        if rules != INTERNVL:
            return Wording(image_options=options, only_of_type="ovis2", own_lines=task == "mmmu")
        first = 2 if task == "mmmu" else 1
        return Wording(image_options=options, max_tiles=64, first_image_scale=first, has_marks=True)
    if rules == SMOLVLM and task in ("mmmu", "mathvista"):
        return Wording(reply_begin=" Answer:", only_if_lettered=True, has_marks=True)
    if rules == SMOLVLM and task in (*_SMOLVLM_LETTERS, *_SMOLVLM_MMBENCH):
        return Wording(reply_begin=" Answer:")
    return Wording(image_mark="<image>\n") if rules == LLAVA_ONEVISION else Wording()


def gen_kwargs_of(rules: str | None) -> dict[str, Any]:
    """Generation settings of the adapter; empty without one."""
    return {"repetition_penalty": 1.0} if rules in (QWEN2_VL, QWEN2_5_VL) else {}


def max_new_tokens_of(rules: str | None) -> int:
    """The adapter's maximum number of new tokens; 1024 without one, as Ovis2's."""
    return {**dict.fromkeys(ADAPTER_RULES, 2048), INTERNVL: 4096}.get(rules or "", 1024)


def ask_open(question: str, task: str, rules: str) -> str:
    """The prompt of an open or yes/no question."""
    closing = _CLOSINGS.get(rules, {}).get(task, "")
    if rules != SMOLVLM:
        return question + closing
    if task == "mathvista":
        question = re.sub(r"\(([A-F])\) ", r"\1. ", question).replace("\nOptions:", "\nChoices:").replace("Hint: ", "")
    own = "" if closing not in (ONE_WORD, ONE_WORD + BRIEFLY) else ONE_WORD  # of the data set: no strip after it
    return _SMOLVLM_OPENINGS.get(task, "") + (question + own).strip() + closing.removeprefix(own)


def ask_choice(question: str, options: Mapping[str, str], hint: str | None, task: str, rules: str) -> str:
    """The prompt of a multiple-choice question, or of one of MMMU's open ones (no options)."""
    listed = "".join(f"\n{letter}. {text}" for letter, text in options.items())
    if rules == INTERNVL:
        text = (f"{hint}\n" if hint else "") + question + listed
        is_chinese = _CHINESE.search(text)
        if options:
            return f"{text}\n{_SELECT_CHINESE if is_chinese else _LETTER_DIRECTLY}"
        return f"{text}\n{'请直接回答问题。' if is_chinese else 'Answer the question directly.'}"
    text = (f"Hint: {hint}\n" if hint else "") + f"Question: {question}\n"
    if rules == QWEN2_VL:
        text += f"Options:{listed}\n" if options else ""
        select = _SELECT_CHINESE if _CHINESE.search(text) and task != "mmmu" else _SELECT
        return (text + select if options else text).rstrip()
    text += f"Options:{listed}\n{_SELECT} \n" if options else ""
    return _smolvlm_choice(text.strip(), task) if rules == SMOLVLM else text


def _smolvlm_choice(text: str, task: str) -> str:
    """The data set's own prompt as SmolVLM's adapter changes it; MMMU's is changed part by part."""
    if task not in (*_SMOLVLM_LETTERS, *_SMOLVLM_MMBENCH):
        return text
    article = "a" if task in _SMOLVLM_MMBENCH else "the"
    text = text.replace("\nOptions:", "\nChoices:").replace(_SELECT, f"Answer with {article} letter.")
    if task in _SMOLVLM_MMBENCH and text.startswith("Hint:"):
        hint, _, rest = text.partition("\nQuestion:")
        asked, _, choices = rest.partition("\nChoices:")
        text = f"Question:{asked}\n{hint}\nChoices:{choices}"
    return text


def to_dialogue(
    sample_id: str, images: Sequence[DialogueImage], text: str, reference: str, task: str, rules: str
) -> Dialogue:
    """The dialogue of a prompt: its images where the rules put them."""
    if rules not in ADAPTER_RULES:
        return single_turn_dialogue(sample_id, images, text, reference)
    parts = place_images(text, len(images), task, rules) if images else [text]
    return dialogue_of_parts(sample_id, images, parts, reference)


def place_images(text: str, num_images: int, task: str, rules: str) -> list[Part]:
    """The parts of a prompt: text, and the numbers of the images at their places."""
    numbers = range(1, num_images + 1)
    if rules == INTERNVL and num_images > 1:
        return [*(part for number in numbers for part in (f"Image-{number}: ", number)), text]
    if task != "mmmu" or rules in (QWEN2_VL, INTERNVL):
        return [*numbers, text]
    pieces = _MARK.split(text)
    parts: list[Part] = [int(piece) if odd % 2 else piece for odd, piece in enumerate(pieces)]
    parts = parts if len(parts) > 1 else [*numbers, text]
    return _smolvlm_mmmu(parts) if rules == SMOLVLM else [part for part in parts if part != ""]


def _smolvlm_mmmu(parts: Sequence[Part]) -> list[Part]:
    """All images first, then the text with `<image 1>` where they stand."""
    shown = [part for part in parts if isinstance(part, int)]
    found: list[Part] = ["Question: "]
    for place, number in enumerate(shown, start=1):
        found += [f"<image {place}>:", number, "\n"]
    place = 0
    for part in parts:
        if isinstance(part, int):
            place += 1
            found.append(f" <image {place}> ")
            continue
        said = part.strip().replace("Question:", "").replace(_SELECT, "Answer with the letter.")
        found.append(said.replace("\nOptions:", "\nChoices:").strip())
    return found
