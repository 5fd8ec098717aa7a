from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from eval_tasks.__main__ import main as evaluate
from eval_tasks.report.paper import paper_scores
from experiments.arm import Arm, Experiment
from experiments.estimates import Runs
from experiments.figures import write_figure
from experiments.result_table import differences_of, show_results, write_results
from experiments.scores import BASE, Measure, Scores, load_scores, to_measures
from experiments.volumes import DryRun, equal_token_rows, read_dry_run
from tests.experiments.conftest import QUIZ


def asked(out: Path, replies: Mapping[str, Any]) -> Path:
    """A run of the quiz with these replies."""
    script = out.with_suffix(".json")
    script.write_text(json.dumps({"*": "wrong", **replies}))
    words = ["--model", f"scripted:{script}", "--tasks", "quiz", "--tasks-from", QUIZ, "--out", str(out)]
    assert evaluate(words) == 0
    return out


@pytest.mark.parametrize("how", ["unjudged", "failure"])
def test_lost_samples_count_as_wrong_and_leave_no_verdict(how: str, tmp_path: Path) -> None:
    """Before, a run that lost a sample lost its question in all runs: 1 of 24 was 1 of 23."""
    a = asked(tmp_path / "a", {"q0": "right", "q1": "right"})
    b = asked(tmp_path / "b", {"q0": "right"})
    records = [json.loads(line) for line in (b / "samples.jsonl").read_text().splitlines()]
    records[1] |= {how: {"reason": "no_verdict", "detail": ""}, "points": {}}
    (b / "samples.jsonl").write_text("".join(json.dumps(record) + "\n" for record in records))
    scores = load_scores({BASE: [a], "arm": [b]}, [QUIZ])
    (measure,) = scores.measures
    runs = scores.runs[measure.label]
    values = [runs[name].values_S.tolist() for name in (BASE, "arm")]
    assert values == [[pytest.approx(200 / 24)], [pytest.approx(100 / 24)]]
    assert scores.notes == [f"quiz: 1 of 24 samples failed or are unjudged in {b}; they count as 0"]
    assert runs[BASE].num_groups == 8
    ((_, verdict),) = differences_of(measure, [("arm", BASE)], scores)
    assert verdict == "no verdict: 1 samples lost in some runs only"
    same = load_scores({BASE: [b], "arm": [b, b]}, [QUIZ])
    assert (same.num_lost(measure, "arm"), same.num_lost_apart(measure, "arm", BASE)) == (2, 0)
    experiment = Experiment("t", [Arm("arm", "arm", ["d"], [1])])
    facts = {"data": [{"name": "d", "taken": 1}], "run": {"trained_tokens": 1, "steps": 1, "rows_skipped": {}}}
    table = show_results(experiment, scores, {"arm": [facts]}, is_tiny=False)
    assert "]; 1 lost |" in table
    write_results(tmp_path / "results.json", experiment, scores, {"arm": [facts]}, [])
    (stored,) = json.loads((tmp_path / "results.json").read_text())["measures"]
    assert stored["arms"]["arm"]["num_lost"] == 1
    assert stored["differences"][0]["significant"] is False


def test_scores_of_an_unfit_judge_give_no_verdict(tmp_path: Path) -> None:
    a, b = asked(tmp_path / "a", {}), asked(tmp_path / "b", {f"q{number}": "right" for number in range(24)})
    results = json.loads((b / "results.json").read_text())
    results["tasks"]["quiz"]["canaries"] = {"fit": False, "failed": ["worthless"]}
    (b / "results.json").write_text(json.dumps(results))
    scores = load_scores({BASE: [a], "arm": [b]}, [QUIZ])
    assert scores.notes == [f"quiz: JUDGE UNFIT in {b}; these scores must not be used"]
    ((_, verdict),) = differences_of(scores.measures[0], [("arm", BASE)], scores)
    assert verdict == "no verdict: JUDGE UNFIT"


def test_run_in_which_nothing_was_judged_has_no_score(tmp_path: Path) -> None:
    a = asked(tmp_path / "a", {"q0": "right"})
    records = [json.loads(line) for line in (a / "samples.jsonl").read_text().splitlines()]
    lost = {"unjudged": {"reason": "no_verdict", "detail": ""}, "points": {}}
    (a / "samples.jsonl").write_text("".join(json.dumps({**record, **lost}) + "\n" for record in records))
    with pytest.raises(ValueError, match="no sample of quiz has a score"):
        load_scores({BASE: [a]}, [QUIZ])


