"""Files of predictions that are not what they should be, and the two sides of reading them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.__main__ import main

ROW = {"index": 0, "question": "Which?", "A": "a dog", "B": "a cat", "answer": "B", "prediction": "B. a cat"}


def write_rows(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("\n".join(json.dumps(row) for row in rows))
    return path


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ([{**ROW, "prediction": None}], "no column of replies"),
        ([{**ROW, "answer": None}], "--data"),
        ([{**ROW, "answer": "D"}], "expected one of A, B"),
        ([ROW, ROW], "occurs twice"),
        ([], "no rows"),
        ([ROW, {name: cell for name, cell in ROW.items() if name != "answer"}], "no 'answer'"),
    ],
    ids=["no replies", "no gold", "wrong gold", "id twice", "empty", "a row without gold"],
)
def test_a_broken_file_is_a_clear_error(
    rows: list[dict[str, Any]], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = write_rows(tmp_path / "p.jsonl", rows)
    assert main(["score", "--task", "ai2d", "--predictions", str(path)]) == 2
    assert said in capsys.readouterr().err


@pytest.mark.parametrize("name", ["p.xlsx", "p.json", "p.parquet", "p.docx"])
def test_a_file_of_rubbish_is_a_clear_error(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / name).write_bytes(b"\x00 rubbish")
    assert main(["score", "--task", "ai2d", "--predictions", str(tmp_path / name)]) == 2
    assert name in capsys.readouterr().err


def test_gold_is_joined_by_its_key_and_columns_are_read_in_any_case(tmp_path: Path) -> None:
    gold = {name: cell for name, cell in ROW.items() if name != "prediction"}
    write_rows(tmp_path / "gold.jsonl", [gold, {**gold, "index": 1, "answer": "A"}])
    said = [{"Index": index, "Response": "B"} for index in (1, 0, 7)]
    write_rows(tmp_path / "p.jsonl", said)
    ask = ["score", "--task", "ai2d", "--predictions", f"{tmp_path}/p.jsonl", "--data", f"{tmp_path}/gold.jsonl"]
    assert main([*ask, "--out", f"{tmp_path}/run"]) == 0
    entry = json.loads((tmp_path / "run" / "results.json").read_text())["tasks"]["ai2d"]
    assert entry["totals"]["accuracy"]["value"] == 50.0
    assert entry["left_out"] == {"without gold": 1}


def test_a_reply_without_gold_in_the_other_file_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    gold = {name: cell for name, cell in ROW.items() if name != "prediction"}
    write_rows(tmp_path / "gold.jsonl", [gold])
    write_rows(tmp_path / "p.jsonl", [{"index": 9, "prediction": "B"}])
    ask = ["score", "--task", "ai2d", "--predictions", f"{tmp_path}/p.jsonl", "--data", f"{tmp_path}/gold.jsonl"]
    assert main(ask) == 2
    assert "'9'" in capsys.readouterr().err


def test_scored_files_compare_and_stand_beside_the_paper(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name, reply in (("one", "B"), ("two", "A")):
        path = write_rows(tmp_path / f"{name}.jsonl", [{**ROW, "index": n, "prediction": reply} for n in range(30)])
        assert main(["score", "--task", "ai2d", "--predictions", str(path), "--out", str(tmp_path / name)]) == 0
    capsys.readouterr()
    assert main(["compare", str(tmp_path / "one"), str(tmp_path / "two")]) == 0
    assert "significant" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "one"), "--paper", "Ovis-1B", "--out", f"{tmp_path}/table.md"]) == 0
    assert "74.9" in (tmp_path / "table.md").read_text()
    assert main(["report", str(tmp_path / "one"), "--paper", "Ovis-2B"]) == 2
