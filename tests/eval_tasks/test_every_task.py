"""One run of a scripted model over every task, on made rows in the published form."""

from __future__ import annotations

from pathlib import Path

import pytest

from eval_tasks.registry import FILTERS, GENERAL, find_tasks
from eval_tasks.store.run_folder import read_records
from tests.every_task import names_in, run_all


@pytest.mark.slow
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
