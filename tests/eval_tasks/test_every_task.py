"""One run of a scripted model over every task, on made rows in the published form."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from eval_tasks.registry import FILTERS, GENERAL, find_tasks
from eval_tasks.store.run_folder import read_records
from tests.every_task import ask_all_tasks, names_in, run_all, write_all


def test_every_task_runs_with_a_limit_and_stands_on_one_page(tmp_path: Path) -> None:
    results = run_all(tmp_path / "all")
    assert names_in(results) == set(find_tasks())
    without = {name for name, entry in results["tasks"].items() if entry["no_score"]}
    assert without <= set(FILTERS["judged"])
    for name, entry in results["tasks"].items():
        assert entry["failures"] == {}, name
        assert len(entry["labels"]["answers_sha256"]) == 16, name
        assert entry["num_samples"] == (1 if name == "convbench" else 3), name
    for record in read_records(tmp_path / "all" / "run"):
        name, dialogue = record["task"].partition(":")[0], record["dialogue"]
        if len(dialogue["images"]) > 1 and name not in GENERAL:
            assert name in FILTERS["several_images"], name
        if len(dialogue["turns"]) > 1:
            assert name in FILTERS["several_turns"], name
    page = (tmp_path / "all" / "page.html").read_text()
    assert all(name in page for name in results["tasks"])


@pytest.mark.parametrize("reply", ["$reference", "Yes"])
def test_a_lost_reply_raises_no_number_of_any_task(tmp_path: Path, reply: str) -> None:
    places = write_all(tmp_path)
    pope = [json.loads(line) for line in places["pope"].read_text().splitlines()]
    answered = (row | {"answer": answer} for row, answer in zip(pope, ("no", "yes", "no"), strict=True))
    places["pope"].write_text("".join(f"{json.dumps(row)}\n" for row in answered))
    whole = ask_all_tasks(tmp_path / "whole", places, {"*": reply})["tasks"]
    samples = [json.loads(line) for line in (tmp_path / "whole" / "samples.jsonl").read_text().splitlines()]
    first = {sample["task"]: sample["id"] for sample in reversed(samples)}
    lost = {key: {"failure": "timeout"} for key in first.values()}
    after = ask_all_tasks(tmp_path / "after", places, lost | {"*": reply})["tasks"]
    assert all(entry["failures"]["timeout"] > 0 for entry in after.values())
    risen = [
        (name, metric, total["value"])
        for name, entry in after.items()
        for metric, total in entry["totals"].items()
        if total["value"] is not None and total["value"] > whole[name]["totals"][metric]["value"]
    ]
    assert risen == []
