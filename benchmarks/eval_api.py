"""Evaluation of an API model: python -m benchmarks.eval_api [--dialogues 256] [--in_flight 64] [--latency_s 0.3].

A local server has a fixed latency. The ideal is `turns x dialogues / in flight x latency`; prints the ratio of the
ideal and the time of the evaluation loop, without start-up and scoring.
"""

from __future__ import annotations

import argparse
import asyncio
import tempfile
import time
from pathlib import Path

from eval_tasks.models.open_model import open_model
from eval_tasks.run import RunContext, answer_samples
from eval_tasks.store.journal import Journal
from eval_tasks.task import Sample
from eval_tasks.tasks.mmcr_bench import TASK
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn, introduce
from tests.conftest import image_bytes
from tests.fake_chat_server import server_process

NUM_TURNS = 4


def make_samples(count: int) -> list[Sample]:
    """Dialogues of four turns about one image."""
    image = DialogueImage(image_bytes(0, (320, 240), "JPEG"))
    samples = []
    for number in range(count):
        asked = [introduce([1] if n == 0 else [], f"Question {n} of dialogue {number}?") for n in range(NUM_TURNS)]
        turns = tuple(Turn(human, "reference") for human in asked)
        samples.append(Sample(Dialogue(f"d{number}", turns, (image,)), None, "g"))
    return samples


def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--dialogues", type=int, default=256)
    parser.add_argument("--in_flight", "--in-flight", type=int, default=64)
    parser.add_argument("--latency_s", "--latency-s", type=float, default=0.3)
    args = parser.parse_args()
    reply = "An answer of a few words."
    with tempfile.TemporaryDirectory() as place, server_process(reply, args.latency_s) as base_url:
        model = open_model(f"api:{base_url}#vlm", Path(place) / "ledger.sqlite3", args.in_flight)

        async def ask() -> tuple[float, float]:
            samples = make_samples(args.dialogues)
            async with model:
                start, cpu_start = time.perf_counter(), time.process_time()
                await answer_samples(TASK, samples, RunContext(model, journal, {}, decoding))
                return time.perf_counter() - start, time.process_time() - cpu_start

        decoding = {"temperature": 0, "max_new_tokens": 64}
        with Journal(Path(place) / "journal.jsonl") as journal:
            took_s, cpu_s = asyncio.run(ask())
    num_requests = NUM_TURNS * args.dialogues
    ideal_s = num_requests / args.in_flight * args.latency_s
    print(
        f"{num_requests} requests, {args.in_flight} in flight, {args.latency_s} s each: "
        f"{took_s:.1f} s, ideal {ideal_s:.1f} s, share of the ideal {ideal_s / took_s:.2f}, "
        f"{1000 * cpu_s / num_requests:.2f} ms CPU a request"
    )


if __name__ == "__main__":
    main()
