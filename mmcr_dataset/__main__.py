"""python -m mmcr_dataset COMMAND: argparse only, the work is in pipeline.py and around."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path


def make_parser() -> argparse.ArgumentParser:
    """All commands and flags; frozen by a test."""
    parser = argparse.ArgumentParser(prog="python -m mmcr_dataset", description="Web documents to published dialogues.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    _add_build(commands.add_parser("build", help="documents -> dialogues -> filters -> a data set folder"))

    describe = commands.add_parser("describe", help="Table 1 of the paper from the rows, and a histogram of lengths")
    describe.add_argument("folder", type=Path, help="a data set folder")
    describe.add_argument("--tokenizer", type=Path, help="count tokens with this tokenizer.json instead of by words")

    check = commands.add_parser("check", help="would load_dataset, TRL and the Hub's viewer take it? says where not")
    check.add_argument("folder", type=Path, help="a data set folder")

    publish = commands.add_parser("publish", help="check, then upload to the Hub; what is there already is not sent")
    publish.add_argument("folder", type=Path, help="a data set folder")
    publish.add_argument("--to", required=True, metavar="ORG/NAME", help="repository on the Hub")
    publish.add_argument("--private", action="store_true", help="a new repository is private")
    publish.add_argument("--revision", help="branch (default: main)")
    publish.add_argument("--pr", action="store_true", help="open a pull request instead of committing")
    publish.add_argument("--allow-offline", action="store_true", help="publish offline rows under the name mmcr-310k")

    remove = commands.add_parser("remove", help="take rows out; only the shards concerned are rewritten")
    remove.add_argument("folder", type=Path, help="a data set folder")
    remove.add_argument("--ids", type=Path, help="file with one id a line")
    remove.add_argument("--url-pattern", help="regular expression searched in document and picture addresses")
    remove.add_argument("--reason", default="requested", help="goes into removed.jsonl (default: %(default)s)")

    ledger = commands.add_parser("ledger", help="what was paid: show it, join several files, save a damaged one")
    ledger.add_argument("what", choices=("show", "merge", "salvage"))
    ledger.add_argument("files", type=Path, nargs="+", metavar="FILE", help="ledger.sqlite of a build's work folder")
    ledger.add_argument("--out", type=Path, metavar="FILE", help="the new file of merge and salvage")
    return parser


def _add_build(build: argparse.ArgumentParser) -> None:
    build.add_argument(
        "--source", required=True, help="demo, OmniCorpus Parquet (file or folder), or a folder of pictures"
    )
    build.add_argument("--out", type=Path, required=True, help="folder of the data set; stages go to OUT.work")
    build.add_argument("--single", type=int, metavar="N", help="documents of one picture to take (default: all)")
    build.add_argument("--multi", type=int, metavar="N", help="documents of several pictures to take (default: all)")
    build.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    build.add_argument("--licence", help="licence of pictures and texts, where the source does not say")
    build.add_argument("--allow-loopback", action="store_true", help="fetch from 127.0.0.1 too, for local copies")
    writer = build.add_argument_group("writer")
    writer.add_argument("--writer", default="openai", help="openai, openai-batch or offline (default: %(default)s)")
    writer.add_argument("--endpoint", metavar="URL#MODEL", help="for openai, e.g. https://host/v1#gpt-4o-2024-11-20")
    writer.add_argument("--temperature", type=float, help="sampling temperature (default: the endpoint's)")
    writer.add_argument("--max-tokens", type=int, default=4096, help="limit of a reply (default: %(default)s)")
    writer.add_argument(
        "--max-side-px", type=int, default=1024, help="pictures are sent this large (default: %(default)s)"
    )
    writer.add_argument("--detail", choices=("low", "high", "auto"), help="picture detail, for endpoints that know it")
    writer.add_argument("--max-in-flight", type=int, default=16, help="requests at once (default: %(default)s)")
    writer.add_argument("--max-cost-usd", type=float, metavar="X", help="stop before this sum is crossed")
    writer.add_argument("--estimate", action="store_true", help="say what the writer would cost, and stop before it")
    engine = build.add_argument_group("engine")
    engine.add_argument("--engine", default="local", help="local, datatrove-local or slurm (default: %(default)s)")
    engine.add_argument("--ranks", type=int, default=8, metavar="N", help="tasks of an engine (default: %(default)s)")
    engine.add_argument("--slurm-partition", metavar="NAME", help="for slurm: where its tasks run")
    engine.add_argument("--slurm-time", default="24:00:00", metavar="T", help="of a task (default: %(default)s)")
    filters = build.add_argument_group("filter")
    filters.add_argument(
        "--filter",
        default="open_clip",
        help="none, labels, open_clip or open_clip:MODEL/PRETRAINED (default: %(default)s, which is ViT-L-14/openai)",
    )
    filters.add_argument("--similarity-min", type=float, metavar="X", help="least cosine of each picture and its text")
    filters.add_argument(
        "--keep-rate", type=float, metavar="R", help="share of dialogues to keep by similarity instead"
    )


def _build(args: argparse.Namespace) -> None:
    from mmcr_dataset.chat_api import Endpoint
    from mmcr_dataset.collect.fetch import FetchSettings
    from mmcr_dataset.describe import load_statistics, show_table
    from mmcr_dataset.engine import EngineSettings
    from mmcr_dataset.generate.dialogues import WriterSettings
    from mmcr_dataset.pipeline import BuildSettings, build

    endpoint = None
    if args.endpoint is not None:
        base_url, _, model = args.endpoint.partition("#")
        endpoint = Endpoint(base_url, model, max_in_flight=args.max_in_flight, max_cost_usd=args.max_cost_usd)
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
            fetch=FetchSettings(allow_loopback=args.allow_loopback),
            estimate_only=args.estimate,
            engine=EngineSettings(args.engine, args.ranks, args.slurm_partition, args.slurm_time),
        )
    )
    if counts[-1].stage != "filter":
        return
    print(
        f"\n{show_table(load_statistics(args.out))}\n\nwritten: {args.out}  (stages and removed rows: {args.out}.work)"
    )


def _describe(args: argparse.Namespace) -> None:
    from mmcr_dataset.describe import count_tokens, describe, load_token_counter, show_histogram, show_table

    count = load_token_counter(args.tokenizer) if args.tokenizer else count_tokens
    statistics = describe(args.folder, count)
    print(show_table(statistics))
    for name, numbers in statistics.items():
        print(f"\ntokens a dialogue, {name}\n{show_histogram(numbers)}")


def _check(args: argparse.Namespace) -> int:
    import time

    from tqdm import tqdm

    from mmcr_dataset.publish.check import check_dataset

    start = time.monotonic()
    with tqdm(desc="check", unit=" row", disable=None) as bar:
        findings = check_dataset(args.folder, bar.update)
    for finding in findings:
        print(finding.show())
    num_errors = sum(finding.is_error for finding in findings)
    seconds = time.monotonic() - start
    print(f"{args.folder}: {num_errors} errors, {len(findings) - num_errors} warnings in {seconds:.1f} s")
    return 1 if num_errors else 0


def _publish(args: argparse.Namespace) -> None:
    from mmcr_dataset.publish.hub import PublishSettings, publish

    settings = PublishSettings(args.to, args.private, args.revision, args.pr, args.allow_offline)
    print(f"published: {publish(args.folder, settings)}")


def _remove(args: argparse.Namespace) -> None:
    from mmcr_dataset.publish.card import refresh_card
    from mmcr_dataset.publish.remove import find_rows, remove_rows

    if (args.ids is None) == (args.url_pattern is None):
        raise ValueError("remove: give either --ids FILE or --url-pattern P")
    if args.ids is not None:
        ids = [line.strip() for line in args.ids.read_text(encoding="utf-8").splitlines() if line.strip()]
        why = dict.fromkeys(ids, args.reason)
    else:
        found = find_rows(args.folder, url_pattern=args.url_pattern)
        why = {row_id: f"{args.reason}: {match}" for row_id, match in found.items()}
    removed = remove_rows(args.folder, why)
    refresh_card(args.folder)
    unknown = sorted(set(why) - set(removed))
    print(f"{len(removed)} rows removed from {args.folder}; log: {args.folder}/removed.jsonl")
    if unknown:
        print(
            f"{len(unknown)} ids are not in the data set: {', '.join(unknown[:5])}{' ...' if len(unknown) > 5 else ''}"
        )


def _ledger(args: argparse.Namespace) -> None:
    from mmcr_dataset.ledger_files import merge_ledgers, salvage_ledger, show_ledger

    if (args.what == "show") != (args.out is None):
        raise ValueError("ledger: --out FILE goes with merge and salvage, and only with them")
    if args.what != "merge" and len(args.files) != 1:
        raise ValueError(f"ledger {args.what}: takes one file, got {len(args.files)}")
    if args.what == "show":
        print(show_ledger(args.files[0]))
    elif args.what == "merge":
        print(merge_ledgers(args.files, args.out).show())
    else:
        print(salvage_ledger(args.files[0], args.out).show())


def main(argv: list[str] | None = None) -> int:
    """Run one command; wrong input is said on stderr with exit code 2, a check that finds errors gives 1."""
    args = make_parser().parse_args(argv)
    try:
        commands = {
            "build": _build,
            "describe": _describe,
            "check": _check,
            "publish": _publish,
            "remove": _remove,
            "ledger": _ledger,
        }
        return commands[args.command](args) or 0
    except (ValueError, OSError) as error:
        print(f"mmcr_dataset {args.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nmmcr_dataset {args.command}: stopped; run the same command to go on", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
