"""Our scorers as metrics of `evaluate`, loaded from their local path."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

METRICS = Path(__file__).resolve().parents[2] / "eval_tasks" / "metrics"
PETS = ["a dog", "a cat"]
MME = {"question": "Is it red?", "category": "color", "image_path": "1.jpg"}


@pytest.fixture
def load(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """A function (name, rules) -> the metric, its copy in a place of its own."""
    monkeypatch.setenv("HF_MODULES_CACHE", str(tmp_path))
    evaluate = pytest.importorskip("evaluate", reason="needs pip install evaluate")

    def from_path(name: str, rules: str | None = None) -> Any:
        config = f"{name}:{rules}" if rules else name
        return evaluate.load(str(METRICS / "task"), config, experiment_id=tmp_path.name)

    return from_path


@pytest.mark.parametrize(
    ("name", "predictions", "references", "metric", "value"),
    [
        ("ai2d", ["B.", "a dog", "?"], [{"answer": x, "options": PETS} for x in "BAA"], "accuracy", 200 / 3),
        (
            "mmbench",
            ["A", "B", "A", "A"],
            [
                {"index": index, "answer": answer, "options": PETS}
                for index, answer in ((1, "A"), (1_000_001, "B"), (2, "A"), (1_000_002, "B"))
            ],
            "accuracy",
            50.0,
        ),
        ("mme", ["Yes", "Yes, it is"], [{**MME, "answer": "Yes"}, {**MME, "answer": "No"}], "color", 50.0),
        (
            "hallusion_bench",
            ["Yes", "No"],
            [{"index": f"VD_math_1_0_0_{n}", "question": "Same?", "answer": "Yes"} for n in range(2)],
            "average",
            (50 + 0 + 50) / 3,
        ),
        (
            "mmcr_bench",
            [["a red boat", "yes"], ["no"]],
            [["a red boat", "no"], ["no"]],
            "reference_overlap",
            75.0,
        ),
        ("ocrbench", ["CENTRE"], [{"question": "?", "answer": ["centre"], "category": "x"}], "final_score", 1.0),
    ],
)
def test_metric_from_its_path_gives_the_benchmarks_total(
    name: str, predictions: list[str], references: list[dict[str, Any]], metric: str, value: float, load: Any
) -> None:
    found = load(name).compute(predictions=predictions, references=references)
    assert found[metric] == pytest.approx(value)


def test_replies_can_be_added_one_by_one(load: Any) -> None:
    metric = load("ai2d")
    for said, gold in (("B", "B"), ("A", "B")):
        metric.add(prediction=said, reference={"answer": gold, "options": PETS})
    metric.add_batch(predictions=["B"], references=[{"answer": "B", "options": PETS}])
    assert metric.compute()["accuracy"] == pytest.approx(200 / 3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("mmdu", "needs its judge"),
        ("mmvet", "only a judge can score"),
        ("ai2e", "did you mean"),
        ("default", "name the"),
    ],
)
def test_a_benchmark_that_replies_alone_cannot_score_says_so(name: str, said: str, load: Any) -> None:
    row = {"question": "?", "answer": "x", "category": "rec"}
    with pytest.raises(ValueError, match=said):
        load(name).compute(predictions=["B"], references=[row])


def test_overlap_refuses_dialogues_with_other_numbers_of_turns(load: Any) -> None:
    with pytest.raises(ValueError, match="1 replies for 2 references"):
        load("mmcr_bench").compute(predictions=[["a"]], references=[["a", "b"]])


def test_every_metric_loads_from_its_path_without_a_network(tmp_path: Path) -> None:
    pytest.importorskip("evaluate", reason="needs pip install evaluate")
    folders = [str(path.parent) for path in sorted(METRICS.glob("*/*.py"))]
    program = f"""
import socket
def refuse(*args): raise RuntimeError("asked the network")
socket.socket.connect = socket.getaddrinfo = refuse
import evaluate
print(*(type(evaluate.load(folder)).__name__.lower() for folder in {folders}))
"""
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "HF_EVALUATE_OFFLINE": "1", "HF_HOME": str(tmp_path)}
    asked = [sys.executable, "-c", program]
    loaded = subprocess.run(asked, capture_output=True, text=True, env=environment, cwd=METRICS.parents[1], check=True)
    assert loaded.stdout.split() == [Path(folder).name.replace("_", "") for folder in folders]


def test_configuration_names_the_rules_and_unread_replies_are_counted(load: Any) -> None:
    long = "B is what I would say, because of the whiskers and of the tail that is so long"
    reference = {"answer": "B", "options": PETS}
    found = load("ai2d", "vlmevalkit@2026-06").compute(predictions=[long], references=[reference])
    assert found == {"accuracy": 0.0, "num_unread": 1.0}
    assert load("ai2d").compute(predictions=[long], references=[reference])["accuracy"] == 100.0
    with pytest.raises(ValueError, match="has no rules"):
        load("ai2d", "mine@1").compute(predictions=["B"], references=[reference])
