"""python benchmarks/bench_judge.py: 600 dialogues x 3 judges x 3 repeats at a local server, against the ideal time.

The server runs in another process and replies with a fixed latency.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
import time
from multiprocessing.connection import Connection
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from mmcr_bench.judge.judge import open_judge
from mmcr_bench.judge.rubric import DIMENSIONS
from mmcr_dataset.endpoint.client import Endpoint
from mmcr_dataset.record.dialogue import Dialogue, Turn

REPLY_S = 1.0  # latency of the server; real judges are slower
NUM_DIALOGUES, NUM_JUDGES, NUM_REPEATS = 600, 3, 3


def serve(connection: Connection) -> None:
    """Answer every request with a verdict until a message arrives."""
    from tests.fake_chat_server import Answer, FakeChatServer

    verdict = json.dumps({"Explanation": "So."} | {dimension.key: 5 for dimension in DIMENSIONS})
    with FakeChatServer(lambda request: Answer(verdict, delay_s=REPLY_S)) as server:
        connection.send(server.base_url)
        connection.recv()


def main() -> None:
    """Measure and print."""
    here, there = multiprocessing.Pipe()
    process = multiprocessing.get_context("spawn").Process(target=serve, args=(there,))
    process.start()
    url = here.recv()
    turns = tuple(Turn((f"Question {n}?",), "An answer of a few words. " * 10) for n in range(4))
    dialogues = [Dialogue(f"d{number}", turns) for number in range(NUM_DIALOGUES)]
    replies = [[f"Reply of model to {number}."] * 4 for number in range(NUM_DIALOGUES)]
    spec = ",".join(f"api:{url}#judge{number}?repeats={NUM_REPEATS}" for number in range(NUM_JUDGES))
    with tempfile.TemporaryDirectory() as folder:
        judge = open_judge(spec, Path(folder) / "ledger.sqlite3")
        begun = time.perf_counter()
        judgements = judge.score(dialogues, replies)
        first_s = time.perf_counter() - begun
        begun = time.perf_counter()
        judge.score(dialogues, replies)
        again_s = time.perf_counter() - begun
    here.send("stop")
    process.join()
    count = NUM_DIALOGUES * NUM_JUDGES * NUM_REPEATS
    ideal_s = count * REPLY_S / (NUM_JUDGES * Endpoint(url, "m").max_in_flight)
    assert all(judgement.scores is not None for judgement in judgements)
    print(f"{count} judgements in {first_s:.1f} s, ideal {ideal_s:.1f} s, ratio {ideal_s / first_s:.2f}; "
          f"again from the ledger {again_s:.1f} s")  # fmt: skip


if __name__ == "__main__":
    main()
