"""Commands of python -m eval_tasks on finished runs: each a dataclass of its flags, whose `run` prints a table."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from tyro.conf import Positional, UseAppendAction, arg

from eval_tasks.places import places_of
from eval_tasks.registry import choose_tasks, find_tasks, load_task, task_named
from mmcr_bench.judge.judge_spec import with_prompt
from mmcr_bench.judge.spending import spending

if TYPE_CHECKING:
    from eval_tasks.task import Task

log = logging.getLogger(__name__)
Places = Annotated[tuple[str, ...], arg(metavar="[TASK=]PLACE"), UseAppendAction]
TaskFiles = Annotated[tuple[Path, ...], arg(metavar="PATH"), UseAppendAction]


@dataclass(frozen=True)
class Score:
    """Score a finished run again, or a file of predictions, without running a model.

    Attributes:
        folder: folder of a run.
        task: task of --predictions.
        predictions: file or folder of predictions (VLMEvalKit's .xlsx or .tsv, lmms-eval's samples).
        data: the task's data: gold answers for --predictions, or images for a judge that sees them.
        output_dir: store the scored predictions as a run in this folder.
        judge: offline or api:URL#NAME; default the judge of the run.
        rules: scoring rules; default those of the run.
        tasks_from: file or folder with additional tasks.
        judge_prompt: prompt of mmcr_bench's judge: ours, or paper (structure and scale of the paper's Figure 8).
        max_cost_usd: stop before the judge's ledger of this run exceeds so many US dollars.
        allow_unknown_price: ask a judge whose price is not known.
        drift: where the bench has anchors, judge them again and say whether the judge has changed.
    """

    folder: Positional[Annotated[Path | None, arg(metavar="RUN")]] = None
    task: str | None = None
    predictions: Path | None = None
    data: Annotated[str | None, arg(metavar="[TASK=]PLACE")] = None
    output_dir: Path | None = None
    judge: str | None = None
    rules: str | None = None
    tasks_from: TaskFiles = ()
    judge_prompt: str | None = None
    max_cost_usd: float | None = None
    allow_unknown_price: bool = False
    drift: bool = True

    def run(self) -> int:
        """Score, and print the table of scores; exit code 1 if a task has no score.

        Raises:
            ValueError: neither a run nor predictions are given.
        """
        with spending(self.max_cost_usd, self.allow_unknown_price):
            return self._score()

    def _score(self) -> int:
        if self.predictions is not None:
            return self._score_predictions(self.predictions)
        if self.folder is None:
            raise ValueError("give a RUN, or --task and --predictions")
        from eval_tasks.report.tables import exit_code, run_table
        from eval_tasks.run import score_again
        from eval_tasks.store.run_folder import read_results

        tasks = all_tasks(self.tasks_from, list(read_results(self.folder)["tasks"]))
        data = places_of(tasks, [self.data] if self.data else [])
        results = score_again(self.folder, tasks, self.rules, _judge(self), dict(data), drift=self.drift)
        print(run_table(results))
        return exit_code(results)

    def _score_predictions(self, predictions: Path) -> int:
        if self.task is None or self.folder is not None:
            raise ValueError("--predictions needs --task and excludes RUN")
        judge = _judge(self) or "offline"
        if judge != "offline" and self.output_dir is None:
            raise ValueError(
                "--judge with --predictions needs --output_dir RUN, where the judge's paid replies are stored"
            )
        from eval_tasks.report.tables import exit_code, run_table
        from eval_tasks.run import JUDGE_LEDGER, prompts_hash, store
        from eval_tasks.score_predictions import score_predictions

        found = find_tasks(self.tasks_from)
        task = load_task(found[choose_tasks(self.task, list(found))[0]])
        ledger = self.output_dir / JUDGE_LEDGER if self.output_dir else None
        entry, records = score_predictions(task, predictions, self.rules, self.data, judge, ledger)
        entry |= {"prompts_sha256": prompts_hash(records), "limit": None}
        model = {"name": f"predictions:{predictions.name}", "revision": "file"}
        results: dict[str, Any] = {"model": model, "decoding": {}, "tasks": {task.name: entry}}
        print(run_table(results, digits=4))
        for reason, count in entry["left_out"].items():
            print(f"left out: {count} {reason}")
        if self.output_dir:
            store(self.output_dir, results, records)
        return exit_code(results)


def _judge(command: Score) -> str | None:
    """The judge with its prompt; None for the judge of the run.

    Raises:
        ValueError: a prompt without a judge.
    """
    if command.judge is None and command.judge_prompt is not None:
        raise ValueError(f"--judge_prompt {command.judge_prompt}: name the judge too (--judge api:URL#MODEL)")
    return None if command.judge is None else with_prompt(command.judge, command.judge_prompt)


@dataclass(frozen=True)
class Compare:
    """Compare two runs (B minus A), paired by sample, with 95 % confidence intervals and significance.

    Attributes:
        run_a: folder of run A.
        run_b: folder of run B.
        tasks_from: file or folder with additional tasks.
        sequential: judge both runs of mmcr_bench part by part, and stop as soon as the verdict is clear.
        judge: the judge of --sequential, api:URL#NAME.
        judge_prompt: its prompt: ours, or paper (structure and scale of the paper's Figure 8).
        bench: folder or Hub id with the images, for a judge of --sequential with ?images=yes.
        ledger: SQLite file of --sequential that stores paid judgements; the looks taken stand beside it (.looks.jsonl).
        max_cost_usd: stop before the ledger exceeds so many US dollars.
        allow_unknown_price: ask a judge whose price is not known.
        seed: seed of the order of dialogues (--sequential).
    """

    run_a: Positional[Annotated[Path, arg(metavar="RUN_A")]]
    run_b: Positional[Annotated[Path, arg(metavar="RUN_B")]]
    tasks_from: TaskFiles = ()
    sequential: bool = False
    judge: str | None = None
    judge_prompt: str | None = None
    bench: str | None = None
    ledger: Path = Path("judge_ledger.sqlite3")
    max_cost_usd: float | None = None
    allow_unknown_price: bool = False
    seed: int = 0

    def run(self) -> None:
        """Print the table of differences, or the sequential verdict.

        Raises:
            ValueError: --sequential without --judge, or the other way round.
        """
        if self.sequential != (self.judge is not None):
            raise ValueError("--sequential and --judge need each other: give both or neither")
        if self.judge is not None:
            self._compare_sequentially(self.judge)
            return
        from eval_tasks.report.comparison import compare_runs
        from eval_tasks.store.run_folder import read_results

        names = [name for name in read_results(self.run_a)["tasks"] if name in read_results(self.run_b)["tasks"]]
        print(compare_runs(self.run_a, self.run_b, all_tasks(self.tasks_from, names)))

    def _compare_sequentially(self, spec: str) -> None:
        from mmcr_bench.judge.judge import open_judge, show_cost
        from mmcr_bench.trust.runs import read_run
        from mmcr_bench.trust.sequential import compare_sequentially

        run_a, run_b = read_run(self.run_a, self.bench), read_run(self.run_b, self.bench)
        if run_a.name == run_b.name:
            run_a, run_b = replace(run_a, name=str(self.run_a)), replace(run_b, name=str(self.run_b))
        with spending(self.max_cost_usd, self.allow_unknown_price):
            judge = open_judge(with_prompt(spec, self.judge_prompt), self.ledger)
            log.info("at most %s", show_cost(judge, run_a.dialogues, run_a.replies, times=2))
            record = self.ledger.with_suffix(".looks.jsonl")
            print(compare_sequentially(run_a, run_b, judge, self.seed, record).show())


@dataclass(frozen=True)
class Report:
    """Report several runs as a Markdown table, and as an HTML page.

    Attributes:
        runs: folders of runs.
        paper: models of the paper to include, such as Ovis-1B,Ovis-1B+MMCR.
        output_file: also write the table to this file.
        html: also write an HTML page.
        dataset: HTML page: folder of the training data.
        bench: HTML page: folder of the bench, to show its images.
        data: HTML page: place of a task's data, to show its images.
        samples: HTML page: number of samples shown per task.
        training: HTML page: folder of the training run.
        push_to: write the scores of the run, with rules, judge and intervals, into the card of this model on the Hub.
        tasks_from: file or folder with additional tasks.
    """

    runs: Positional[Annotated[tuple[Path, ...], arg(metavar="RUN ...")]]
    paper: str | None = None
    output_file: Annotated[Path | None, arg(metavar="FILE.md")] = None
    html: Annotated[Path | None, arg(metavar="FILE")] = None
    dataset: Annotated[Path | None, arg(metavar="FOLDER")] = None
    bench: Annotated[Path | None, arg(metavar="FOLDER")] = None
    data: Places = ()
    samples: int = 20
    training: Annotated[Path | None, arg(metavar="FOLDER")] = None
    push_to: Annotated[str | None, arg(metavar="ORG/MODEL")] = None
    tasks_from: TaskFiles = ()

    def run(self) -> None:
        """Print the table and write the page.

        Raises:
            ValueError: no run is given.
        """
        from eval_tasks.report.tables import runs_table
        from eval_tasks.store.run_folder import read_results

        if not self.runs:
            raise ValueError("give at least one RUN, the folder of a run")
        paper = [name.strip() for name in (self.paper or "").split(",") if name.strip()]
        table = runs_table(self.runs, paper)
        if self.output_file:
            self.output_file.write_text(table + "\n", encoding="utf-8")
        print(table)
        if self.push_to is not None:
            from eval_tasks.report.push import push_scores

            if len(self.runs) != 1:
                raise ValueError(f"--push_to {self.push_to}: give one RUN, got {len(self.runs)}")
            print(f"\npushed: {push_scores(self.runs[0], self.push_to)}")
        if self.html is not None:
            from eval_tasks.report.page import write_report_page

            shared = set.intersection(*(set(read_results(run)["tasks"]) for run in self.runs))
            tasks = all_tasks(self.tasks_from, sorted(shared))
            data = dict(places_of(tasks, self.data))
            write_report_page(
                self.html, self.runs, tasks, self.dataset, self.bench, self.training, paper, data, self.samples
            )
            print(f"\npage: {self.html}")


def all_tasks(outside: Sequence[Path], names: Sequence[str]) -> dict[str, Task]:
    """The tasks of these names.

    Raises:
        ValueError: one is unknown.
    """
    found = find_tasks(outside)
    for name in names:
        if name.partition(":")[0] not in found:
            raise ValueError(f"the run has an unknown task {name!r}; pass --tasks_from PATH")
    return {name: task_named(name, found) for name in names}
