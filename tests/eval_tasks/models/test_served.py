"""A server that the run starts, waits for, asks and stops."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import pytest

from eval_tasks.__main__ import main
from mmcr_bench.__main__ import main as bench
from tests.eval_tasks.test_failures_count import entry_of, questions
from tests.eval_tasks.tiny_vlm import SPECIAL, write_tiny_vlm

MINI = Path(__file__).resolve().parents[3] / "training" / "mini"


def replies_of(folder: Path) -> list[str]:
    """The replies without special tokens, which this server doesn't leave out."""
    special = re.compile("|".join(map(re.escape, SPECIAL)))
    records = map(json.loads, (folder / "samples.jsonl").read_text().splitlines())
    return [special.sub("", record["replies"][0]).strip() for record in records]


def test_a_started_server_says_what_the_local_model_says_and_is_stopped(tmp_path: Path) -> None:
    pytest.importorskip("uvicorn", reason="transformers serve needs uvicorn")
    folder = write_tiny_vlm("qwen2_5_vl", tmp_path / "model")
    data = questions(tmp_path / "MMStar.jsonl", 3)
    for kind in ("hf", "transformers"):
        ask = [f"--model={kind}:{folder}", "--tasks=mmstar", f"--data={data}", "--max_new_tokens=8"]
        assert main([*ask, "--dtype=float32", "--batch_size=1", f"--out={tmp_path}/{kind}"]) == 0
    assert replies_of(tmp_path / "transformers") == replies_of(tmp_path / "hf")
    assert entry_of(tmp_path / "transformers")["num_truncated"] == 3
    said = (tmp_path / "transformers" / "server.log").read_text()
    (number,) = {int(found) for found in re.findall(r"process \[(\d+)\]", said)}
    with pytest.raises(ProcessLookupError):
        os.kill(number, 0)


def test_a_model_that_sees_scores_the_same_behind_a_server(tmp_path: Path) -> None:
    """`training/mini` in the controlled world: every total of MMCR-Exact, not the replies alone."""
    pytest.importorskip("uvicorn", reason="transformers serve needs uvicorn")
    world = "--style plain --side 2 --domains shapes --images 1-2 --turns 4 --wordings 1 --dialogues 3".split()
    assert bench(["exact", "build", *world, "--output_dir", str(tmp_path / "exact")]) == 0
    found = []
    for kind in ("hf", "transformers"):
        ask = [f"--model={kind}:{MINI}", "--tasks=mmcr_exact", f"--data={tmp_path}/exact", "--max_new_tokens=16"]
        assert main([*ask, "--dtype=float32", "--batch_size=4", f"--out={tmp_path}/{kind}"]) == 0
        found.append(entry_of(tmp_path / kind, "mmcr_exact"))
    assert found[0]["totals"] == found[1]["totals"]
    assert found[0]["totals"]["alone_accuracy"]["value"] > 0
    assert found[1]["failures"] == {}


def test_a_server_that_does_not_start_is_an_error_with_its_last_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "model").mkdir()
    data = questions(tmp_path / "MMStar.jsonl", 1)
    ask = [f"--model=transformers:{tmp_path}/model", "--tasks=mmstar", f"--data={data}", f"--out={tmp_path}/run"]
    assert main([*ask, "--server_args=--no-such-flag"]) == 2
    said = capsys.readouterr().err
    assert "the server ended with code" in said
    assert "no-such-flag" in said


def test_a_server_whose_package_is_missing_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    if __import__("importlib.util").util.find_spec("sglang"):
        pytest.skip("sglang is installed")
    assert main([f"--model=sglang:{tmp_path}", "--tasks=mmstar", f"--out={tmp_path}/run"]) == 2
    assert "pip install sglang" in capsys.readouterr().err
