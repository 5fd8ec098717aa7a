"""A table with other labels is another version of the benchmark: said by run, report and compare."""

from __future__ import annotations

import csv
import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from eval_tasks.__main__ import main
from eval_tasks.rows import label_sums
from eval_tasks.rows.label_versions import label_marks, label_version, labels_read, note_hub, note_table
from tests.eval_tasks.tasks.test_named_tasks import IMAGES

Write = Callable[..., str]


def write_table(path: Path, answers: str, category: str) -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as file:
        lines = csv.writer(file, delimiter="\t")
        lines.writerow(["index", "image", "question", "A", "B", "answer", "category"])
        for index, answer in enumerate(answers):
            lines.writerow([index, IMAGES[0], f"Which point is darker, {index}?", "left", "right", answer, category])
    return path


def md5_of(path: Path) -> str:
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest()


def ask(table: Path, out: Path, script: str, task: str) -> dict[str, Any]:
    assert main(["--model", script, "--tasks", task, "--data", str(table), "--output_dir", str(out)]) == 0
    entry: dict[str, Any] = json.loads((out / "results.json").read_text())["tasks"][task]
    return entry


@pytest.mark.parametrize(("task", "name"), [("blink", "BLINK"), ("mmmu", "MMMU_DEV_VAL")])
def test_other_labels_are_another_version_in_run_report_and_compare(
    task: str,
    name: str,
    tmp_path: Path,
    write_script: Write,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    script, category = write_script({"*": "A"}), "validation_Relative_Reflectance"
    right = write_table(tmp_path / "now" / f"{name}.tsv", "AABA", category)
    old = write_table(tmp_path / "then" / f"{name}.tsv", "BBAA", category)
    monkeypatch.setitem(label_sums.PUBLISHED, name, md5_of(right))
    monkeypatch.setitem(label_sums.EARLIER, md5_of(old), (name, "until 2026-05: labels are wrong"))
    entry = ask(right, tmp_path / "new", script, task)
    assert entry["labels"]["read"] == {f"{name}.tsv": md5_of(right)}
    assert entry["labels"]["other"] == ""
    assert "another version" not in capsys.readouterr().out
    entry = ask(old, tmp_path / "old", script, task)
    assert entry["labels"]["other"] == f"{name}.tsv is {name} as published until 2026-05: labels are wrong"
    assert f"{task}: another version of the labels: {name}.tsv is" in capsys.readouterr().out
    assert main(["report", str(tmp_path / "new"), str(tmp_path / "old")]) == 0
    said = capsys.readouterr().out
    mark = f"{task} (another version of the labels: {name}.tsv {md5_of(old)[:8]})"
    assert f"| {task} (labels: {name}.tsv {md5_of(right)[:8]}) |" in said
    assert f"| {mark} |" in said
    assert main(["compare", str(tmp_path / "new"), str(tmp_path / "old")]) == 2
    assert f"labels: {name}.tsv {md5_of(right)[:8]} and {name}.tsv {md5_of(old)[:8]}" in capsys.readouterr().err


def test_a_table_of_another_sum_under_a_published_name_is_another_version(tmp_path: Path) -> None:
    table = write_table(tmp_path / "BLINK.tsv", "A", "x")
    with labels_read() as read:
        note_table(table)
        note_table(table)
    assert read == {"BLINK.tsv": md5_of(table)}
    other = label_version(read, [])["other"]
    assert other == f"BLINK.tsv has md5 {md5_of(table)}, the published table d5e8af148b10ac69f535ff7b23f3f989"


def test_the_known_wrong_tables_are_named() -> None:
    said = label_version({"BLINK.tsv": "3b6649b6a662184ea046908e5506260e"}, [])["other"]
    assert "Relative_Reflectance" in said
    assert "MMMU_DEV_VAL" in label_version({"x.tsv": "521afc0f3bf341e6654327792781644d"}, [])["other"]
    assert not set(label_sums.EARLIER) & set(label_sums.PUBLISHED.values())


def test_rows_of_the_hub_are_named_by_their_revision() -> None:
    commit = "0123456789" * 4
    with labels_read() as read:
        note_hub("a/b", "config", commit)
        note_hub("a/c", None, "")
    assert read == {"a/b/config": f"revision {commit}", "a/c": "revision unknown"}
    note_hub("a/d", None, "")
    assert "a/d" not in read


def test_many_configurations_of_one_commit_are_named_by_it() -> None:
    commit = "0123456789" * 4
    sources = {f"BLINK-Benchmark/BLINK/{number}": f"revision {commit}" for number in range(14)}
    labels = label_version(sources, [])
    assert labels["read"] == {"BLINK-Benchmark/BLINK": f"revision {commit}"}
    assert labels["other"].count("is of revision") == 1
    mixed = label_version({**sources, "BLINK-Benchmark/BLINK/x": f"revision {'1' * 40}"}, [])
    assert list(mixed["read"]) == ["15 files"]


def test_files_of_other_bytes_with_the_same_answers_are_not_set_apart() -> None:
    records = [{"id": "1", "target": {"answer": "A"}, "dialogue": {"images": []}}]
    tsv, parquet = (label_version({name: name * 8}, records) for name in ("t.tsv", "t.parquet"))
    changed = label_version({"u.tsv": "u" * 8}, [{**records[0], "target": {"answer": "B"}}])
    entries = [{"labels": labels, "num_samples": 1} for labels in (tsv, parquet, changed)]
    assert label_marks(entries[:2]) == ["", ""]
    assert all(mark.startswith("labels: ") for mark in label_marks(entries))
