"""As VLMEvalKit asks Qwen2-VL and Qwen2.5-VL: prompts by benchmark, pixel limits, decoding. Data, chosen by the rules.

Qwen2.5-VL is asked with the data sets' own prompts, Qwen2-VL with those of its adapter. Both see images of at least
1280 and at most 16384 patches of 28 x 28 pixels, on OCRBench of at least 100; the repetition penalty is 1.0, whatever
generation_config.json says.

Source: VLMEvalKit vlm/qwen2_vl/model.py, prompt.py and config.py (March 2025)
"""

from __future__ import annotations

from typing import Any

from eval_tasks.readers.ovis2_prompts import PAPER_RULES

QWEN2_VL, QWEN2_5_VL = f"{PAPER_RULES}:qwen2_vl", f"{PAPER_RULES}:qwen2_5_vl"
QWEN_RULES = (QWEN2_VL, QWEN2_5_VL)
SHORT_WORDS = "\nPlease try to answer the question with short words or phrases if possible."
SELECT, SELECT_CHINESE = "Please select the correct answer from the options above.", "请直接回答选项字母。"
_PATCH = 28 * 28
_PIXELS = {"min_pixels": 1280 * _PATCH, "max_pixels": 16384 * _PATCH}
_PIXELS_OF_TASK = {"ocrbench": {**_PIXELS, "min_pixels": 100 * _PATCH}}


def image_options_of(rules: str, task: str) -> dict[str, Any]:
    """Pixel limits of a task's images; empty without an adapter."""
    return dict(_PIXELS_OF_TASK.get(task, _PIXELS)) if rules in QWEN_RULES else {}


def gen_kwargs_of(rules: str | None) -> dict[str, Any]:
    """Generation settings of the adapter; empty without one."""
    return {"repetition_penalty": 1.0} if rules in QWEN_RULES else {}


def open_question(question: str, rules: str) -> str:
    """The prompt of an open question of OCRBench or MathVista; MM-Vet's and MME's are the questions alone."""
    return question + SHORT_WORDS if rules == QWEN2_VL else question


def closing_of_choices(prompt: str) -> str:
    """Qwen2-VL's last line of a multiple-choice prompt; Chinese if the prompt holds Chinese characters."""
    return SELECT_CHINESE if any("一" <= character <= "鿿" for character in prompt) else SELECT