def test_load_scores_refuses_runs_that_were_asked_differently(tmp_path: Path) -> None:
    a, b = asked(tmp_path / "a", {}), asked(tmp_path / "b", {})
    results = json.loads((b / "results.json").read_text())
    results["tasks"]["quiz"]["prompts_sha256"] = "other"
    (b / "results.json").write_text(json.dumps(results))
    with pytest.raises(ValueError, match=r"task quiz: .* differ in prompts_sha256"):
        load_scores({BASE: [a], "arm": [b]}, [QUIZ])


def test_measures_are_the_papers_mean_of_nine_the_bench_and_each_benchmark() -> None:
    metrics = {"mmcr_bench": "overall"} | {key.split("/")[0]: key.split("/")[1] for key in paper_scores("Ovis-1B+MMDU")}
    judges = {task: {"judge": {"name": "gpt-4o" if task == "mmcr_bench" else "none"}} for task in metrics}
    measures = to_measures(metrics, {"tasks": judges})
    assert [measure.label for measure in measures if measure.is_headline] == [
        "mean of 9 public benchmarks", "mmcr_bench: overall (judge: gpt-4o)",
    ]  # fmt: skip
    assert "mme" not in measures[0].tasks
    assert [measure.metric for measure in measures[2:]] == list(paper_scores("Ovis-1B+MMDU"))


def paper_like_scores(seeds: int) -> tuple[Experiment, Scores, dict[str, Sequence[Any]]]:
    """Two arms on two public benchmarks and a bench, with made-up numbers."""
    rng = np.random.default_rng(0)
    alone = [Measure(f"{task}: accuracy", [task], False, f"{task}/accuracy") for task in ("ai2d", "mmstar")]
    measures = [
        Measure("mean of 2 public benchmarks", ["ai2d", "mmstar"]),
        Measure("mmcr_bench: overall", ["mmcr_bench"]),
        *alone,
    ]
    runs = {
        measure.label: {
            name: Runs(60 + gain + rng.normal(0, 1, count), 60 + gain + rng.normal(0, 1, (count, 500)), 100)
            for name, gain, count in ((BASE, 0, 1), ("mmdu", 0.2, seeds), ("mmcr", 20, seeds))
        }
        for measure in measures
    }  # fmt: skip
    facts = {
        "data": [{"name": "d", "taken": 45_000}],
        "run": {"trained_tokens": 7, "steps": 44, "rows_skipped": {"too_long": 2}},
    }
    arms = [Arm(name, name.upper(), [name], [45_000], x=float(place)) for place, name in enumerate(("mmdu", "mmcr"))]
    paper = {"base": "Ovis-1B", "mmdu": "Ovis-1B+MMDU", "mmcr": "Ovis-1B+MMCR"}
    experiment = Experiment("Two sets", arms, against="mmdu", notes=["Equal."], paper=paper)
    return experiment, Scores(measures, runs, []), {arm.name: [facts] * seeds for arm in arms}


@pytest.mark.parametrize("seeds", [1, 3])
def test_table_has_our_numbers_the_papers_and_verdicts(seeds: int, tmp_path: Path) -> None:
    experiment, scores, trained = paper_like_scores(seeds)
    table = show_results(experiment, scores, trained, is_tiny=False)
    lines = {line.split(" | ")[0].strip("| "): line for line in table.splitlines() if line.startswith("| ")}
    assert "| paper: Ovis-1B | paper: Ovis-1B+MMDU | paper: Ovis-1B+MMCR |" in table
    in_scores = next(line for line in table.splitlines() if line.startswith("| ai2d"))
    assert in_scores.endswith("| 74.9 | 75.1 | 76 |")
    mean = next(line for line in table.splitlines() if line.startswith("| mean of 2"))
    assert mean.endswith(f"| {(74.9 + 51.6) / 2:.2f} | {(75.1 + 51.3) / 2:.2f} | {(76.0 + 51.5) / 2:.2f} |")
    bench = next(line for line in table.splitlines() if line.startswith("| mmcr_bench"))
    assert bench.endswith("|  |  |  |")
    assert lines["MMDU"] == f"| MMDU | {seeds} | 45,000 of d | 7 | 44 | {2 * seeds} |"
    assert "| measure | MMDU less before training | MMCR less before training | MMCR less MMDU |" in table
    compared = [line for line in table.splitlines() if line.startswith("| mmcr_bench")][1]
    assert [cell.rpartition("], ")[2].strip() for cell in compared.split("|")[2:5]] == [
        "not significant", "significant", "significant",
    ]  # fmt: skip
    assert "mean nothing" not in table
    write_results(tmp_path / "results.json", experiment, scores, trained, [])
    stored = json.loads((tmp_path / "results.json").read_text())
    assert len(stored["measures"][0]["arms"]["mmcr"]["by_seed"]) == seeds


