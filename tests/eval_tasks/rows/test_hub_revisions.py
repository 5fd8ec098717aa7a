"""A task of the Hub reads its pinned revision, and results name the one that was read."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as parquet
import pytest

from eval_tasks.registry import find_tasks, load_task
from eval_tasks.rows import hub_place, label_sums
from eval_tasks.rows.hub_place import hub_id
from tests.eval_tasks.tasks.test_named_tasks import IMAGES
from tests.local_hub import LocalHub, Repo

ROOT = Path(__file__).resolve().parents[3]
ID = "Lin-Chen/MMStar"
PROGRAM = """
import sys
from eval_tasks.__main__ import main
from eval_tasks.rows.label_sums import REVISIONS
REVISIONS["Lin-Chen/MMStar"] = sys.argv[1]
sys.exit(main(sys.argv[2:]))
"""


def commit(hub: LocalHub, answer: str, colour: int = 0) -> str:
    """A new revision of the set on the Hub, all of whose answers are this; its commit."""
    rows = [
        {"index": number, "question": "Which?\nOptions: A: x, B: y", "image": IMAGES[colour], "answer": answer}
        for number in range(3)
    ]
    file = io.BytesIO()
    parquet.write_table(pa.Table.from_pylist([{**row, "category": "c", "l2_category": "d"} for row in rows]), file)
    sha = hashlib.sha256(file.getvalue()).hexdigest()
    hub.blobs[sha] = file.getvalue()
    return hub.repos.setdefault(ID, Repo()).commit("main", {"data/val-00000-of-00001.parquet": sha})


@pytest.fixture
def hub() -> Iterator[LocalHub]:
    with LocalHub() as found:
        yield found


def ask(hub: LocalHub, folder: Path, pinned: str, out: str, *more: str) -> subprocess.CompletedProcess[str]:
    (folder / "model.json").write_text('{"*": "A"}')
    environment = {
        **os.environ,
        **{"HF_ENDPOINT": hub.url, "HF_HUB_OFFLINE": "0", "HF_DATASETS_OFFLINE": "0", "HF_HUB_DISABLE_XET": "1"},
        **{"HF_HOME": str(folder / "home"), "PYTHONPATH": str(ROOT)},
    }
    asked = ["--model", "scripted:model.json", "--tasks", "mmstar", "--output_dir", out, *more]
    command = [sys.executable, "-c", PROGRAM, pinned, *asked]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def entry_of(run: Path) -> dict[str, Any]:
    entry: dict[str, Any] = json.loads((run / "results.json").read_text())["tasks"]["mmstar"]
    return entry


def test_the_pinned_revision_is_read_by_default_and_another_one_is_named(hub: LocalHub, tmp_path: Path) -> None:
    old, new = commit(hub, "A"), commit(hub, "B")
    done = ask(hub, tmp_path, old, "pinned")
    assert done.returncode == 0, done.stderr
    entry = entry_of(tmp_path / "pinned")
    assert entry["labels"]["read"] == {ID: f"revision {old}"}
    assert entry["labels"]["other"] == ""
    assert entry["totals"]["accuracy"]["value"] == 100.0
    again = ask(hub, tmp_path, old, "again")  # from the cache of datasets
    assert again.returncode == 0, again.stderr
    assert entry_of(tmp_path / "again")["labels"] == entry["labels"]
    newest = ask(hub, tmp_path, old, "newest", "--data", f"{ID}@main")
    assert newest.returncode == 0, newest.stderr
    entry = entry_of(tmp_path / "newest")
    assert entry["totals"]["accuracy"]["value"] == 0.0
    assert entry["labels"]["other"] == f"{ID} is of revision {new}, the pinned one is {old}"
    assert f"another version of the labels: {ID} is of revision {new}" in newest.stdout


def test_a_revision_that_is_not_there_is_an_error_that_names_the_newest(hub: LocalHub, tmp_path: Path) -> None:
    commit(hub, "A")
    done = ask(hub, tmp_path, "0" * 40, "run")
    assert done.returncode == 2
    last = done.stderr.strip().splitlines()[-1]
    assert f"{ID} at revision {'0' * 40} can't be loaded" in last
    assert f"{ID}@main is its newest revision" in last


@pytest.mark.parametrize(("answer", "colour", "what"), [("B", 0, "gold answers"), ("A", 1, "images")])
def test_other_content_under_the_same_id_is_another_version(
    hub: LocalHub, tmp_path: Path, answer: str, colour: int, what: str
) -> None:
    old, new = commit(hub, "A"), commit(hub, answer, colour)
    for name, sha in (("old", old), ("new", new)):
        done = ask(hub, tmp_path, sha, name)
        assert done.returncode == 0, done.stderr
    for words, wanted in ((["report"], 0), (["compare"], 2)):
        command = [sys.executable, "-m", "eval_tasks", *words, str(tmp_path / "old"), str(tmp_path / "new")]
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert done.returncode == wanted, done.stderr
        assert {old[:8], new[:8]} <= {word.strip(",)(") for word in (done.stdout + done.stderr).split()}
    assert f"the runs differ in the {what}" in done.stderr


def test_a_rerun_in_a_folder_says_that_its_labels_are_others(hub: LocalHub, tmp_path: Path) -> None:
    old, new = commit(hub, "A"), commit(hub, "B")
    assert ask(hub, tmp_path, old, "run").returncode == 0
    done = ask(hub, tmp_path, new, "run")
    assert done.returncode == 0, done.stderr
    assert "mmstar: this folder's earlier run read other labels" in done.stderr
    assert entry_of(tmp_path / "run")["labels"]["read"] == {ID: f"revision {new}"}
    assert "other labels" not in ask(hub, tmp_path, new, "run").stderr


def test_ids_and_revisions() -> None:
    assert hub_id("a/b") == ("a/b", None)
    assert hub_id("a/b@refs/pr/1") == ("a/b", "refs/pr/1")
    assert hub_id(ID) == (ID, label_sums.REVISIONS[ID])
    assert hub_id(f"{ID}@main") == (ID, "main")
    assert [hub_id(place) for place in ("./a/b", "/a/b", "a", "a/b/c", "eval_tasks/tasks")] == [None] * 5
    assert all(len(sha) == 40 for sha in label_sums.REVISIONS.values())


def test_a_revision_is_pinned_for_ids_that_tasks_read_only() -> None:
    texts = "".join(path.read_text(encoding="utf-8") for path in find_tasks().values())
    assert [name for name in label_sums.REVISIONS if f'"{name}"' not in texts] == []
    assert load_task(find_tasks()["mmstar"]).name == "mmstar"
    assert hub_place.REVISIONS is label_sums.REVISIONS
