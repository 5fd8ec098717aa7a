"""The bench's command line: python -m mmcr_bench --help lists the commands, in the order of the work."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

_Commands = argparse._SubParsersAction  # argparse has no public name for it


class UnfitJudge(Exception):
    """A judge failed its canaries; what it failed is printed already."""


def build_parser() -> argparse.ArgumentParser:
    """The flags of every command; they are frozen by a test."""
    parser = argparse.ArgumentParser(prog="python -m mmcr_bench", description="Build and trust MMCR-Bench.")
    commands = parser.add_subparsers(dest="command", required=True)
    _add_topics(commands)
    _add_build(commands)
    _add_review(commands.add_parser("review", help="let experts review the bench").add_subparsers(required=True))
    _add_freeze(commands)
    _add_trust(commands)
    return parser


def _add_build(commands: _Commands[argparse.ArgumentParser]) -> None:
    build = commands.add_parser(
        "build",
        help="draw the bench from a data set, and take its images out of the data set",
        description="Draws dialogues into --out and removes them, and every dialogue that shows one of their images, "
        "from DATASET: the bench is never trained on.",
    )
    build.add_argument("dataset", type=Path, metavar="DATASET", help="folder written by `python -m mmcr_dataset build`")
    build.add_argument(
        "--out", type=Path, default=Path("mmcr-bench"), help="folder of the bench (default: %(default)s)"
    )
    build.add_argument("--single", type=int, default=10, help="one-image dialogues a topic (default: %(default)s)")
    build.add_argument("--multi", type=int, default=5, help="dialogues of 2 to 4 images a topic (default: %(default)s)")
    build.add_argument("--seed", type=int, default=0, help="of the draw (default: %(default)s)")
    build.add_argument(
        "--overwrite", action="store_true", help="replace an existing bench; its dialogues can be redrawn"
    )
    build.add_argument("--labels", type=Path, help="from `tag`; with --topics the draw goes by them")
    build.add_argument(
        "--topics", type=Path, help="from `topics`; without it the draw goes by the rows' topics, if any"
    )
    build.set_defaults(run=_build)


def _add_topics(commands: _Commands[argparse.ArgumentParser]) -> None:
    tag = commands.add_parser("tag", help="label every image of a data set, coarse to fine; goes on where it stopped")
    tag.add_argument(
        "--model",
        default="efficientnet_lite0",
        help="a timm classifier, such as mobilenetv3_large_100.miil_in21k; the default needs no download",
    )
    topics = commands.add_parser("topics", help="sort the labels into eight domains and choose five topics of each")
    topics.add_argument("--out", type=Path, default=Path("topics.json"), help="to read and mend (default: %(default)s)")
    topics.add_argument("--per-domain", type=int, default=5, help="default: %(default)s")
    topics.add_argument("--sorter", default="offline", help="offline (WordNet) or api:URL#MODEL (default: %(default)s)")
    topics.add_argument("--ledger", type=Path, default=Path("topics_ledger.sqlite3"), help="default: %(default)s")
    topics.add_argument("--figure", type=Path, help="draw the distribution into this .png or .svg")
    for added, step in ((tag, "tag"), (topics, "topics")):
        added.add_argument("dataset", type=Path, metavar="DATASET", help="folder of the data set")
        added.add_argument("--labels", type=Path, default=Path("labels.jsonl"), help="default: %(default)s")
        added.set_defaults(run=_topics, step=step)


def _add_review(commands: _Commands[argparse.ArgumentParser]) -> None:
    def command(name: str, text: str) -> argparse.ArgumentParser:
        added = commands.add_parser(name, help=text, description=text.capitalize() + ".")
        added.add_argument("review", type=Path, metavar="REVIEW", help="SQLite file of the review")
        added.set_defaults(run=_review, step=name)
        return added

    start = command("start", "open the review of a bench")
    start.add_argument("bench", type=Path, metavar="BENCH", help="folder of the bench")
    account = command("account", "let somebody log in; the password is asked for")
    account.add_argument("name")
    account.add_argument("--keeper", action="store_true", help="sees progress and agreement, doesn't mark")
    serve = command("serve", "serve the experts' page")
    serve.add_argument("--host", default="127.0.0.1", help="default: %(default)s")
    serve.add_argument("--port", type=int, default=8600, help="default: %(default)s")
    rewrite = command("rewrite", "write flagged items anew, draw others for those that failed too often")
    rewrite.add_argument(
        "--endpoint", required=True, metavar="URL#MODEL", help="of the writer, or offline (measured facts, for demos)"
    )
    rewrite.add_argument("--ledger", type=Path, default=Path("review_ledger.sqlite3"), help="default: %(default)s")
    rewrite.add_argument("--dataset", type=Path, required=True, help="folder that replacements are drawn from")
    rewrite.add_argument("--seed", type=int, default=0, help="of that draw (default: %(default)s)")
    command("status", "show progress and agreement")
    export = command("export", "write everything but the accounts as JSON lines")
    export.add_argument("file", type=Path)
    imported = command("import", "make a review from an export")
    imported.add_argument("file", type=Path)
    for made in (start, imported):
        made.add_argument("--experts", type=int, default=6, help="who must mark each item (default: %(default)s)")


def _add_freeze(commands: _Commands[argparse.ArgumentParser]) -> None:
    freeze = commands.add_parser(
        "freeze",
        help="write a reviewed bench as a version that never changes, or check one",
        description="With --out: writes the passed items of REVIEW. With --check: compares a folder to its checksums.",
    )
    freeze.add_argument("review", type=Path, nargs="?", metavar="REVIEW", help="SQLite file of the finished review")
    freeze.add_argument("--out", type=Path, help="new folder")
    freeze.add_argument("--version", default="1.0.0", help="default: %(default)s")
    freeze.add_argument("--check", type=Path, metavar="FOLDER", help="a bench folder")
    freeze.set_defaults(run=_freeze)


def _freeze(options: argparse.Namespace) -> str:
    from mmcr_bench.freeze import check_frozen, freeze_review

    if options.check is not None:
        return check_frozen(options.check)
    if options.review is None or options.out is None:
        raise ValueError("name a REVIEW and --out, or a folder to --check")
    return freeze_review(options.review, options.out, options.version)


def _add_trust(commands: _Commands[argparse.ArgumentParser]) -> None:
    agreement = commands.add_parser(
        "agreement",
        help="how far experts agree with each other, or a judge with experts",
        description="With a review: agreement of its experts. With --run and --experts: a judge against experts.",
    )
    agreement.add_argument("review", type=Path, nargs="?", metavar="REVIEW", help="SQLite file of the review")
    agreement.add_argument("--run", dest="run_folder", type=Path, help="judged run of `python -m eval_tasks`")
    agreement.add_argument("--experts", type=Path, help="their scores of the same replies, one JSON object a line")
    agreement.add_argument("--figure", type=Path, help="draw the judge's calibration into this .png or .svg")
    agreement.set_defaults(run=_agreement)
    canaries = commands.add_parser(
        "canaries", help="let a judge score replies of known worth; exit code 1 if it is unfit"
    )
    canaries.add_argument("bench", metavar="BENCH", help="folder or Hub id of the bench")
    canaries.add_argument("--split", default="test", help="default: %(default)s")
    canaries.add_argument(
        "--limit", type=int, default=10, help="dialogues to make canaries from (default: %(default)s)"
    )
    canaries.set_defaults(run=_canaries)
    penalties = commands.add_parser("penalties", help="does the judge of a run take off what its rubric says is due?")
    penalties.add_argument("run_folder", type=Path, metavar="RUN", help="judged run of `python -m eval_tasks`")
    penalties.set_defaults(run=_penalties)
    bridge = commands.add_parser("bridge", help="a new judge on the replies of a judged run: shift, ranks, mapping")
    bridge.add_argument("--old", type=Path, required=True, metavar="RUN", help="run that the old judge has scored")
    bridge.add_argument("--out", type=Path, default=Path("bridge.json"), help="default: %(default)s")
    bridge.set_defaults(run=_bridge)
    preference = commands.add_parser("self-preference", help="do judges favour models of their own family?")
    preference.add_argument("--run", dest="runs", action="append", required=True, metavar="FAMILY=RUN", help="repeat")
    preference.add_argument(
        "--judge", dest="judges", action="append", required=True, metavar="FAMILY=SPEC", help="repeat"
    )
    preference.add_argument("--generator", metavar="FAMILY", help="the family that wrote the references")
    preference.set_defaults(run=_self_preference)
    for added, name in ((canaries, "--judge"), (bridge, "--new")):
        added.add_argument(name, dest="judge", required=True, help="api:URL#MODEL, or several for a panel")
    for added in (bridge, preference):
        added.add_argument("--bench", help="folder or Hub id with the images, for judges with ?images=yes")
    for added in (canaries, bridge, preference):
        added.add_argument("--ledger", type=Path, default=Path("judge_ledger.sqlite3"), help="default: %(default)s")


def _agreement(options: argparse.Namespace) -> str:
    from mmcr_bench.review import commands as review_commands
    from mmcr_bench.trust import commands as trust_commands

    if options.review is not None:
        return review_commands.agreement(options.review)
    if options.run_folder is None or options.experts is None:
        raise ValueError("name a REVIEW, or --run and --experts")
    return trust_commands.judge_agreement(options.run_folder, options.experts, options.figure)


def _canaries(options: argparse.Namespace) -> str:
    from mmcr_bench.trust import commands as trust_commands

    shown, is_fit = trust_commands.canaries(options.bench, options.split, options.judge, options.ledger, options.limit)
    if not is_fit:
        print(shown)
        raise UnfitJudge
    return shown


def _penalties(options: argparse.Namespace) -> str:
    from mmcr_bench.trust import commands as trust_commands

    return trust_commands.penalties(options.run_folder)


def _bridge(options: argparse.Namespace) -> str:
    from mmcr_bench.trust import commands as trust_commands

    return trust_commands.bridge(options.old, options.judge, options.ledger, options.out, options.bench)


def _self_preference(options: argparse.Namespace) -> str:
    from mmcr_bench.trust import commands as trust_commands

    return trust_commands.self_preference(
        options.runs, options.judges, options.generator, options.ledger, options.bench
    )


def _topics(options: argparse.Namespace) -> str:
    from mmcr_bench.select import commands

    if options.step == "tag":
        return commands.tag(options.dataset, options.labels, options.model)
    return commands.topics(
        options.dataset,
        options.labels,
        options.out,
        options.sorter,
        options.ledger,
        options.per_domain,
        options.figure,
    )


def _build(options: argparse.Namespace) -> str:
    from mmcr_bench.build import build_bench
    from mmcr_bench.select.topics import load_tagging

    if (options.labels is None) != (options.topics is None):
        raise ValueError("--labels and --topics go together: name both or none")
    return build_bench(
        options.dataset,
        options.out,
        options.single,
        options.multi,
        options.seed,
        overwrite=options.overwrite,
        tagging=load_tagging(options.labels, options.topics) if options.topics else None,
    ).show()


def _review(options: argparse.Namespace) -> str:
    from mmcr_bench.review import commands

    review = options.review
    match options.step:
        case "start":
            return commands.start(review, options.bench, options.experts)
        case "account":
            return commands.account(review, options.name, "keeper" if options.keeper else "expert")
        case "serve":
            return commands.serve(review, options.host, options.port)
        case "rewrite":
            return commands.rewrite(review, options.endpoint, options.ledger, options.dataset, options.seed)
        case "export":
            return commands.export(review, options.file)
        case "import":
            return commands.import_file(review, options.file, options.experts)
    return commands.status(review)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; returns the exit code."""
    options = build_parser().parse_args(arguments)
    try:
        print(options.run(options))
    except UnfitJudge:
        return 1
    except (ValueError, FileNotFoundError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
