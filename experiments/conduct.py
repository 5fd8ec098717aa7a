"""MAIN: the flags of all experiments, and their flow: count the data, train and evaluate the arms, plot the figure.

The folder of an experiment (`--output_dir`): start/ and looks/ (dry runs of the training), base/ (the model before
training), arms/ARM/seed_N/ (train/, eval/, and for each step its command and log), figure.png, table.md, results.json.
"""

from __future__ import annotations

import json
import logging
import math
import shlex
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

from tyro.conf import arg

from experiments.arm import Arm, Experiment
from experiments.commands import Command, Commands
from experiments.runs import StepFailed, exit_on_sigterm, is_done, lock_folder, run_step
from experiments.volumes import DryRun, count_rows, read_dry_run
from mmcr_dataset.command_line import Program, run_program

log = logging.getLogger(__name__)

TINY = "tiny:"
BASE_FOLDER = "base"


@dataclass(frozen=True, kw_only=True)
class ExperimentSettings:
    """The flags of every experiment.

    Attributes:
        config: training recipe, the same for all arms.
        data: folders or Hub ids of data sets.
        tasks: comma-separated benchmarks.
        judge: offline or api:URL#NAME.
        seeds: each arm is trained once per seed.
        models: base models, one per seed, so that the seeds cover the weights too; default that of the recipe.
        metrics: further measures, each a TASK/METRIC of results.json.
        out: folder of the experiment; run again with the same folder to resume.
        train_flags: additional flags of train.py for all arms, quoted.
        eval_flags: additional flags of python -m eval_tasks, quoted.
        tasks_from: files or folders with additional tasks.
        launch: accelerate's config file, such as training/launch/ddp.yaml.
        processes: number of GPUs; default 1, or that of --launch.
        python: interpreter of all commands.
        dry_run: print the commands without running them.
    """

    config: str
    data: tuple[str, ...]
    tasks: str = "mmcr_bench"
    judge: str = "offline"
    seeds: tuple[int, ...] = (0,)
    models: tuple[str, ...] = ()
    metrics: Annotated[tuple[str, ...], arg(metavar="TASK/METRIC ...")] = ()
    out: Annotated[Path, arg(name="output_dir")]
    train_flags: Annotated[str, arg(metavar="'FLAGS'")] = ""
    eval_flags: Annotated[str, arg(metavar="'FLAGS'")] = ""
    tasks_from: Annotated[tuple[str, ...], arg(metavar="PATH ...")] = ()
    launch: Annotated[str | None, arg(metavar="FILE")] = None
    processes: int | None = None
    python: str = sys.executable
    dry_run: bool = False

    def __post_init__(self) -> None:
        if not self.data:
            raise ValueError("--data is empty: give at least one folder or Hub id")
        if self.models and len(self.models) != len(set(self.seeds)):
            raise ValueError(
                f"--models names {len(self.models)} models for {len(set(self.seeds))} seeds; give one a seed"
            )

    def plan(self, conductor: Conductor) -> Experiment:
        """The arms.

        Raises:
            ValueError: the flags are inconsistent, or don't match the data.
        """
        raise AssertionError("overridden by every experiment")

    def run(self) -> int:
        """Train and evaluate the arms, plot the figure; returns 1 if an arm failed."""
        return conduct(self)


@dataclass
class Conductor:
    """A running experiment.

    Attributes:
        commands: builds the commands.
        out: folder of the experiment.
        seeds: random seeds of the trainings.
        tasks_from: files and folders with additional tasks.
        base: the model before training.
        data_config: `single` or `multi` for a part of the data.
        lock: file descriptor of the lock, which its processes inherit; None in a dry run.
        model: base model of the arms, None for that of the recipe.
        models: base models, one per seed; empty if all seeds start from `model`.
        metrics: further measures.
    """

    commands: Commands
    out: Path
    seeds: Sequence[int]
    tasks_from: Sequence[str]
    base: str
    data_config: str | None = None
    lock: int | None = None
    model: str | None = None
    models: Sequence[str] = ()
    metrics: Sequence[str] = ()

    @property
    def is_dry(self) -> bool:
        """Whether commands are only shown."""
        return self.lock is None

    def model_of(self, seed: int) -> str | None:
        """The base model of a seed, None for that of the recipe."""
        return self.models[list(self.seeds).index(seed)] if self.models else self.model

    def bases(self) -> Iterator[tuple[str, Path]]:
        """Each model before training, and the folder of its evaluation."""
        if not self.models:
            yield self.base, self.out / BASE_FOLDER
            return
        for seed, model in zip(self.seeds, self.models, strict=True):
            yield model, self.out / BASE_FOLDER / f"seed_{seed}"

    def count_rows(self, place: str) -> int | None:
        """Rows of a local data set, None for one on the Hub."""
        return count_rows(place, self.data_config)

    def dry_run(self, name: str, flags: Sequence[str]) -> DryRun | None:
        """Counts of a dry run of the training; None if it wasn't run yet and the experiment is a dry run itself.

        Raises:
            StepFailed: the dry run failed.
        """
        folder = self.out / "looks" / name
        command = self.commands.dry_run(flags, folder, self.model)
        if self.lock is None:
            if not is_done("look", folder):
                print(f"first:  {command.show()}")
                return None
        else:
            self.run("look", command, folder)
        return read_dry_run(folder)

    def run(self, step: str, command: Command, folder: Path) -> None:
        """Run and log one step, unless it is done."""
        assert self.lock is not None, "a dry run runs nothing"
        name = folder.relative_to(self.out)
        if not is_done(step, folder):
            log.info("%s: %s, log %s.log", name, step, folder / step)
        if not run_step(step, command, folder, self.lock):
            log.info("%s: %s is done", name, step)


