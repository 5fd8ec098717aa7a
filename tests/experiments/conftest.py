"""Fixtures of the experiments' tests: an interpreter that trains nothing, data sets that are footers only."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from experiments.commands import override

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
QUIZ = str(HERE / "quiz.py")


class FakePython:
    """The interpreter and what it was called with."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        source = (HERE / "fake_python.py").read_text()
        self.path = folder / "python"
        path_line = f"import sys; sys.path.insert(0, {str(ROOT)!r})"
        source = source.replace("import json\n", f"{path_line}\nimport json\n", 1)
        self.path.write_text(f"#!{sys.executable}\n{source}")
        self.path.chmod(0o755)

    @property
    def calls(self) -> list[list[str]]:
        """The words of every command but the look-ups of settings."""
        path = self.folder / "calls.jsonl"
        return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []

    def tell(self, name: str, word: str) -> None:
        """Let commands with that word `fail` or `hang`; an empty word lets none."""
        (self.folder / name).write_text(word)


@pytest.fixture
def fake(tmp_path: Path) -> FakePython:
    return FakePython(tmp_path / "fake")


@pytest.fixture
def sets(tmp_path: Path) -> dict[str, str]:
    """Places of `mmcr` with 100 rows on three topics and `mmdu` with 40, ids and topics only."""
    topics = ["cats"] * 50 + ["dogs"] * 30 + ["tea"] * 20
    for name, count in (("mmcr", 100), ("mmdu", 40)):
        (tmp_path / name / "multi").mkdir(parents=True)
        table = pa.table({"id": [f"{name}{n}" for n in range(count)], "topic": topics[:count]})
        pq.write_table(table, tmp_path / name / "multi" / "train.parquet")
    return {name: str(tmp_path / name) for name in ("mmcr", "mmdu")}


@pytest.fixture
def flags(fake: FakePython, tmp_path: Path) -> Callable[..., list[str]]:
    """A function (places, further flags) -> the words of a command line."""

    def words(*places: str, more: str = "") -> list[str]:
        recipe = ROOT / "training" / "recipes" / "tiny_cpu.yaml"
        words = [
            "--config", str(recipe), "--data", *places, "--tasks", "quiz", "--tasks_from", QUIZ,
            "--python", str(fake.path), "--out", str(tmp_path / "out"),
        ]  # fmt: skip
        return override(words, more.split())

    return words
