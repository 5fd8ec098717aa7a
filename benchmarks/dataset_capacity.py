"""Hours, dollars and disk of a full build: python -m benchmarks.dataset_capacity [--candidates 1600000].

Measures one process on this machine (requests/s at an endpoint without latency, bytes on disk per candidate in each
stage) and extrapolates. Flags set what can't be measured: latency and max concurrency of your endpoint, images/s of the
downloads.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

from benchmarks.chat_server import chat_server
from benchmarks.dataset_generate import run_ours, write_candidates_to
from mmcr_dataset.endpoint.prices import find_price
from mmcr_dataset.publish.markdown_table import to_table

MACHINES = (1, 8, 64)
IMAGES_A_CANDIDATE = 1.67  # of the measured candidates: six of nine show one image, the others two, three, four


def size_of(folder: Path, pattern: str) -> int:
    """Total size in bytes of the matching files."""
    return sum(path.stat().st_size for path in folder.glob(pattern))


def measure(count: int, in_flight: int) -> dict[str, float]:
    """Requests per second, and bytes per candidate."""
    with tempfile.TemporaryDirectory() as place, chat_server(0.0) as url:
        work = Path(place) / "set.work"
        write_candidates_to(work, count, (640, 480))
        found = run_ours(work, url, in_flight)
        return {
            "requests_a_s": count / found["wall_s"],
            "candidate_bytes": size_of(work, "1_candidates/*") / count,
            "dialogue_bytes": size_of(work, "2_dialogues/*") / count,
            "ledger_bytes": size_of(work, "ledger.sqlite*") / count,
        }


def show(args: argparse.Namespace, rates: dict[str, float]) -> list[str]:
    """The report, line by line."""
    by_endpoint = args.in_flight / args.latency_s
    rate = min(by_endpoint, rates["requests_a_s"])
    lines = [
        f"one process: {rates['requests_a_s']:.0f} requests/s without latency, "
        f"{by_endpoint:.1f} with {args.in_flight} in flight and {args.latency_s:g} s latency; it could keep "
        f"{rates['requests_a_s'] * args.latency_s:,.0f} in flight",
        f"on disk, kB a candidate: {rates['candidate_bytes'] / 1e3:.0f} candidates, "
        f"{rates['ledger_bytes'] / 1e3:.1f} ledger, {rates['dialogue_bytes'] / 1e3:.1f} dialogues",
        "",
        f"{args.candidates:,} candidates",
    ]
    header = ["machines", "hours to fetch", "hours to write", "GB a machine", "requests in flight"]
    rows = []
    bytes_all = args.candidates * (rates["candidate_bytes"] + rates["ledger_bytes"] + rates["dialogue_bytes"])
    for machines in MACHINES:
        fetch_h = args.candidates * IMAGES_A_CANDIDATE / args.images_a_s / machines / 3600
        write_h = args.candidates / rate / machines / 3600
        size = f"{bytes_all / machines / 1e9:,.0f}"
        rows.append([machines, f"{fetch_h:,.1f}", f"{write_h:,.1f}", size, f"{machines * args.in_flight:,}"])
    lines.append(to_table(header, rows))
    price = find_price(args.model)
    if price is not None:
        usd = args.candidates * price.cost_usd(args.prompt_tokens, args.reply_tokens)
        lines += ["", f"{args.model}: {usd:,.0f} USD, by the Batch API {usd / 2:,.0f}"]
    lines.append(f"tokens a minute at 64 machines: {60 * 64 * rate * (args.prompt_tokens + args.reply_tokens):,.0f}")
    return lines


def main() -> None:
    """Measure, compute, print."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--candidates", type=int, default=1_600_000)
    parser.add_argument("--in_flight", "--in-flight", type=int, default=64, help="requests in flight per machine")
    parser.add_argument(
        "--latency_s", "--latency-s", type=float, default=30.0, help="latency of a request at your endpoint"
    )
    parser.add_argument(
        "--images_a_s", "--images-a-s", type=float, default=200.0, help="images downloaded per second, per machine"
    )
    parser.add_argument("--model", default="gpt-4o")
    parser.add_argument(
        "--prompt_tokens", "--prompt-tokens", type=float, default=3000, help="per request, including images"
    )
    parser.add_argument(
        "--reply_tokens", "--reply-tokens", type=float, default=1925, help="paper, Table 1: 3/4 of 1400, 1/4 of 3500"
    )
    parser.add_argument("--measured", type=int, default=1000, help="candidates that are measured")
    args = parser.parse_args()
    print("\n".join(show(args, measure(args.measured, args.in_flight))))


if __name__ == "__main__":
    main()
