"""`bridge` and `agreement --run` on a run folder that `python -m eval_tasks` itself has written."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mmcr_bench.__main__ import main
from mmcr_bench.judge.rubric import NAMES
from mmcr_bench.trust.runs import read_run
from mmcr_dataset.publish.parquet import write_dataset
from tests.fake_chat_server import FakeChatServer
from tests.mmcr_bench.conftest import patchwork, patchwork_dialogue
from tests.mmcr_bench.trust.test_judge_trust import material_of, verdict

NUM_ANSWERED = 12


def old_score(request: dict[str, Any]) -> int:
    """What the old judge thinks of the replies, by the number in them; 1 for replies that no model gave (canaries)."""
    found = re.search(r"Grey, (\d+)\.", material_of(request)["R"][0])
    return 3 + int(found.group(1)) % 6 if found else 1


@pytest.fixture(scope="module")
def run_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A scripted model's run, judged by a scripted server: 12 dialogues answered, one not to its end."""
    tmp_path = tmp_path_factory.mktemp("evaluation")
    bench, out = tmp_path / "mmcr-bench", tmp_path / "run"
    write_dataset([patchwork_dialogue(f"d{n}", [patchwork(n)]) for n in range(NUM_ANSWERED + 1)], bench, split="test")
    said = {f"d{n}": [f"Grey, {n}."] * (4 if n else 2) for n in range(NUM_ANSWERED + 1)}
    (tmp_path / "said.json").write_text(json.dumps(said))
    with FakeChatServer(lambda request: verdict(old_score(request))) as server:
        command = [sys.executable, "-m", "eval_tasks", "--model", f"scripted:{tmp_path / 'said.json'}"]
        command += ["--tasks", "mmcr_bench", "--data", str(bench), "--out", str(out)]
        subprocess.run([*command, "--judge", f"api:{server.base_url}#old"], check=True, capture_output=True)
    return out


def test_run_of_the_evaluation_is_read_as_it_was_scored(run_folder: Path) -> None:
    run = read_run(run_folder)
    assert (len(run.dialogues), run.num_failed) == (NUM_ANSWERED, 1)
    expected = {f"d{n}": dict.fromkeys(NAMES, 3.0 + n % 6) for n in range(1, NUM_ANSWERED + 1)}
    assert run.scores == expected
    assert dict(zip((d.id for d in run.dialogues), run.replies, strict=True))["d7"] == ("Grey, 7.",) * 4


def test_bridge_from_a_run_of_the_evaluation(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with FakeChatServer(lambda request: verdict(old_score(request) - 1)) as server:
        arguments = ["bridge", "--old", str(run_folder), "--new", f"api:{server.base_url}#new"]
        arguments += ["--ledger", str(tmp_path / "ledger"), "--out", str(tmp_path / "bridge.json")]
        assert main(arguments) == 0
    assert "12 of 12 dialogues scored by new" in capsys.readouterr().out
    found = json.loads((tmp_path / "bridge.json").read_text())["dimensions"]
    assert {name: found[name]["shift"]["mean"] for name in NAMES} == dict.fromkeys(NAMES, -1.0)


def test_agreement_of_the_judge_of_a_run_with_experts(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    experts = tmp_path / "experts.jsonl"
    lines = [
        {"id": f"d{n}", "expert": name, "scores": {"overall": 3 + n % 6 + stricter}}
        for n in range(1, NUM_ANSWERED + 1)
        for name, stricter in (("ann", 0), ("bob", -1))
    ]
    experts.write_text("".join(json.dumps(line) + "\n" for line in lines))
    assert main(["agreement", "--run", str(run_folder), "--experts", str(experts)]) == 0
    assert "| overall | 12 | -0.50 [-0.50, -0.50] | 1.00" in capsys.readouterr().out


def test_judge_with_images_is_refused_where_the_run_kept_none(
    run_folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["bridge", "--old", str(run_folder), "--new", "api:http://127.0.0.1:9/v1#new?images=yes"]
    assert main([*arguments, "--ledger", str(tmp_path / "ledger")]) == 2
    assert "judge without images" in capsys.readouterr().err
