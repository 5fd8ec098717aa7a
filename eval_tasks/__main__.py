"""python -m eval_tasks --model hf:PATH|api:URL#NAME|scripted:FILE --tasks a,b; further: score, compare, report."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eval_tasks.registry import GROUPS, choose_tasks, find_tasks, first_line, load_task

if TYPE_CHECKING:
    from eval_tasks.task import Task


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; 0 when all went well, 2 when the user can mend what went wrong."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    commands = {"score": _score, "compare": _compare, "report": _report}
    try:
        if given and given[0] in commands:
            commands[given[0]](given[1:])
        else:
            _run(given)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    return 0


def _parser(command: str, description: str) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(f"python -m eval_tasks {command}".rstrip(), description=description)
    parser.add_argument(
        "--tasks-from", action="append", default=[], metavar="PATH", help="file or folder of more tasks"
    )
    return parser


def _run_parser() -> argparse.ArgumentParser:
    parser = _parser("", "Ask a model the questions of benchmarks and score its replies.")
    parser.epilog = "further commands: score, compare, report; each with --help"
    parser.add_argument("--model", help="hf:FOLDER_OR_HUB_ID, api:URL#NAME or scripted:FILE.json")
    parser.add_argument("--tasks", help="names of tasks or groups, with commas between")
    parser.add_argument("--list", action="store_true", help="show the tasks and stop")
    parser.add_argument("--data", action="append", default=[], metavar="[TASK=]PLACE", help="folder, file or Hub id")
    parser.add_argument("--judge", default="offline", help="offline or api:URL#NAME (default: %(default)s)")
    parser.add_argument("--rules", help="scoring rules, such as vlmevalkit@2025-03 (default: the task's first)")
    parser.add_argument(
        "--out", type=Path, help="folder of the run (default: eval_runs/MODEL); the same folder resumes"
    )
    parser.add_argument("--limit", type=int, help="so many first samples of each task")
    parser.add_argument("--max-new-tokens", type=int, default=1024, help="of one reply (default: %(default)s)")
    parser.add_argument("--side-by-side", type=int, help="dialogues asked at once (default: 8 hf, 16 api)")
    return parser


def _run(given: Sequence[str]) -> None:
    parser = _run_parser()
    args = parser.parse_args(given)
    found = find_tasks(args.tasks_from)
    if args.list:
        for name, path in found.items():
            print(f"{name:16}{first_line(path)}")
        for name, members in GROUPS.items():
            print(f"{name:16}group: {', '.join(members)}")
        return
    if not args.model or not args.tasks:
        parser.error("--model and --tasks are needed (or --list, score, compare, report)")
    names = choose_tasks(args.tasks, list(found))
    tasks = tuple(load_task(found[name]) for name in names)
    from eval_tasks.report.tables import run_table
    from eval_tasks.run import RunSettings, run

    out = args.out or Path("eval_runs") / re.sub(r"[^\w.-]+", "_", args.model).strip("_")
    settings = RunSettings(
        model=args.model,
        tasks=tasks,
        out=out,
        judge=args.judge,
        data=_places(names, args.data),
        rules=args.rules,
        limit=args.limit,
        max_new_tokens=args.max_new_tokens,
        side_by_side=args.side_by_side,
    )
    if results := run(settings):
        print(run_table(results))
        print(f"\nrun folder: {out}")


def _places(names: Iterable[str], values: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """The tasks whose data was named, and where it is."""
    return tuple((name, place) for name, place in (_data_of(name, values) for name in names) if place)


def _data_of(task: str, values: Sequence[str]) -> tuple[str, str]:
    """Where a task's data is: `TASK=PLACE` if named, else the common folder's entry of that name, or the folder."""
    named = dict(value.split("=", 1) for value in values if re.match(r"\w+=", value))
    plain = [value for value in values if not re.match(r"\w+=", value)]
    if len(plain) > 1:
        raise ValueError(f"--data is given {len(plain)} places without a task; write them as TASK=PLACE")
    if task in named or not plain:
        return task, named.get(task, "")
    inside = Path(plain[0]) / task
    return task, str(inside if inside.exists() else plain[0])


def _all_tasks(outside: Sequence[str], names: Sequence[str]) -> dict[str, Task]:
    found = find_tasks(outside)
    for name in names:
        if name not in found:
            raise ValueError(f"the run has a task {name!r} that isn't here; pass --tasks-from PATH")
    return {name: load_task(found[name]) for name in names}


def _score(given: Sequence[str]) -> None:
    parser = _parser("score", "Score a finished run again, or a file of predictions, without asking a model.")
    parser.add_argument("run", type=Path, nargs="?", metavar="RUN", help="folder of a run")
    parser.add_argument("--task", help="whose predictions they are")
    parser.add_argument("--predictions", type=Path, metavar="FILE", help="file or folder of predictions")
    parser.add_argument(
        "--data",
        metavar="[TASK=]PLACE",
        help="where gold (of --predictions) or images (for a judge that sees them) are",
    )
    parser.add_argument("--out", type=Path, metavar="RUN", help="keep the scored predictions as a run of this folder")
    parser.add_argument("--judge", help="offline or api:URL#NAME (default: as before)")
    parser.add_argument("--rules", help="scoring rules (default: as before)")
    args = parser.parse_args(given)
    if args.predictions:
        _score_predictions(parser, args)
        return
    if not args.run:
        parser.error("name a RUN, or --task and --predictions")
    from eval_tasks.report.tables import run_table
    from eval_tasks.run import score_again
    from eval_tasks.store.run_folder import read_results

    tasks = _all_tasks(args.tasks_from, list(read_results(args.run)["tasks"]))
    data = _places(tasks, [args.data] if args.data else [])
    print(run_table(score_again(args.run, tasks, args.rules, args.judge, dict(data))))


def _score_predictions(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    if not args.task or args.run:
        parser.error("--predictions needs --task, and no RUN")
    found = find_tasks(args.tasks_from)
    task = load_task(found[choose_tasks(args.task, list(found))[0]])
    from eval_tasks.report.tables import run_table
    from eval_tasks.run import JUDGE_LEDGER, prompts_hash, store
    from eval_tasks.score_predictions import score_predictions

    judge = args.judge or "offline"
    if judge != "offline" and not args.out:
        parser.error("--judge with --predictions needs --out RUN, which keeps what the judge was paid for")
    ledger_path = args.out / JUDGE_LEDGER if args.out else None
    entry, records = score_predictions(task, args.predictions, args.rules, args.data, judge, ledger_path)
    model = {"name": f"predictions:{args.predictions.name}", "revision": "file"}
    entry |= {"prompts_sha256": prompts_hash(records), "limit": None}
    results = {"model": model, "decoding": {}, "tasks": {task.name: entry}}
    print(run_table(results, digits=4))
    for reason, count in entry["left_out"].items():
        print(f"left out: {count} {reason}")
    if args.out:
        store(args.out, results, records)


def _compare(given: Sequence[str]) -> None:
    parser = _parser("compare", "What changed from run A to run B (B minus A), paired by sample, with 95 % intervals.")
    parser.add_argument("run_a", type=Path, metavar="RUN_A")
    parser.add_argument("run_b", type=Path, metavar="RUN_B")
    args = parser.parse_args(given)
    from eval_tasks.report.tables import compare_runs
    from eval_tasks.store.run_folder import read_results

    names = [name for name in read_results(args.run_a)["tasks"] if name in read_results(args.run_b)["tasks"]]
    print(compare_runs(args.run_a, args.run_b, _all_tasks(args.tasks_from, names)))


def _report(given: Sequence[str]) -> None:
    parser = _parser("report", "Several runs as one Markdown table, and as an HTML page.")
    parser.add_argument("runs", type=Path, nargs="+", metavar="RUN")
    parser.add_argument("--paper", help="models of the paper to show beside them, such as Ovis-1B,Ovis-1B+MMCR")
    parser.add_argument("--out", type=Path, metavar="FILE.md", help="write the table there as well")
    parser.add_argument("--html", type=Path, metavar="FILE", help="write a page of its own too")
    parser.add_argument("--dataset", type=Path, metavar="FOLDER", help="for the page: what was trained on")
    parser.add_argument("--bench", type=Path, metavar="FOLDER", help="for the page: the bench, to show its images")
    parser.add_argument(
        "--data", action="append", default=[], metavar="[TASK=]PLACE", help="for the page: to show the images"
    )
    parser.add_argument("--samples", type=int, default=20, help="for the page: of each task (default: %(default)s)")
    parser.add_argument("--training", type=Path, metavar="FOLDER", help="for the page: folder of the training run")
    args = parser.parse_args(given)
    from eval_tasks.report.tables import runs_table
    from eval_tasks.store.run_folder import read_results

    paper = [name.strip() for name in (args.paper or "").split(",") if name.strip()]
    table = runs_table(args.runs, paper)
    if args.out:
        args.out.write_text(table + "\n", encoding="utf-8")
    print(table)
    if args.html is not None:
        from eval_tasks.report.page import write_report_page

        shared = set.intersection(*(set(read_results(run)["tasks"]) for run in args.runs))
        tasks = _all_tasks(args.tasks_from, sorted(shared))
        data = dict(_places(tasks, args.data))
        write_report_page(
            args.html, args.runs, tasks, args.dataset, args.bench, args.training, paper, data, args.samples
        )
        print(f"\npage: {args.html}")


if __name__ == "__main__":
    sys.exit(main())