def test_verdicts_are_corrected_for_the_comparisons_of_their_line() -> None:
    _, scores, _ = paper_like_scores(1)
    measure = scores.measures[1]
    alone = differences_of(measure, [("mmcr", BASE)], scores)[0][0]
    assert differences_of(measure, [("mmcr", BASE)] * 3, scores)[0] == (alone, "significant")
    rng = np.random.default_rng(1)
    values = 2.4 + rng.normal(0, 1, (1, 2000))
    runs = {"a": Runs(np.array([2.4]), values, 50), BASE: Runs(np.array([0.0]), np.zeros((1, 2000)), 50)}
    close = Scores([Measure("m", ["t"])], {"m": runs}, [])
    assert [differences_of(close.measures[0], [("a", BASE)] * number, close)[0][1] for number in (1, 10)] == [
        "significant",
        "not significant",
    ]


@pytest.mark.parametrize("x_label", ["", "dialogues"])
def test_figure_is_drawn_along_an_axis_or_as_differences_also_where_an_interval_has_no_end(
    x_label: str, tmp_path: Path
) -> None:
    from PIL import Image

    experiment, scores, _ = paper_like_scores(2)
    bare = Runs(np.array([50.0]), np.zeros((1, 500)), 1)
    scores.runs["mmcr_bench: overall"].update({BASE: bare, "mmdu": bare})  # type: ignore[attr-defined]
    drawn = Experiment(experiment.title, experiment.arms, x_label=x_label, base_x=None)
    write_figure(drawn, scores, True, tmp_path / "figure.png")
    with Image.open(tmp_path / "figure.png") as image:
        assert len(image.convert("L").getcolors() or []) > 3
        assert image.width > 700
    assert [path.name for path in tmp_path.iterdir()] == ["figure.png"]


def test_equal_tokens_are_those_of_the_arm_that_has_fewest() -> None:
    runs = [DryRun(1000, 10, 500), DryRun(400, 10, 2000), DryRun(10_000, 10, 1000)]
    caps = equal_token_rows(runs, None)
    assert caps == [1000, 250, 500]
    assert {cap * run.tokens_a_dialogue for cap, run in zip(caps, runs, strict=True)} == {50_000}
    assert equal_token_rows(runs, 100) == [100, 25, 50]


def test_look_at_data_that_cannot_be_trained_is_an_error(tmp_path: Path) -> None:
    at = {"dialogues": 0, "trained_tokens": 0, "skipped": 9}
    (tmp_path / "dry_run.json").write_text(json.dumps({"data": [{"rows": 9}], "looked_at": at}))
    with pytest.raises(ValueError, match=r"none of the encoded dialogues can be trained \(9 skipped\)"):
        read_dry_run(tmp_path)


def test_two_arms_of_one_name_are_refused() -> None:
    with pytest.raises(ValueError, match="duplicate arms a"):
        Experiment("t", [Arm("a", "a", ["d"], [1]), Arm("a", "a", ["d"], [2])])


def test_further_metrics_are_measures_of_their_own_and_unknown_ones_are_named(tmp_path: Path) -> None:
    a = asked(tmp_path / "a", {"q0": "right"})
    metric = next(iter(json.loads((a / "results.json").read_text())["tasks"]["quiz"]["totals"]))
    scores = load_scores({BASE: [a], "arm": [a]}, [QUIZ], [f"quiz/{metric}"])
    assert len(scores.measures) == 1, "the main metric is no further measure"
    with pytest.raises(ValueError, match=r"no metric quiz/luck; it has quiz/"):
        load_scores({BASE: [a], "arm": [a]}, [QUIZ], ["quiz/luck"])
