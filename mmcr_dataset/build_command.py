"""python -m mmcr_dataset build: its flags, and the settings they become. Light: `--help` loads nothing else."""

from __future__ import annotations

import argparse
from pathlib import Path


def add_flags(build: argparse.ArgumentParser) -> None:
    """All flags of `build`, in groups."""
    build.add_argument(
        "--source",
        required=True,
        metavar="[KIND:]PLACE",
        help="demo; a file or folder; or hub:ORG/NAME[@REVISION][:GLOB], read in pieces. The kind is seen from the "
        "files, or written before: omnicorpus, obelics (Parquet), mmc4 (.jsonl, .gz, .zip), webdataset (.tar), folder "
        "(images with .txt files beside them)",
    )
    build.add_argument("--out", type=Path, required=True, help="folder of the data set; stages go to OUT.work")
    build.add_argument("--single", type=int, metavar="N", help="documents of one image to take (default: all)")
    build.add_argument("--multi", type=int, metavar="N", help="documents of several images to take (default: all)")
    build.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    build.add_argument("--licence", help="licence of images and texts, where the source does not say")
    screen = build.add_argument_group("documents")
    screen.add_argument(
        "--max-probability",
        metavar="NAME=X,...",
        default="",
        help="leave out documents that the source rates higher: advertisement, politics, porn, toxic, unsafe",
    )
    screen.add_argument(
        "--min-probability", metavar="NAME=X,...", default="", help="or lower: fluency, aesthetic (OmniCorpus has both)"
    )
    screen.add_argument("--any-language", action="store_true", help="take every language (default: English only)")
    fetch = build.add_argument_group("images")
    fetch.add_argument("--fetch-in-flight", type=int, default=64, help="requests at once (default: %(default)s)")
    fetch.add_argument("--fetch-per-host", type=int, default=8, help="of them to one host (default: %(default)s)")
    fetch.add_argument("--fetch-timeout-s", type=float, default=20.0, help="for one try (default: %(default)s)")
    fetch.add_argument("--allow-loopback", action="store_true", help="fetch from 127.0.0.1 too, for local copies")
    writer = build.add_argument_group("writer")
    writer.add_argument("--writer", default="openai", help="openai, openai-batch or offline (default: %(default)s)")
    writer.add_argument("--endpoint", metavar="URL#MODEL", help="for openai, e.g. https://host/v1#gpt-4o-2024-11-20")
    writer.add_argument("--temperature", type=float, help="sampling temperature (default: the endpoint's)")
    writer.add_argument("--max-tokens", type=int, default=4096, help="limit of a reply (default: %(default)s)")
    writer.add_argument(
        "--max-side-px", type=int, default=1024, help="images are sent this large (default: %(default)s)"
    )
    writer.add_argument("--detail", choices=("low", "high", "auto"), help="image detail, for endpoints that know it")
    writer.add_argument("--max-in-flight", type=int, default=16, help="requests at once (default: %(default)s)")
    writer.add_argument("--max-cost-usd", type=float, metavar="X", help="stop before this sum is crossed")
    writer.add_argument("--estimate", action="store_true", help="say what the writer would cost, and stop before it")
    engine = build.add_argument_group("engine")
    engine.add_argument("--engine", default="local", help="local, datatrove-local, slurm or ray (default: %(default)s)")
    engine.add_argument("--ranks", type=int, default=8, metavar="N", help="tasks of an engine (default: %(default)s)")
    engine.add_argument("--slurm-partition", metavar="NAME", help="for slurm: where its tasks run")
    engine.add_argument("--slurm-time", default="24:00:00", metavar="T", help="of a task (default: %(default)s)")
    filters = build.add_argument_group("filter")
    filters.add_argument(
        "--filter",
        default="open_clip",
        help="none, labels, open_clip or open_clip:MODEL/PRETRAINED (default: %(default)s, which is ViT-L-14/openai)",
    )
    filters.add_argument(
        "--evaluation-set",
        dest="evaluation_sets",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="leave out dialogues that show an image of it: a folder, Parquet or VLMEvalKit TSV; may be repeated",
    )
    filters.add_argument("--similarity-min", type=float, metavar="X", help="least cosine of each image and its text")
    filters.add_argument(
        "--keep-rate", type=float, metavar="R", help="share of dialogues to keep by similarity instead"
    )


def run_build(args: argparse.Namespace) -> None:
    """Build as the flags say, and print Table 1."""
    from mmcr_dataset.collect.screen import Screen, read_limits
    from mmcr_dataset.collect.web.fetch import FetchSettings
    from mmcr_dataset.endpoint.address import read_endpoint
    from mmcr_dataset.generate.dialogues import WriterSettings
    from mmcr_dataset.pipeline import BuildSettings, build
    from mmcr_dataset.publish.describe import load_statistics, show_table
    from mmcr_dataset.stage.engine import EngineSettings

    endpoint = None
    if args.endpoint is not None:
        limits = {"max_in_flight": args.max_in_flight, "max_cost_usd": args.max_cost_usd}
        endpoint = read_endpoint(args.endpoint, "--endpoint", **limits)
    writer = WriterSettings(args.writer, endpoint, args.temperature, args.max_tokens, args.max_side_px, args.detail)
    counts = build(
        BuildSettings(
            source=args.source,
            out=args.out,
            num_single=args.single,
            num_multi=args.multi,
            seed=args.seed,
            licence=args.licence,
            writer=writer,
            matcher=args.filter,
            similarity_min=args.similarity_min,
            keep_rate=args.keep_rate,
            evaluation_sets=tuple(args.evaluation_sets),
            screen=Screen(
                read_limits("--max-probability", args.max_probability),
                read_limits("--min-probability", args.min_probability),
                args.any_language,
            ),
            fetch=FetchSettings(
                max_in_flight=args.fetch_in_flight,
                max_in_flight_host=args.fetch_per_host,
                timeout_s=args.fetch_timeout_s,
                image_timeout_s=3 * args.fetch_timeout_s,
                allow_loopback=args.allow_loopback,
            ),
            estimate_only=args.estimate,
            engine=EngineSettings(args.engine, args.ranks, args.slurm_partition, args.slurm_time),
        )
    )
    if counts[-1].stage != "filter":
        return
    print(f"\n{show_table(load_statistics(args.out))}")
    print(f"\nwritten: {args.out}; stages, removed rows and report.html: {args.out}.work")
