"""The general tasks: any table, named by its file, with a map of columns."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from eval_tasks.__main__ import main
from eval_tasks.readers.yes_no_rows import yes_totals
from eval_tasks.task import Failure, Scored
from eval_tasks.tasks import choice, yes_no
from eval_tasks.totals import interval_of
from tests.conftest import image_bytes
from tests.eval_tasks.tasks.test_tasks import write_tsv

Write = Callable[..., str]
IMAGES = [base64.b64encode(image_bytes(number)).decode() for number in range(3)]
RULES = "vlmevalkit@2026-06"


def totals_of(folder: Path, name: str) -> dict[str, float]:
    entry = json.loads((folder / "results.json").read_text())["tasks"][name]
    return {metric: total["value"] for metric, total in entry["totals"].items()}


def test_tables_of_one_kind_are_asked_in_one_run_under_their_own_names(tmp_path: Path, write_script: Write) -> None:
    row = {
        "index": 0,
        "image": str(IMAGES[:2]),
        "question": "Which?",
        "A": "x",
        "B": "y",
        "answer": "B",
        "category": "c",
    }
    for name in ("BLINK", "MMIU"):
        write_tsv(tmp_path / f"{name}.tsv", [row, row | {"index": 1, "answer": "A"}])
    ask = ["--model", write_script({"*": "B"}), "--tasks", "choice", "--out", f"{tmp_path}/run"]
    ask += [part for name in ("BLINK", "MMIU") for part in ("--data", f"choice={tmp_path}/{name}.tsv")]
    assert main(ask) == 0
    for name in ("choice:BLINK", "choice:MMIU"):
        assert totals_of(tmp_path / "run", name) == {"accuracy": 50.0, "c": 50.0}
    assert main(["score", str(tmp_path / "run")]) == 0
    assert main(["compare", str(tmp_path / "run"), str(tmp_path / "run")]) == 0


def test_columns_of_other_names_are_mapped(tmp_path: Path, write_script: Write) -> None:
    rows = [{"ask": "How many?", "gt": "7", "photos": [{"bytes": image_bytes(n), "path": None} for n in range(2)]}]
    parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "counts.parquet")
    place = f"open_answer={tmp_path}/counts.parquet?question=ask&answer=gt&image=photos"
    ask = ["--model", write_script({"*": "7."}), "--tasks", "open_answer", "--out", f"{tmp_path}/run", "--data", place]
    assert main(ask) == 0
    assert totals_of(tmp_path / "run", "open_answer:counts")["accuracy"] == 100.0


@pytest.mark.parametrize(
    ("place", "part"),
    [
        ("t.tsv", "no column 'question'; it has answer, ask, image, index"),
        ("t.tsv?question=asked", "no column 'asked'; it has answer, ask, image, index"),
        ("t.tsv?quest=ask", "NAME one of split"),
    ],
)
def test_a_missing_column_is_told_with_those_there(
    place: str, part: str, tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tsv(tmp_path / "t.tsv", [{"index": 0, "ask": "Is it?", "answer": "Yes", "image": IMAGES[0]}])
    ask = ["--model", write_script({"*": "Yes"}), "--tasks", "yes_no", "--out", f"{tmp_path}/run"]
    assert main([*ask, "--data", f"yes_no={tmp_path}/{place}"]) == 2
    assert part in capsys.readouterr().err


def test_a_row_without_an_image_is_not_asked_blind(
    tmp_path: Path, write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tsv(tmp_path / "t.tsv", [{"index": 0, "question": "Is it?", "answer": "Yes"}])
    ask = ["--model", write_script({"*": "Yes"}), "--tasks", "yes_no", "--out", f"{tmp_path}/run"]
    assert main([*ask, "--data", f"yes_no={tmp_path}/t.tsv"]) == 2
    assert "nothing is asked blind" in capsys.readouterr().err


def test_a_general_task_without_a_table_says_what_to_pass(
    write_script: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--model", write_script({"*": "Yes"}), "--tasks", "choice"]) == 2
    assert "--data choice=FILE" in capsys.readouterr().err


def test_images_stand_at_their_marks_in_question_and_options() -> None:
    row = {"question": "Is <image> like <image>?", "A": "no", "B": "<image>", "answer": "(B)"}
    sample = choice.ROWS.to_sample(row | {"image": [image_bytes(n) for n in range(3)]}, RULES, 0)
    assert sample.target["answer"] == "B"
    assert [block for block in sample.dialogue.turns[0].human if isinstance(block, int)] == [1, 2, 3]
    assert sample.dialogue.turns[0].human[:4] == ("Question: Is ", 1, " like ", 2)


def scored_yes_no(cases: list[tuple[str, str | None]]) -> list[Scored]:
    found = []
    for number, (gold, reply) in enumerate(cases):
        sample = yes_no.ROWS.to_sample({"question": "Is it?", "answer": gold}, RULES, number)
        one = Scored(sample, (reply or "",))
        one = yes_no.TASK.scored(one, RULES) if reply else Scored(sample, (), failure=Failure("timeout", ""))
        found.append(one)
    return found


def values(cases: list[tuple[str, str | None]]) -> dict[str, Any]:
    return {name: round(total.value, 4) for name, total in yes_totals(scored_yes_no(cases)).items()}


def test_f1_counts_yes() -> None:
    cases: list[tuple[str, str | None]] = [("yes", "Yes."), ("yes", "no"), ("no", "Yes"), ("no", "No"), ("yes", "yes")]
    assert values(cases) == {"F1": 66.6667, "precision": 66.6667, "recall": 66.6667, "share of yes": 60.0}
    total = yes_totals(scored_yes_no(cases * 12))["F1"]
    interval = interval_of(total)
    assert total.value == pytest.approx(200 / 3)
    assert 0 <= interval.low < total.value < interval.high <= 100


def test_no_failure_raises_f1() -> None:
    right: list[tuple[str, str | None]] = [("yes", "yes"), ("no", "no")]
    assert values([*right, ("no", None)])["F1"] < values(right)["F1"]
    assert values([*right, ("yes", None)])["F1"] < values(right)["F1"]
