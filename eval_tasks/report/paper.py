"""The paper's numbers, and whether one stands beside ours by right: same split, rules, prompts and judge."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

# Numbers of samples of the splits that the paper's tables are of; None where the file's name must tell.
_NUM_SAMPLES = {
    "ai2d": 3088,
    "hallusion_bench": 951,
    "mathvista": 1000,
    "mmbench": None,
    "mmmu": 900,
    "mmstar": 1500,
    "mmvet": 218,
    "ocrbench": 1000,
    "scienceqa": 2017,
    "mme": 2374,
    "visdial": 2064,
    "mmcr_bench": 600,
}
_PAPER_MMBENCH = re.compile(r"mmbench.?test.?en(?!.*v11)", re.IGNORECASE)
_RULES = "vlmevalkit@2025-03"
_OWN_JUDGE_PROMPT = ("mathvista", "mmvet", "visdial", "mmcr_bench")  # the papers' judge prompts are not reproduced


def paper_scores(name: str) -> dict[str, float]:
    """`task/metric` -> score of a model in the paper.

    Raises:
        ValueError: the paper has no such model.
    """
    models: dict[str, dict[str, float]] = json.loads(
        resources.files("eval_tasks").joinpath("paper_scores.json").read_text(encoding="utf-8")
    )["models"]
    if name not in models:
        raise ValueError(f"--paper {name!r}: the paper has {', '.join(models)}")
    return models[name]


def show_paper(model: str, task: str, metric: str, entry: Mapping[str, Any]) -> str:
    """The paper's number for a metric, marked with `*` and the reason if it isn't comparable with the run's."""
    points = paper_scores(model).get(f"{task}/{metric}")
    if points is None:
        return ""
    why = why_not_comparable(model, task, entry)
    return f"{points:g}* ({why})" if why else f"{points:g}"


def why_not_comparable(model: str, task: str, entry: Mapping[str, Any]) -> str:
    """Why the paper's number of a model isn't of the same measurement as a run's entry; empty if it is."""
    reasons = []
    num_all, num = _NUM_SAMPLES.get(task), entry["num_samples"]
    if task == "mmbench":
        name = Path(str(entry.get("data") or "the dev split of the Hub")).name
        if not _PAPER_MMBENCH.search(name) or entry.get("limit"):
            reasons.append(f"paper: test split MMBench_TEST_EN, here: {name}{_limit(entry)}")
    elif num_all is not None and num != num_all:
        reasons.append(f"paper: {num_all} samples, here: {num}")
    rules = f"{_RULES}:8B" if "8B" in model else _RULES  # the Ovis2 adapter asks larger models otherwise
    rules = f"{_RULES}:qwen2_5_vl" if model.startswith("Qwen2.5-VL") else rules
    if task not in ("mmcr_bench", "visdial") and entry["rules"] != rules:
        reasons.append(f"paper: rules {rules}, here: {entry['rules']}")
    if task not in ("mmcr_bench", "visdial") and not model.startswith(("Ovis", "Qwen2.5-VL")):
        reasons.append("paper: asked with prompts of its own adapter")
    if task in _OWN_JUDGE_PROMPT:
        judge = entry["judge"]["name"]
        reasons.append(f"paper: GPT-4o with its judge prompt, here: {judge}{'' if judge == 'none' else ', our prompt'}")
    elif entry["num_unread"]:
        reasons.append(f"here {entry['num_unread']} unread and no judge asked")
    return "; ".join(reasons)


def _limit(entry: Mapping[str, Any]) -> str:
    return f", the first {entry['limit']}" if entry.get("limit") else ""
