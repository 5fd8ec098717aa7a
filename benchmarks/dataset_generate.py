"""Throughput of generation: python -m benchmarks.dataset_generate [--documents 2000] [--peer openai].

A local server has a latency of 200 ms and answers 5 % of the requests with 429 or 500; 64 requests are in flight. The
ideal is `requests sent x latency / in flight`, retries included. Ours is the whole stage: read shards, encode images,
write and sync the ledger, parse replies, write shards. A peer keeps the replies in memory.

Peers: `openai` (the vendor's async client with its own retries) and `langchain` (langchain-openai, `abatch`; pass its
interpreter with --peer_python). Each side runs in its own process, alternately, --repeats times.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.chat_server import chat_server

SIDE_PX = (640, 480)
NUM_DIFFERENT = 48
TEXT = "The village lies on a hill above the river. Its houses are built of grey stone, and most have a garden. " * 12


def make_image(seed: int, size: tuple[int, int]) -> bytes:
    """A JPEG of smooth shapes with noise, about 56 kB at 640 x 480."""
    import io

    import numpy as np
    from PIL import Image

    chance = np.random.default_rng(seed)
    soft = Image.fromarray(chance.integers(0, 255, (16, 16, 3), dtype=np.uint8)).resize(size, Image.Resampling.BICUBIC)
    pixels = np.asarray(soft).astype(np.int16) + chance.integers(-14, 14, (size[1], size[0], 3))
    buffer = io.BytesIO()
    Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def write_candidates_to(work: Path, count: int, size: tuple[int, int]) -> None:
    """Shards of 100 candidates: two thirds with one image, the others with two to four."""
    from mmcr_dataset.collect.document import Candidate
    from mmcr_dataset.record.dialogue import DialogueImage
    from tests.conftest import write_candidates

    images = [make_image(seed, size) for seed in range(NUM_DIFFERENT)]
    (work / "1_candidates").mkdir(parents=True)
    for first in range(0, count, 100):
        rows = []
        for number in range(first, min(count, first + 100)):
            several = (1, 1, 2, 1, 1, 3, 1, 1, 4)[number % 9]
            # bytes after the end of a JPEG only change its hash, which makes every image unique
            data = [images[(number * 5 + n) % NUM_DIFFERENT] + number.to_bytes(4, "big") for n in range(several)]
            shown = tuple(map(DialogueImage, data))
            blocks = (*range(1, several + 1), f"Document number {number}. {TEXT}")
            rows.append(Candidate(f"d{number}", blocks, shown))
        write_candidates(work / "1_candidates" / f"{first // 100:05d}.parquet", rows)


def run_ours(work: Path, url: str, in_flight: int) -> dict[str, Any]:
    """Our stage on the candidates of a work folder."""
    from mmcr_dataset.collect.candidates import read_candidates
    from mmcr_dataset.endpoint.client import Endpoint
    from mmcr_dataset.endpoint.ledger import Ledger
    from mmcr_dataset.generate.shards import Row, Shards, write_shards
    from mmcr_dataset.generate.writer_settings import WriterSettings
    from mmcr_dataset.stage.stages import Removed, write_jsonl

    written = []

    def finish(number: int, rows: list[Row]) -> None:
        dialogues = [row for row in rows if not isinstance(row, Removed)]
        write_jsonl(work / "2_dialogues" / f"{number:05d}.jsonl", dialogues)
        written.append(len(dialogues))

    paths = sorted((work / "1_candidates").glob("*.parquet"))
    settings = WriterSettings("openai", Endpoint(url, "bench-vlm", max_in_flight=in_flight))
    start = time.perf_counter()
    with Ledger(work / "ledger.sqlite") as ledger:
        shards = Shards(range(len(paths)), lambda number: read_candidates(paths[number]), finish)
        write_shards(shards, settings, ledger, lambda spend: None)
    return {"wall_s": time.perf_counter() - start, "answers": sum(written)}


def load_requests(work: Path) -> list[list[dict[str, Any]]]:
    """The same messages for a peer, encoded before the timer starts."""
    import base64

    import pyarrow.parquet as pq

    asked = []
    for path in sorted((work / "1_candidates").glob("*.parquet")):
        for row in pq.read_table(path, partitioning=None).to_pylist():
            text = next(block["text"] for block in row["blocks"] if block["text"])
            content: list[dict[str, Any]] = [{"type": "text", "text": text * 5}]
            for image in row["images"]:
                url = "data:image/jpeg;base64," + base64.b64encode(image["data"]).decode()
                content.append({"type": "image_url", "image_url": {"url": url}})
            asked.append([{"role": "user", "content": content}])
    return asked


def run_openai(work: Path, url: str, in_flight: int) -> dict[str, Any]:
    """The vendor's async client behind a semaphore."""
    import openai

    asked = load_requests(work)

    async def run() -> int:
        client = openai.AsyncOpenAI(base_url=url, api_key="x", max_retries=5)
        room = asyncio.Semaphore(in_flight)

        async def ask(messages: Any) -> str | None:
            async with room:
                reply = await client.chat.completions.create(model="bench-vlm", messages=messages, max_tokens=4096)
            return reply.choices[0].message.content

        return sum(bool(text) for text in await asyncio.gather(*(ask(messages) for messages in asked)))

    start = time.perf_counter()
    answers = asyncio.run(run())
    return {"wall_s": time.perf_counter() - start, "answers": answers}


