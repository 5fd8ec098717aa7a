"""Images per second and peak memory of downloading: ours against img2dataset, from the same local server.

    python -m benchmarks.dataset_fetch [--images 5000] [--in_flight 64] [--latency_ms 20] [--peer PYTHON]

Two comparisons: our fetcher alone (bytes to one file) with img2dataset without re-encoding (bytes to tar), and our
collect stage (decoded, checked, hashed, bytes to Parquet) with img2dataset's default (decoded, resized, re-encoded, to
tar). img2dataset runs in its own environment (`--peer /path/to/venv/bin/python`; skipped without). Server and sides are
separate processes, the sides alternate; best of the repeats.
"""

from __future__ import annotations

import argparse
import asyncio
import io
import json
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
from PIL import Image

_DIFFERENT = 40
_PEER = """
import json, resource, sys, time
from img2dataset import download

urls, out, in_flight, raw = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4] == "raw"
less = {"resize_mode": "no", "disable_all_reencoding": True} if raw else {}
if __name__ == "__main__":
    start = time.perf_counter()
    download(url_list=urls, output_folder=out, output_format="webdataset", input_format="txt", processes_count=1,
             thread_count=in_flight, retries=2, timeout=20, number_sample_per_shard=1000, **less)
    seconds = time.perf_counter() - start
    kb = sum(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    print("RESULT", json.dumps({"seconds": seconds, "peak_mb": kb / 1000}))
"""
_COUNT_TAR = "import glob, json, sys; print(sum(json.load(open(p))['successes'] for p in glob.glob(sys.argv[1])))"


