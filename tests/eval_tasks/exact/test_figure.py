"""Accuracy by distance: the table counts every question, the figure is written, runs of other questions are refused."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from eval_tasks.__main__ import main
from eval_tasks.exact.figure import by_distance, read_questions
from eval_tasks.exact.totals import best_guess


def run_model(folder: Path, out: Path, replies: object, *flags: str) -> Path:
    out.mkdir()
    (out / "model.json").write_text(json.dumps(replies))
    argv = ["--model", f"scripted:{out}/model.json", "--tasks", "mmcr_exact", "--data", str(folder), *flags]
    assert main([*argv, "--output_dir", str(out / "run")]) == 0
    return out / "run"


@pytest.fixture(scope="module")
def runs(exact_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    base = tmp_path_factory.mktemp("runs")
    return run_model(exact_folder, base / "a", {"*": "$reference"}), run_model(exact_folder, base / "b", {"*": "red"})


def test_the_figure_and_its_table_show_every_question(
    runs: tuple[Path, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    figure = tmp_path / "figure.png"
    assert main(["exact", "figure", *map(str, runs), "--output_file", str(figure)]) == 0
    assert figure.read_bytes().startswith(b"\x89PNG")
    said = capsys.readouterr().out
    lines = [line for line in said.splitlines() if re.match(r"\| *\d", line)]
    results = json.loads((runs[0] / "results.json").read_text())["tasks"]["mmcr_exact"]
    questions = read_questions(runs[0])
    assert sum(int(line.split("|")[2]) for line in lines) == len(questions)
    assert results["totals"]["accuracy"]["value"] == 100.0
    assert all("100.0" in line for line in lines)
    assert "no history" in said
    assert "only the newest image" in said


def test_guesses_of_a_distance_are_means_of_its_questions(runs: tuple[Path, Path]) -> None:
    questions = read_questions(runs[0])
    for one in by_distance(questions):
        same = [q for q in questions if min(8, q.asked["facts"]["distance_turns"]) == one.distance]
        assert one.num_questions == len(same)
        mean = 100 * sum(q.asked["guesses"]["last"] for q in same) / len(same)
        assert one.guesses["last"] == pytest.approx(mean)
        if one.distance:
            assert mean < 71, "a question that refers back can't be answered without its history"
    assert all(0 < (best_guess(q.asked) or 0) <= 1 for q in questions)


def test_runs_of_other_questions_are_refused(
    runs: tuple[Path, Path], exact_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    fewer = run_model(exact_folder, tmp_path / "c", {"*": "red"}, "--limit", "12")
    assert main(["exact", "figure", str(runs[0]), str(fewer), "--output_file", str(tmp_path / "f.png")]) == 2
    assert "different questions" in capsys.readouterr().err
    assert not (tmp_path / "f.png").exists()
