"""Published predictions of others give their published scores, to the printed digit, through the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from eval_tasks.__main__ import main


class Published(NamedTuple):
    """A file of predictions, the rules, and what must come out to so many digits."""

    task: str
    file: str
    rules: str | None
    values: dict[str, float]
    digits: int
    data: str | None = None


OLD, TODAY = "vlmevalkit@2024-07", "vlmevalkit@2026-06"
LAVIN = {"perception": 963.61, "cognition": 249.64, "existence": 185.0, "count": 88.33, "position": 63.33}
LAVIN |= {"color": 75.0, "posters": 79.59, "celebrity": 47.35, "scene": 136.75, "landmark": 93.5, "artwork": 87.25}
LAVIN |= {"OCR": 107.5, "commonsense_reasoning": 87.14, "numerical_calculation": 65.0, "text_translation": 47.5}
CASES = [
    Published("mme", "mme/LaVIN", None, {**LAVIN, "code_reasoning": 50.0}, 2),
    Published("mme", "mme/LaVIN", "lmms-eval@0.7", {"perception": 963.61, "cognition": 249.64}, 2),
    Published("mme", "mme/LaVIN", TODAY, {"perception": 963.61, "cognition": 248.93}, 2),
    Published(
        "mme",
        "mme/llava-v1.5-13b/llava-v1.5-13b.jsonl",
        None,
        {"perception": 1531.3187, "cognition": 295.36},
        2,
        "mme/LaVIN",
    ),
    Published("mme", "mme/vila/vila_8b_MME.xlsx", None, {"perception": 1558.5247, "cognition": 282.5}, 4),
    Published("mme", "mme/vila/vila_13b_MME.xlsx", None, {"perception": 1436.8252, "cognition": 288.9286}, 4),
    Published(
        "hallusion_bench",
        "hallusionbench/vila_8b_HallusionBench.xlsx",
        None,
        {"aAcc": 52.26078, "fAcc": 22.25434, "qAcc": 20.65934, "VD_ocr fAcc": 48.8372, "VS fAcc": 9.48276},
        4,
    ),
    Published(
        "hallusion_bench",
        "hallusionbench/vila_13b_HallusionBench.xlsx",
        None,
        {"aAcc": 58.04416, "fAcc": 28.61272, "qAcc": 28.13187, "average": 38.26},
        2,
    ),
    Published(
        "ocrbench",
        "ocrbench/vila_8b_OCRBench.xlsx",
        None,
        {"final_score": 438, "accuracy": 43.8, "Text Recognition": 181, "Doc-oriented VQA": 63},
        4,
    ),
    Published("ocrbench", "ocrbench/vila_13b_OCRBench.xlsx", None, {"final_score": 458, "accuracy": 45.8}, 4),
    Published("mmstar", "mmstar/llava_next_yi_34b_MMStar.xlsx", "official", {"accuracy": 52.0667}, 4),
    Published("mmstar", "mmstar/llava_next_yi_34b_MMStar.xlsx", "lmms-eval@0.7", {"average": 52.72}, 2),
    Published("mmstar", "mmstar/vila_8b_MMStar.xlsx", OLD, {"accuracy": 41.6667, "math": 43.2}, 4),
    Published("mmstar", "mmstar/vila_8b_MMStar.xlsx", TODAY, {"accuracy": 41.067}, 3),
    Published("mmstar", "mmstar/vila_13b_MMStar.xlsx", OLD, {"accuracy": 44.267}, 3),
    Published("scienceqa", "scienceqa/llava-v1.5-13b_output.json", None, {"accuracy": 71.6411, "all": 74.3928}, 4),
    Published("scienceqa", "scienceqa/vila_8b_ScienceQA_TEST.xlsx", OLD, {"accuracy": 72.58304}, 4),
    # Three of these right replies are the letter E: reading the options A to D alone gives 72.335.
    Published("scienceqa", "scienceqa/vila_8b_ScienceQA_TEST.xlsx", TODAY, {"accuracy": 72.48389}, 4),
    Published("scienceqa", "scienceqa/vila_8b_ScienceQA_VAL.xlsx", OLD, {"accuracy": 70.86314}, 4),
    Published("scienceqa", "scienceqa/vila_8b_ScienceQA_VAL.xlsx", TODAY, {"accuracy": 70.72}, 3),
    Published("scienceqa", "scienceqa/vila_13b_ScienceQA_TEST.xlsx", OLD, {"accuracy": 79.078}, 3),
    Published("scienceqa", "scienceqa/vila_13b_ScienceQA_VAL.xlsx", OLD, {"accuracy": 77.73}, 3),
    Published("mmbench", "mmbench/mmbench_dev_20230712_llava-v1.5-13b.xlsx", None, {"accuracy": 67.6871}, 4),
    Published(
        "ccbench",
        "ccbench_circular/vila_8b_CCBench.xlsx",
        OLD,
        {"accuracy": 33.9216, "historical_figure": 17.1429},
        4,
    ),
    Published("ccbench", "ccbench_circular/vila_8b_CCBench.xlsx", TODAY, {"accuracy": 33.333}, 3),
    Published("ccbench", "ccbench_circular/vila_13b_CCBench.xlsx", OLD, {"accuracy": 23.333}, 3),
    Published("ccbench", "ccbench_circular/vila_13b_CCBench.xlsx", TODAY, {"accuracy": 21.765}, 3),
    Published("mmvet", "mmvet/llava-v1.5-13b_gpt-4-grade-1runs.json", None, {"rec": 40.6, "math": 7.7}, 1),
    Published("mmvet", "mmvet/llava-v1.5-13b_gpt-4-grade-1runs.json", None, {"score": 36.147}, 3),
    Published("mmvet", "mmvet/llava-v1.5-13b_gpt-4-grade-3runs.json", None, {"score": 36.3, "math": 8.8}, 1),
    Published("mmvet", "mmvet/llava-v1.5-7b_gpt-4-grade-1runs.json", None, {"score": 31.2}, 1),
    Published(
        "mmvet", "mmvet/instructblip_7b_MMVet_gpt4.xlsx", None, {"score": 30.504587, "ocr": 20.520833, "gen": 19.25}, 5
    ),
    Published("mathvista", "mathvista/output_bard.json", None, {"accuracy": 34.8}, 4),
    Published("mathvista", "mathvista/output_llava_llama_2_13b.json", None, {"accuracy": 26.1}, 4),
    Published("mathvista", "mathvista/output_llavar.json", None, {"accuracy": 25.2}, 4),
    Published("mathvista", "mathvista/output_minigpt4_llama2.json", None, {"accuracy": 23.1}, 4),
    Published("mmmu", "mmmu/official/llava1.5_13b", None, {"accuracy": 36.7, "Accounting": 26.7}, 1),
    Published("mmmu", "mmmu/official/qwen_vl", None, {"accuracy": 36.1, "Art": 46.7}, 1),
    Published("mmmu", "mmmu/vlmevalkit/qwen_chat_MMMU_DEV_VAL.xlsx", TODAY, {"accuracy": 30.33}, 2),
    Published(
        "seedbench",
        "seedbench/llava-v1.5-13b_upload.jsonl",
        None,
        {"accuracy": 68.2077},
        4,
        "seedbench/SEED-Bench-1_GPT-4V.jsonl",
    ),
]


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case.task}-{Path(case.file).stem}-{case.rules}")
def test_published_predictions_give_their_published_score(case: Published, parity: Path, tmp_path: Path) -> None:
    for name in filter(None, (case.file, case.data)):
        if not (parity / name).exists():
            pytest.skip(f"{name} is not among the published predictions beside the project")
    arguments = ["score", "--task", case.task, "--predictions", str(parity / case.file), "--out", str(tmp_path)]
    arguments += ["--rules", case.rules] if case.rules else []
    arguments += ["--data", str(parity / case.data)] if case.data else []
    assert main(arguments) == 0
    totals: dict[str, Any] = json.loads((tmp_path / "results.json").read_text())["tasks"][case.task]["totals"]
    got = {metric: totals[metric]["value"] for metric in case.values}
    assert got == pytest.approx(case.values, rel=0, abs=0.5000001 * 10**-case.digits)