def make_images(side_px: int) -> list[bytes]:
    """Different JPEGs of a smooth background with noise."""
    rng = np.random.default_rng(0)
    made = []
    for _ in range(_DIFFERENT):
        ground = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8)).resize((side_px, side_px * 3 // 4))
        noise = rng.integers(-12, 12, (side_px * 3 // 4, side_px, 3))
        buffer = io.BytesIO()
        pixels = (np.asarray(ground) + noise).clip(0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(buffer, "JPEG", quality=85)
        made.append(buffer.getvalue())
    return made


async def serve(side_px: int, latency_s: float) -> None:
    """Serve `/NUMBER.jpg` forever; prints the port."""
    bodies = make_images(side_px)

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while line := await reader.readline():
                keep = True
                while (header := await reader.readline()) not in (b"\r\n", b""):
                    keep = keep and header.lower().strip() != b"connection: close"
                await asyncio.sleep(latency_s)
                body = bodies[int(line.split(b"/")[1].split(b".")[0]) % _DIFFERENT]
                connection = b"keep-alive" if keep else b"close"
                head = b"HTTP/1.1 200 OK\r\nContent-Type: image/jpeg\r\nConnection: %b\r\nContent-Length: %d\r\n\r\n"
                writer.write(head % (connection, len(body)) + body)
                await writer.drain()
                if not keep:
                    break
        except ConnectionError:
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await server.serve_forever()


def show_result(start: float) -> None:
    """Print the result for `measure`: seconds since the start and peak memory of this process."""
    seconds = time.perf_counter() - start
    peak_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1000
    print("RESULT", json.dumps({"seconds": seconds, "peak_mb": peak_mb}))


def run_collect(base_url: str, num_images: int, in_flight: int, out: Path) -> None:
    """Our collect stage, one document per image.

    Args:
        base_url: URL of the server.
        num_images: number of images.
        in_flight: max concurrency.
        out: output folder.
    """
    from mmcr_dataset.collect.document import Document, ImageAt
    from mmcr_dataset.collect.shards import collect_shards
    from mmcr_dataset.collect.web.fetch_settings import FetchSettings
    from mmcr_dataset.record.images import ImageLimits
    from mmcr_dataset.stage.stages import Removed, Stage

    def documents() -> Iterator[Document | Removed]:
        for number in range(num_images):
            yield Document(f"d{number}", (ImageAt(url=f"{base_url}/{number}.jpg"), "Some words."))

    start = time.perf_counter()
    settings = FetchSettings(
        max_in_flight=in_flight, max_in_flight_host=in_flight, allow_loopback=True, opt_outs="headers"
    )
    stage = Stage.begin(out, "collect", {})
    asyncio.run(collect_shards(stage, 0, documents(), settings, ImageLimits()))
    show_result(start)
    assert stage.close().num_kept == num_images, stage.close()


def run_bytes(base_url: str, num_images: int, in_flight: int, out: Path) -> None:
    """Our fetcher alone, writing the bytes to one file.

    Args:
        base_url: URL of the server.
        num_images: number of images.
        in_flight: max concurrency.
        out: output folder.
    """
    from mmcr_dataset.collect.document import ImageAt
    from mmcr_dataset.collect.web.byte_budget import ByteBudget
    from mmcr_dataset.collect.web.fetch import ImageFetcher
    from mmcr_dataset.collect.web.fetch_settings import FetchSettings

    async def fetch_all() -> None:
        settings = FetchSettings(
            max_in_flight=in_flight, max_in_flight_host=in_flight, allow_loopback=True, opt_outs="headers"
        )
        budget = ByteBudget(settings.max_held_bytes)
        numbers = iter(range(num_images))
        out.mkdir(parents=True)
        async with ImageFetcher(settings) as fetcher:
            with (out / "images").open("wb") as file:

                async def work() -> None:
                    for number in numbers:
                        place = ImageAt(url=f"{base_url}/{number}.jpg")
                        data = await fetcher.fetch(place, budget.reserve(number))
                        assert isinstance(data, bytes), data
                        file.write(data)
                        await budget.release(number)

                await asyncio.gather(*(work() for _ in range(in_flight)))

    start = time.perf_counter()
    asyncio.run(fetch_all())
    show_result(start)


def measure(command: list[str], folder: Path) -> dict[str, float]:
    """Run a side and parse its result; deletes its folder.

    Raises:
        SystemExit: the side failed.
    """
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    found = [line for line in said.stdout.splitlines() if line.startswith("RESULT ")]
    if said.returncode or not found:
        raise SystemExit(f"{command[:3]} failed:\n{said.stderr[-3000:]}")
    if "-c" in command:
        counted = subprocess.run(
            [sys.executable, "-c", _COUNT_TAR, f"{folder}/*_stats.json"], capture_output=True, text=True, check=True
        )
        print(f"{'':34} img2dataset says {counted.stdout.strip()} successes", flush=True)
    shutil.rmtree(folder, ignore_errors=True)
    result: dict[str, float] = json.loads(found[0].removeprefix("RESULT "))
    return result


def main() -> None:
    """Run the sides alternately and print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--images", type=int, default=5000)
    parser.add_argument("--in_flight", "--in-flight", type=int, default=64)
    parser.add_argument("--latency_ms", "--latency-ms", type=float, default=20.0)
    parser.add_argument("--side_px", "--side-px", type=int, default=400)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--peer", help="Python of an environment with img2dataset (pip install img2dataset)")
    parser.add_argument("--run", choices=("server", "bytes", "collect"), help=argparse.SUPPRESS)
    parser.add_argument("--url", help=argparse.SUPPRESS)
    parser.add_argument("--out", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.run == "server":
        asyncio.run(serve(args.side_px, args.latency_ms / 1000))
        return
    if args.run:
        run = run_bytes if args.run == "bytes" else run_collect
        run(args.url, args.images, args.in_flight, args.out)
        return
    compare(args)


def compare(args: argparse.Namespace) -> None:
    """Start the server, run the sides alternately, print the table."""
    this = [sys.executable, "-m", "benchmarks.dataset_fetch"]
    size = [f"--side-px={args.side_px}", f"--latency-ms={args.latency_ms}"]
    with (
        tempfile.TemporaryDirectory(prefix="mmcr-bench-") as folder,
        subprocess.Popen([*this, "--run=server", *size], stdout=subprocess.PIPE, text=True) as server,
    ):
        try:
            assert server.stdout is not None
            base_url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            urls, out = Path(folder) / "urls.txt", Path(folder) / "out"
            urls.write_text("".join(f"{base_url}/{number}.jpg\n" for number in range(args.images)))
            ours = [*this, f"--url={base_url}", f"--out={out}", f"--images={args.images}"]
            sides: dict[str, list[str]] = {}
            for run, name, way in (("bytes", "bytes alone", "raw"), ("collect", "decoded and checked", "default")):
                sides[f"ours, {name}"] = [*ours, f"--in-flight={args.in_flight}", f"--run={run}"]
                if args.peer:
                    peer = [args.peer, "-c", _PEER, str(urls), str(out), str(args.in_flight), way]
                    sides[f"img2dataset, {name}"] = peer
            results: dict[str, list[dict[str, float]]] = {name: [] for name in sides}
            for _ in range(args.repeats):
                for name, command in sides.items():
                    results[name].append(measure(command, out))
        finally:
            server.kill()
    best = {name: min(result["seconds"] for result in found) for name, found in results.items()}
    for name, found in results.items():
        peak = max(result["peak_mb"] for result in found)
        ratio = best[name] / best[name.replace("img2dataset", "ours")]
        beside = f"   ours is {ratio:.2f} times as fast" if name.startswith("img") else ""
        print(f"{name:34} {args.images / best[name]:7.0f} images/s  {peak:5.0f} MB{beside}")
    ideal = args.images * args.latency_ms / 1000 / args.in_flight
    print(f"{'latency alone':34} {args.images / ideal:7.0f} images/s")
    if not args.peer:
        print("img2dataset skipped: pass --peer /path/to/venv/bin/python of an environment with img2dataset")


if __name__ == "__main__":
    main()
