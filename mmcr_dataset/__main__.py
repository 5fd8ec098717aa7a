"""python -m mmcr_dataset COMMAND: argparse only, the work is in pipeline.py and around."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from mmcr_dataset.build_command import add_flags, run_build


def make_parser() -> argparse.ArgumentParser:
    """All commands and flags; frozen by a test."""
    parser = argparse.ArgumentParser(prog="python -m mmcr_dataset", description="Web documents to published dialogues.")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    add_flags(commands.add_parser("build", help="documents -> dialogues -> filters -> a data set folder"))

    describe = commands.add_parser("describe", help="Table 1 of the paper from the rows, and a histogram of lengths")
    describe.add_argument("folder", type=Path, help="a data set folder")
    describe.add_argument("--tokenizer", type=Path, help="count tokens with this tokenizer.json instead of by words")

    check = commands.add_parser("check", help="would load_dataset, TRL and the Hub's viewer take it? says where not")
    check.add_argument("folder", type=Path, help="a data set folder")

    publish = commands.add_parser("publish", help="check, then upload to the Hub; what is there already is not sent")
    publish.add_argument("folder", type=Path, help="a data set folder")
    publish.add_argument("--to", required=True, metavar="ORG/NAME", help="repository on the Hub")
    publish.add_argument("--private", action="store_true", help="a new repository is private")
    publish.add_argument("--gated", choices=("auto", "manual"), help="readers ask for access; the card says what for")
    publish.add_argument("--revision", help="branch (default: main)")
    publish.add_argument("--pr", action="store_true", help="open a pull request instead of committing")
    publish.add_argument("--allow-offline", action="store_true", help="publish offline rows under the name mmcr-310k")

    remove = commands.add_parser("remove", help="take rows out; only the shards concerned are rewritten")
    remove.add_argument("folder", type=Path, help="a data set folder")
    remove.add_argument("--ids", type=Path, help="file with one id a line")
    remove.add_argument("--url-pattern", help="regular expression searched in document and image addresses")
    remove.add_argument("--reason", default="requested", help="goes into removed.jsonl (default: %(default)s)")

    imported = commands.add_parser("import", help="an existing conversation set (LLaVA, ShareGPT, MMDU) as a data set")
    imported.add_argument("file", type=Path, help="conversations as JSON, or JSON lines ending in .jsonl")
    imported.add_argument("--images", type=Path, required=True, metavar="DIR", help="what image names are relative to")
    imported.add_argument("--out", type=Path, required=True, help="folder of the data set; what is refused: OUT.work")
    imported.add_argument("--licence", help="licence of images and texts")

    label = commands.add_parser("label", help="label pairs of image and text: precision and recall of the filter")
    label.add_argument("work", type=Path, help="the OUT.work folder of a build with --filter")
    label.add_argument("--pairs", type=int, default=50, metavar="N", help="how many (default: %(default)s)")
    label.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")

    overlap = commands.add_parser("overlap", help="images shared with evaluation sets, or shown twice in the set")
    overlap.add_argument("folder", type=Path, help="a data set folder")
    overlap.add_argument(
        "--with",
        dest="sets",
        type=Path,
        nargs="+",
        default=[],
        metavar="PATH",
        help="evaluation sets: folders of images, Parquet, VLMEvalKit TSV (default: the data set with itself)",
    )
    overlap.add_argument(
        "--bits", type=int, default=6, help="hashes of 64 bits that differ in so many are one image (%(default)s)"
    )
    overlap.add_argument("--html", type=Path, metavar="FILE", help="write both images of each pair side by side")
    overlap.add_argument("--remove", action="store_true", help="take the dialogues out, as `remove` does")

    ledger = commands.add_parser("ledger", help="what was paid: show it, join several files, save a damaged one")
    ledger.add_argument("what", choices=("show", "merge", "salvage"))
    ledger.add_argument("files", type=Path, nargs="+", metavar="FILE", help="ledger.sqlite of a build's work folder")
    ledger.add_argument("--out", type=Path, metavar="FILE", help="the new file of merge and salvage")
    return parser


def _describe(args: argparse.Namespace) -> None:
    from mmcr_dataset.publish.describe import count_tokens, describe, load_token_counter, show_histogram, show_table

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

    settings = PublishSettings(args.to, args.private, args.revision, args.pr, args.allow_offline, args.gated)
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


def _overlap(args: argparse.Namespace) -> int:
    from mmcr_dataset.filters.contamination import find_overlaps, find_repeats, index_sets, show_overlaps
    from mmcr_dataset.publish.card import refresh_card
    from mmcr_dataset.publish.remove import remove_rows
    from mmcr_dataset.stage.stages import write_text

    found = [] if args.sets else find_repeats(args.folder, args.bits)
    for index in index_sets(args.sets, args.bits):
        overlaps = find_overlaps(args.folder, index)
        unreadable = f", {index.num_unreadable} of them unreadable" if index.num_unreadable else ""
        print(f"{index.name}: {index.num_images} images{unreadable}; {len(overlaps)} dialogues show one of them")
        found += overlaps
    for overlap in found[:20]:
        pairs = "; ".join(f"image {n} is {seen.name} ({seen.num_bits} bits differ)" for n, seen in overlap.pairs)
        print(f"  {overlap.id}, {overlap.set_name}: {pairs}")
    if len(found) > 20:
        print(f"  ... and {len(found) - 20} more")
    if args.html is not None:
        write_text(args.html, show_overlaps(args.folder, found, args.sets))
        print(f"written: {args.html}")
    why = {o.id: f"overlap with {o.set_name}" if args.sets else "repeated images" for o in found}
    if not args.remove or not why:
        print(f"{args.folder}: {len(why)} dialogues overlap" + ("; --remove takes them out" if why else ""))
        return 1 if why else 0
    remove_rows(args.folder, why)
    refresh_card(args.folder)
    print(f"{len(why)} rows removed from {args.folder}; log: {args.folder}/removed.jsonl")
    return 0


def _import(args: argparse.Namespace) -> None:
    from mmcr_dataset.publish.describe import load_statistics, show_table
    from mmcr_dataset.publish.importing import import_conversations
    from mmcr_dataset.stage.stages import show_count

    print(show_count(import_conversations(args.file, args.images, args.out, args.licence)))
    print(f"\n{show_table(load_statistics(args.out))}\n\nwritten: {args.out}")


def _label(args: argparse.Namespace) -> None:
    from mmcr_dataset.collect.work_folder import read_dialogues, read_similarities, read_threshold
    from mmcr_dataset.filters import label
    from mmcr_dataset.stage.stages import write_text

    threshold = read_threshold(args.work)
    if threshold is None:
        raise ValueError(f"{args.work}: the build asked for no similarity; give it --similarity-min or --keep-rate")
    pairs = label.draw_pairs(read_similarities(args.work), threshold, args.pairs, args.seed)
    page = args.work / "label.html"
    write_text(page, label.show_pairs(pairs, read_dialogues(args.work, "generate", {pair.id for pair in pairs})))
    print(f"open {page} beside this terminal; answers go to {args.work / label.LABELS_NAME}")
    labels = label.ask_labels(args.work / label.LABELS_NAME, pairs, input)
    nearby = sorted(pair.similarity for pair in pairs)
    thresholds = sorted({threshold, *(nearby[len(nearby) * n // 4] for n in range(1, 4))})
    found = label.measure_filter(pairs, labels, thresholds)
    print(f"\n{label.show_quality(found, sum(pair.key in labels for pair in pairs))}")


def _ledger(args: argparse.Namespace) -> None:
    from mmcr_dataset.endpoint.ledger_files import merge_ledgers, salvage_ledger, show_ledger

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
            "build": run_build,
            "describe": _describe,
            "check": _check,
            "publish": _publish,
            "remove": _remove,
            "overlap": _overlap,
            "label": _label,
            "import": _import,
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
