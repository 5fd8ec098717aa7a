"""The paid stage on several processes or machines, under datatrove's executors: the same shards, one ledger a rank.

A rank writes every world_size-th shard with a ledger of its own (SQLite must not be shared over a network file system)
and looks into the joined one for what was paid before. The stage's own marks say what is finished, not the engine's:
run the same command again after a kill, with any number of ranks.
"""

from __future__ import annotations

import multiprocessing
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from mmcr_dataset.build_settings import EngineSettings, WriterSettings
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.ledger_files import merge_ledgers


@dataclass(frozen=True, slots=True)
class Writing:
    """The paid stage as it is handed over: where its files are, who writes, and where that runs."""

    work: Path
    writer: WriterSettings
    engine: EngineSettings


def rank_ledger(work: Path, rank: int) -> Path:
    """The ledger of one rank."""
    return work / "ledgers" / f"{rank:05d}.sqlite"


def join_ledgers(work: Path) -> None:
    """Bring what the ranks paid for into the ledger of the build; nothing is lost by a kill in the middle.

    Raises:
        LedgerError: a rank is still at work, or a file is damaged.
    """
    parts = sorted((work / "ledgers").glob("?????.sqlite"))
    if not parts:
        return
    joined = work / "ledger.sqlite"
    for path in [*parts, joined]:
        Ledger(path).close()  # refused while a rank has it; brings its log into the file
    unfinished = work / "ledger.joined"
    unfinished.unlink(missing_ok=True)
    merge_ledgers([joined, *parts], unfinished)
    unfinished.replace(joined)
    for path in parts:
        for rest in path.parent.glob(f"{path.name}*"):
            rest.unlink()


def to_rank(task: Writing, rank: int, spent_usd: float) -> Writing:
    """The stage as one rank sees it: its part of the requests in flight and of the money that is left."""
    endpoint, count = task.writer.endpoint, task.engine.num_ranks
    assert endpoint is not None, f"rank {rank}: only paid writers run on an engine"
    limit = endpoint.max_cost_usd
    part = replace(
        endpoint,
        max_in_flight=max(1, endpoint.max_in_flight // count),
        max_cost_usd=None if limit is None else max(0.0, limit - spent_usd) / count,
    )
    return replace(task, writer=replace(task.writer, endpoint=part))


def launch(task: Writing, numbers: Iterable[int], spent_usd: float) -> bool:
    """Run the stage on the engine; True if it has ended, False if it was only handed to a queue.

    Each local rank has a process that we watch: datatrove's own pool waits forever for a worker that was killed. One
    that was is started again, twice at most.

    Raises:
        ValueError: the engine is not installed, or a rank failed.
    """
    arguments = (task, list(numbers), spent_usd)
    if task.engine.name == "slurm":
        make_executor(*arguments).run()
        return False
    if task.engine.name == "ray":
        _run_on_ray(*arguments)
        return True
    make_executor(*arguments, rank=0)  # says what is missing, before anything starts
    left = list(range(task.engine.num_ranks))
    for _ in range(3):
        ranks = [
            multiprocessing.get_context("spawn").Process(target=_run_rank, args=(*arguments, rank)) for rank in left
        ]
        for process in ranks:
            process.start()
        for process in ranks:
            process.join()
        ended = {rank: process.exitcode or 0 for rank, process in zip(left, ranks, strict=True)}
        failed = [rank for rank, code in ended.items() if code > 0]
        if failed:
            raise ValueError(
                f"ranks {failed} failed, see above and {task.work / 'engine'}; run the same command again to go on"
            )
        left = [rank for rank, code in ended.items() if code < 0]
        if not left:
            return True
    raise ValueError(f"ranks {left} were killed three times (memory?); run the same command again with fewer --ranks")


def _run_on_ray(task: Writing, numbers: list[int], spent_usd: float) -> None:
    """All ranks on Ray, which starts those anew whose worker died; a rank that failed is told by its missing shards."""
    try:
        import ray
    except ImportError as error:
        raise ValueError(f"--engine ray: pip install 'ray>=2.40' ({error})") from error
    task = replace(task, work=task.work.resolve())  # workers have folders of their own
    ray.init(include_dashboard=False, log_to_driver=False)
    try:
        make_executor(task, numbers, spent_usd).run()
    finally:
        ray.shutdown()


def _run_rank(task: Writing, numbers: list[int], spent_usd: float, rank: int) -> None:
    make_executor(task, numbers, spent_usd, rank).run()


def make_executor(task: Writing, numbers: list[int], spent_usd: float, rank: int | None = None) -> Any:  # noqa: ANN401
    """The executor of datatrove: of all ranks on Slurm or Ray, of one rank on this machine."""
    try:
        from datatrove.executor import LocalPipelineExecutor, RayPipelineExecutor, SlurmPipelineExecutor
    except ImportError as error:
        raise ValueError(f"--engine {task.engine.name}: pip install 'mmcr[engine]' ({error})") from error
    from mmcr_dataset.stage.engine_step import WriteRank

    engine, logs = task.engine, task.work / "engine"
    pipeline = [WriteRank(task, numbers, spent_usd)]
    if engine.name == "ray":
        return RayPipelineExecutor(
            pipeline, tasks=engine.num_ranks, mem_per_cpu_gb=1, logging_dir=str(logs), skip_completed=False
        )
    if rank is None:
        return SlurmPipelineExecutor(
            pipeline,
            tasks=engine.num_ranks,
            time=engine.time,
            partition=engine.partition or "",
            job_name="mmcr-generate",
            logging_dir=str(logs),
            skip_completed=False,
        )
    return LocalPipelineExecutor(
        pipeline,
        tasks=engine.num_ranks,
        workers=1,
        local_tasks=1,
        local_rank_offset=rank,
        logging_dir=str(logs),
        skip_completed=False,
    )
