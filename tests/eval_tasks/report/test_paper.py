"""A number of the paper stands unmarked beside ours only if it is of the same measurement; means are the paper's."""

from __future__ import annotations

from typing import Any

import pytest

from eval_tasks.registry import GROUPS
from eval_tasks.report.means import paper_mean, public_mean
from eval_tasks.report.paper import paper_scores, why_not_comparable


def entry(**changed: Any) -> dict[str, Any]:
    whole = {"num_samples": 1500, "rules": "vlmevalkit@2025-03", "num_unread": 0, "judge": {"name": "none"}}
    return {**whole, "limit": None, "data": "MMBench_TEST_EN.tsv", **changed}


@pytest.mark.parametrize(
    ("model", "task", "changed", "said"),
    [
        ("Ovis-1B", "mmstar", {}, ""),
        ("Ovis-1B", "mmstar", {"num_samples": 20}, "paper: 1500 samples, here: 20"),
        ("Ovis-1B", "mmstar", {"rules": "official"}, "here: official"),
        ("Ovis-8B", "mmstar", {}, "rules vlmevalkit@2025-03:8B"),
        ("Ovis-1B", "mmstar", {"num_unread": 3}, "3 unread and no judge asked"),
        ("GPT-4o", "mmstar", {}, "prompts of its own adapter"),
        ("Qwen2.5-VL-3B", "mmstar", {"rules": "vlmevalkit@2025-03:qwen2_5_vl"}, ""),
        ("Ovis-1B", "mmbench", {}, ""),
        ("Ovis-1B", "mmbench", {"data": "test/MMBench_DEV_EN.tsv"}, "here: MMBench_DEV_EN.tsv"),
        ("Ovis-1B", "mmbench", {"data": "a/test"}, "paper: test split"),
        ("Ovis-1B", "mmbench", {"data": "MMBench_TEST_EN_V11.tsv"}, "paper: test split"),
        ("Ovis-1B", "mmbench", {"data": None}, "the dev split of the Hub"),
        ("Ovis-1B", "mmbench", {"limit": 5}, "the first 5"),
        ("Ovis-1B", "mmcr_bench", {"num_samples": 600, "judge": {"name": "gpt-4o"}}, "its judge prompt"),
    ],
)
def test_another_measurement_is_told_with_its_reason(model: str, task: str, changed: dict[str, Any], said: str) -> None:
    why = why_not_comparable(model, task, entry(**changed))
    assert (said in why) if said else why == ""


def test_the_paper_knows_all_its_models() -> None:
    with pytest.raises(ValueError, match="Pixtral-12B, WeMM"):
        paper_scores("Ovis-2B")


def test_the_mean_over_ten_benchmarks_is_the_papers() -> None:
    tasks = GROUPS["public"]
    before, after = (paper_mean(model, tasks) for model in ("Ovis-1B", "Ovis-1B+MMCR"))
    assert before is not None
    assert after is not None
    assert round(after - before, 1) == 0.6
    assert paper_mean("Qwen2.5-VL-3B", tasks) is None  # no ScienceQA


@pytest.mark.parametrize(("size", "gain"), [("1B", 4.1), ("8B", 3.2)])
def test_the_mean_over_the_six_metrics_is_the_papers(size: str, gain: float) -> None:
    a, b = (
        [points for key, points in paper_scores(model).items() if key.startswith("mmcr_bench/")]
        for model in (f"Ovis-{size}", f"Ovis-{size}+MMCR")
    )
    assert round(sum(b) / 6 - sum(a) / 6, 1) == gain


def test_the_public_mean_scales_mme_and_needs_every_value() -> None:
    mean = public_mean({"mmstar": (50.0, 40.0, 60.0), "mme": (1400.0, 1120.0, 1680.0)})
    assert mean is not None
    assert mean.value == 50.0
    assert (mean.low, mean.high) == pytest.approx((50 - 200**0.5 / 2, 50 + 200**0.5 / 2))
    assert public_mean({"mmstar": (50.0, 40.0, 60.0), "mme": (None, None, None)}) is None
    assert public_mean({"mmstar": (50.0, 40.0, 60.0)}) is None
