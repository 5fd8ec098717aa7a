"""Run work on several ranks, in processes or on machines, with datatrove's executors.

A rank runs a picklable function of its number: a module-level function, or a `functools.partial` of one. The function
itself must skip what is finished; then the same command resumes after a kill, with any number of ranks.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Annotated, Any, Literal

from tyro.conf import arg

ATTEMPTS = 3
_STOP_S = 30.0


@dataclass(frozen=True, slots=True)
class EngineSettings:
    """Where the stages run.

    Attributes:
        name: local (this process), datatrove-local (processes on this machine), slurm (a job array) or ray (the
            cluster at RAY_ADDRESS, else one on this machine).
        num_ranks: number of ranks; shards, max_in_flight and max_cost_usd are divided among them.
        partition: Slurm partition.
        time: time limit of a Slurm task.
        account: Slurm account that is charged.
        qos: Slurm quality of service.
        environment: shell command that each Slurm task runs first, such as `source /path/to/.venv/bin/activate`.
        requeue: let Slurm start a task again that was preempted or lost its node.
        dry_run: print the scripts that would be submitted to Slurm, and stop before anything is read or written.
        attempts: jobs that are submitted to Slurm for the same documents at most; after them the build goes on without
            those that failed for a transient reason each time.
    """

    name: Annotated[Literal["local", "datatrove-local", "slurm", "ray"], arg(name="engine")] = "local"
    num_ranks: Annotated[int, arg(name="ranks")] = 8
    partition: Annotated[str | None, arg(name="slurm_partition")] = None
    time: Annotated[str, arg(name="slurm_time")] = "24:00:00"
    account: Annotated[str | None, arg(name="slurm_account")] = None
    qos: Annotated[str | None, arg(name="slurm_qos")] = None
    environment: Annotated[str | None, arg(name="slurm_environment", metavar="COMMAND")] = None
    requeue: Annotated[bool, arg(name="slurm_requeue")] = True
    dry_run: Annotated[bool, arg(name="slurm_dry_run")] = False
    attempts: Annotated[int, arg(name="slurm_attempts")] = ATTEMPTS

    def __post_init__(self) -> None:
        if self.num_ranks < 1:
            raise ValueError(f"--ranks {self.num_ranks}: expected at least 1")
        if (self.name == "slurm") != (self.partition is not None):
            raise ValueError(f"--engine {self.name}: --slurm_partition is required for slurm, and for slurm only")
        if self.attempts < 1:
            raise ValueError(f"--slurm_attempts {self.attempts}: expected at least 1")
        ours = self.account or self.qos or self.environment or self.dry_run or self.attempts != ATTEMPTS
        if self.name != "slurm" and ours:
            raise ValueError(f"--engine {self.name}: flags that begin with --slurm_ go with --engine slurm")
        for flag, value in (("account", self.account), ("qos", self.qos), ("environment", self.environment)):
            if value is not None and ("\n" in value or not value.strip()):
                raise ValueError(f"--slurm_{flag} {value!r}: expected one line of text")


@dataclass(frozen=True, slots=True)
class Job:
    """Work for the ranks of an engine.

    Attributes:
        name: name of the job in the queue.
        run_rank: called with the rank's number, in the rank's process.
        logs: folder for the engine's logs.
    """

    name: str
    run_rank: Callable[[int], None]
    logs: Path


def launch(job: Job, engine: EngineSettings) -> bool:
    """Run a job on the engine; True if it has finished, False if it was submitted to a queue.

    Each local rank is a process of ours, because datatrove's own pool waits forever for a worker that was killed. A
    killed rank is restarted, at most twice.

    Raises:
        ValueError: the engine is not installed, or a rank failed.
    """
    os.environ["LOGURU_DIAGNOSE"] = "NO"  # the engine's logger would write the values of variables, keys among them
    if engine.name == "slurm":
        make_executor(job, engine).run()
        return False
    if engine.name == "ray":
        _run_on_ray(job, engine)
        return True
    make_executor(job, engine, rank=0)  # fails before anything starts if a package is missing
    left = list(range(engine.num_ranks))
    for _ in range(3):
        spawn = multiprocessing.get_context("spawn")
        ranks = [spawn.Process(target=_run_rank, args=(job, engine, rank)) for rank in left]
        for process in ranks:
            process.start()
        try:
            for process in ranks:
                process.join()
        finally:
            _end_groups(ranks)
        ended = {rank: process.exitcode or 0 for rank, process in zip(left, ranks, strict=True)}
        failed = [rank for rank, code in ended.items() if code > 0]
        if failed:
            raise ValueError(f"ranks {failed} failed, see above and {job.logs}; run the same command again to resume")
        left = [rank for rank, code in ended.items() if code < 0]
        if not left:
            return True
    raise ValueError(f"ranks {left} were killed three times (memory?); run the same command again with fewer --ranks")


def show_script(name: str, logs: Path, engine: EngineSettings) -> str:
    """The script that a job is submitted to Slurm with.

    Args:
        name: name of the job.
        logs: folder for the engine's logs.
        engine: where it runs.

    Raises:
        ValueError: datatrove is not installed.
    """
    with tempfile.TemporaryDirectory() as place:  # datatrove creates the folder of the logs
        executor = make_executor(Job(name, _do_nothing, Path(place)), engine)
        settings = executor.get_sbatch_args(min(engine.num_ranks, executor.max_array_size))
        command = f"srun -l -n 1 launch_pickled_pipeline {Path(place) / 'executor.pik'}"
        return str(executor.get_launch_file_contents(settings, command)).replace(place, str(logs))


def _do_nothing(rank: int) -> None:
    """The work of a job whose script is only shown."""


def _run_on_ray(job: Job, engine: EngineSettings) -> None:
    """Run all ranks on Ray, which restarts those whose worker died; a failed rank shows in its unfinished shards."""
    try:
        import ray
    except ImportError as error:
        raise ValueError(f"--engine ray: pip install 'ray>=2.40' ({error})") from error
    ray.init(include_dashboard=False, log_to_driver=False)
    try:
        make_executor(job, engine).run()
    finally:
        ray.shutdown()


def _run_rank(job: Job, engine: EngineSettings, rank: int) -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        os.setpgid(0, 0)  # the engine's own processes are of this group, and end with it
        threading.Thread(target=_end_with, args=(parent,), daemon=True).start()
    make_executor(job, engine, rank).run()


def _end_with(parent: BaseProcess) -> None:
    """End this rank when the build that started it was killed: it would hold the ledger and the output for ever."""
    parent.join()
    os.killpg(0, signal.SIGKILL)


def _end_groups(ranks: Sequence[BaseProcess]) -> None:
    """End what ranks left behind: helpers of a killed one, or all of them after Ctrl-C, once they had time to stop."""
    for process in ranks:
        if process.is_alive() and process.pid is not None:
            os.killpg(process.pid, signal.SIGINT)
    for process in ranks:
        process.join(_STOP_S)
        with suppress(ProcessLookupError):
            os.killpg(process.pid or 0, signal.SIGKILL)


def make_executor(job: Job, engine: EngineSettings, rank: int | None = None) -> Any:  # noqa: ANN401
    """The datatrove executor of all ranks (Slurm, Ray), or of one rank on this machine.

    Args:
        job: the work.
        engine: where it runs.
        rank: number of the local rank; None for all ranks.

    Raises:
        ValueError: datatrove is not installed.
    """
    try:
        from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
    except ImportError as error:
        raise ValueError(f"--engine {engine.name}: pip install -e '.[engine]' ({error})") from error
    from mmcr_dataset.stage.engine_step import RankStep

    pipeline = [RankStep(job.name, job.run_rank)]
    shared: dict[str, Any] = {"tasks": engine.num_ranks, "logging_dir": str(job.logs), "skip_completed": False}
    if engine.name == "ray":
        return RayPipelineExecutor(pipeline, mem_per_cpu_gb=1, **shared)
    if rank is None:
        slurm: dict[str, Any] = {"time": engine.time, "partition": engine.partition or "", "qos": engine.qos}
        slurm |= {"job_name": f"mmcr-{job.name}", "env_command": engine.environment, "requeue": engine.requeue}
        account = {"account": engine.account} if engine.account else {}
        return SlurmPipelineExecutor(pipeline, sbatch_args=account, **slurm, **shared)
    return LocalPipelineExecutor(pipeline, workers=1, local_tasks=1, local_rank_offset=rank, **shared)