def main(settings: type[ExperimentSettings], argv: Sequence[str] | None = None) -> int:
    """The command line of an experiment; returns the exit code."""
    module = sys.modules[settings.__module__]
    name = module.__spec__.name if module.__spec__ else settings.__module__
    place = f"{settings.__module__}:{settings.__name__}"
    program = Program(f"python -m {name}", settings.__doc__ or "", {}, "eval", default=place)
    return run_program(program, argv)


def conduct(args: ExperimentSettings) -> int:
    """Plan, run and report an experiment; returns 1 if an arm failed, else 0.

    Raises:
        ValueError: a flag is invalid, or `--output_dir` is in use.
        StepFailed: a dry run of the training failed.
    """
    conductor = _open(args)
    is_tiny = conductor.base.startswith(TINY)
    start = conductor.commands.dry_run(["--data", *args.data], args.out / "start", None)
    if args.dry_run:
        if is_tiny:
            print(f"first:  {start.show()}")
            conductor.model = conductor.base = str(args.out / "start" / "base")
        show_plan(args.plan(conductor), conductor)
        return 0
    with exit_on_sigterm(), lock_folder(args.out) as conductor.lock:
        if is_tiny:  # all arms must start from the same weights and tokenizer
            conductor.run("look", start, args.out / "start")
            conductor.model = conductor.base = str(args.out / "start" / "base")
        experiment = args.plan(conductor)
        for arm in experiment.arms:
            conductor.commands.settings(arm.train_flags)  # validate all arms before training
        failed = run_arms(experiment, conductor)
        report(experiment, conductor, failed, is_tiny)
    return 1 if failed else 0


def _open(args: ExperimentSettings) -> Conductor:
    """The experiment of these flags.

    Raises:
        ValueError: training rejects them.
    """
    commands = Commands(
        python=args.python,
        config=args.config,
        tasks=args.tasks,
        judge=args.judge,
        train_flags=shlex.split(args.train_flags),
        eval_flags=[*shlex.split(args.eval_flags), *(f"--tasks_from={path}" for path in args.tasks_from)],
        launch=args.launch,
        processes=args.processes,
    )
    settings = commands.settings(["--data", *args.data])
    if settings["streaming"]:
        raise ValueError(f"{args.config}: streaming; arms need indexed rows, so omit it or set --streaming false")
    base = settings["model"] + (f"@{settings['revision']}" if settings["revision"] else "")
    base = args.models[0] if args.models else base
    seeds = list(dict.fromkeys(args.seeds))
    conductor = Conductor(commands, args.out, seeds, args.tasks_from, base, settings["data_config"])
    return replace(conductor, models=args.models, metrics=args.metrics)


def _runs_of(experiment: Experiment, conductor: Conductor) -> Iterator[tuple[Arm, int, Path]]:
    """Every arm of the first seed, then of the next, so that an interrupted experiment has all arms."""
    for seed in conductor.seeds:
        for arm in experiment.arms:
            yield arm, seed, conductor.out / "arms" / arm.name / f"seed_{seed}"