def run_langchain(work: Path, url: str, in_flight: int) -> dict[str, Any]:
    """langchain-openai's `abatch`."""
    from langchain_openai import ChatOpenAI  # type: ignore[import-not-found, unused-ignore]  # a peer, no dependency

    asked = load_requests(work)
    model = ChatOpenAI(base_url=url, api_key="x", model="bench-vlm", max_retries=5, max_tokens=4096)
    start = time.perf_counter()
    replies = asyncio.run(model.abatch(asked, config={"max_concurrency": in_flight}))
    return {"wall_s": time.perf_counter() - start, "answers": sum(bool(reply.content) for reply in replies)}


SIDES = {"ours": run_ours, "openai": run_openai, "langchain": run_langchain}


def run_side(side: str, python: str, work: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Run one side in its own process against a new server; its result, or an error.

    Args:
        side: name of the side.
        python: its interpreter.
        work: work folder with candidates.
        args: the command line.
    """
    with chat_server(args.latency_s, args.error_share) as url:
        command = [python, "-m", "benchmarks.dataset_generate", "--side", side, "--work", str(work), "--url", url]
        command += ["--in-flight", str(args.in_flight)]
        done = subprocess.run(
            command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": "."}
        )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1]}
    return dict(json.loads(done.stdout.splitlines()[-1]))


def measure(args: argparse.Namespace) -> None:
    """Run all sides alternately; prints a line each."""
    sent = args.documents / (1 - args.error_share)
    ideal_s = sent * args.latency_s / args.in_flight
    print(f"{args.documents} documents, about {sent:.0f} requests, {args.in_flight} in flight: ideal {ideal_s:.2f} s")
    best: dict[str, float] = {}
    sides = {"ours": sys.executable} | dict.fromkeys(args.peer, args.peer_python or sys.executable)
    for _ in range(args.repeats):
        for side, python in sides.items():
            with tempfile.TemporaryDirectory() as place:
                work = Path(place) / "set.work"
                write_candidates_to(work, args.documents, (args.width_px, args.width_px * 3 // 4))
                os.sync()  # otherwise the ledger's first commits wait for these files
                found = run_side(side, python, work, args)
            if "error" in found:
                print(f"{side:>10}: not measured: {found['error']}")
                continue
            wall_s = found["wall_s"]
            best[side] = min(wall_s, best.get(side, wall_s))
            print(
                f"{side:>10}: {wall_s:6.2f} s, share of the ideal {ideal_s / wall_s:.2f}, {found['answers']} answers, "
                f"{found['cpu_s']:.1f} s CPU, peak {found['peak_mb']:.0f} MB"
            )
    for peer in [side for side in best if side != "ours"]:
        print(f"ours is {best[peer] / best['ours']:.2f} times as fast as {peer} (best of {args.repeats} each)")


def main() -> None:
    """Measure, or run as one of the sides."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--documents", type=int, default=2000)
    parser.add_argument("--in_flight", "--in-flight", type=int, default=64)
    parser.add_argument("--latency_s", "--latency-s", type=float, default=0.2)
    parser.add_argument("--error_share", "--error-share", type=float, default=0.05)
    parser.add_argument(
        "--width_px", "--width-px", type=int, default=640, help="images above 1024 are downscaled before sending"
    )
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", action="append", default=[], choices=["openai", "langchain"])
    parser.add_argument("--peer_python", "--peer-python", help="interpreter with the peer installed")
    for internal in ("--side", "--work", "--url"):
        parser.add_argument(internal, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side is None:
        measure(args)
        return
    found = SIDES[args.side](Path(args.work), args.url, args.in_flight)
    usage = resource.getrusage(resource.RUSAGE_SELF)
    print(json.dumps(found | {"cpu_s": usage.ru_utime + usage.ru_stime, "peak_mb": usage.ru_maxrss / 1024}))


if __name__ == "__main__":
    main()