def run_arms(experiment: Experiment, conductor: Conductor) -> list[str]:
    """Evaluate the model before training, train and evaluate all arms; returns descriptions of failures."""
    failed = []
    for base, folder in conductor.bases():
        try:
            conductor.run("eval", conductor.commands.evaluate(base, folder / "eval"), folder)
        except StepFailed as error:
            failed.append(f"the model before training, {base}: {error}")
            log.error("%s", failed[-1])
    for arm, seed, folder in _runs_of(experiment, conductor):
        try:
            _run_arm(arm, seed, folder, conductor)
        except StepFailed as error:
            failed.append(f"arm {arm.name}, seed {seed}: {error}")
            log.error("%s", failed[-1])
    return failed


def _run_arm(arm: Arm, seed: int, folder: Path, conductor: Conductor) -> None:
    train = conductor.commands.train(arm.train_flags, seed, folder / "train", conductor.model_of(seed))
    conductor.run("train", train, folder)
    shutil.rmtree(folder / "train" / "checkpoints", ignore_errors=True)  # optimizer states are larger than the model
    conductor.run("eval", conductor.commands.evaluate(str(folder / "train" / "final"), folder / "eval"), folder)


def report(experiment: Experiment, conductor: Conductor, failed: Sequence[str], is_tiny: bool) -> None:
    """Write and print the results of the finished runs.

    Args:
        experiment: the experiment.
        conductor: the running experiment.
        failed: descriptions of failures.
        is_tiny: whether the model had random weights.

    Raises:
        ValueError: there is nothing to compare.
    """
    from experiments.figures import write_figure
    from experiments.result_table import show_results, write_results
    from experiments.scores import BASE, load_scores

    out = conductor.out
    folders: dict[str, list[Path]] = {arm.name: [] for arm in experiment.arms}
    for arm, _, folder in _runs_of(experiment, conductor):
        if is_done("eval", folder):
            folders[arm.name].append(folder)
    finished = {name: found for name, found in folders.items() if found}
    bases = [folder / "eval" for _, folder in conductor.bases() if is_done("eval", folder)]
    if not bases or not finished:
        raise ValueError("nothing to compare: " + ("\n".join(failed) or "no arm has finished"))
    evaluated = {BASE: bases} | {name: [folder / "eval" for folder in found] for name, found in finished.items()}
    is_paired = bool(conductor.models) and not failed
    scores = load_scores(evaluated, conductor.tasks_from, conductor.metrics, is_paired)
    trained = {name: [_facts_of(folder) for folder in found] for name, found in finished.items()}
    text = show_results(experiment, scores, trained, is_tiny)
    if failed:
        text += "\n## Failed\n\n" + "\n".join(f"- {line.partition(chr(10))[0]}" for line in failed) + "\n"
    (out / "table.md").write_text(text, encoding="utf-8")
    write_results(out / "results.json", experiment, scores, trained, failed)
    write_figure(experiment, scores, is_tiny, out / "figure.png")
    print(f"\n{text}\nfigure: {out / 'figure.png'}, table: {out / 'table.md'}, numbers: {out / 'results.json'}")


def _facts_of(folder: Path) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((folder / "train" / "final" / "training.json").read_text(encoding="utf-8"))
    return facts


def show_plan(experiment: Experiment, conductor: Conductor) -> None:
    """Print every command, with the rows and steps of each arm if known."""
    commands = conductor.commands
    print(f"{experiment.title}: {len(experiment.arms)} arms, seeds {' '.join(map(str, conductor.seeds))}")
    for note in experiment.notes:
        print(f"- {note}")
    print("\n# before training")
    for base, folder in conductor.bases():
        print(commands.evaluate(base, folder / "eval").show())
    for arm, seed, folder in _runs_of(experiment, conductor):
        print(f"\n# {arm.name}, seed {seed}: {_show_size(arm, conductor)}")
        print(commands.train(arm.train_flags, seed, folder / "train", conductor.model_of(seed)).show())
        print(commands.evaluate(str(folder / "train" / "final"), folder / "eval").show())
    print("\ndry run: nothing was run")


def _show_size(arm: Arm, conductor: Conductor) -> str:
    """Rows and steps of an arm; validates its flags."""
    if None in arm.caps:
        return "its rows depend on the dry runs that are run first"
    settings = conductor.commands.settings(arm.train_flags)
    counts = [conductor.count_rows(place) for place in arm.places]
    pairs = [(cap or 0, count) for cap, count in zip(arm.caps, counts, strict=True)]
    if any(not cap and count is None for cap, count in pairs):
        return "rows of a data set on the Hub, not counted here"
    rows = sum(cap if count is None else min(cap or count, count) for cap, count in pairs)
    steps = math.ceil(rows / settings["global_batch_dialogues"]) * settings["epochs"]
    return f"{rows:,} dialogues, about {settings['max_steps'] or math.ceil(steps):,} steps"
