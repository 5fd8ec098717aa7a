"""Divide the shards of a stage among the ranks of an engine, or do them all in this process."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from pathlib import Path

import numpy as np

from mmcr_dataset.stage.engine import EngineSettings, Job, launch
from mmcr_dataset.stage.stages import write_text

log = logging.getLogger(__name__)
DoShards = Callable[[Iterable[int], int], None]  # numbers of shards, number of the rank


def run_shards(name: str, do_shards: DoShards, numbers: Sequence[int], work: Path, engine: EngineSettings) -> bool:
    """Do shards; True if that has finished, False if it was submitted to a queue.

    Args:
        name: of the stage.
        do_shards: picklable, with absolute paths in it; called with every num_ranks-th shard, in the rank's process.
        numbers: of the shards that are not finished.
        work: the work folder.
        engine: where the ranks run.

    Raises:
        ValueError: the engine is not installed, or a rank failed.
    """
    if not numbers:
        return True
    if engine.name == "local":
        do_shards(numbers, 0)
        return True
    path = write_numbers(work, name, numbers)
    job = Job(name, partial(_do_rank, do_shards, path.resolve(), engine.num_ranks), work.resolve() / "engine" / name)
    if launch(job, engine):
        return True
    log.info("%s: submitted to the queue; when the job has finished, run the same command again to go on", name)
    return False


def may_try_again(work: Path, name: str, fingerprint: str, engine: EngineSettings) -> bool:
    """Whether rows of finished shards that failed for a transient reason are tried again; counts the jobs of a queue.

    Other engines try once in each run and go on. A queue returns before its job ends, so that a row that always fails
    would be submitted in each run, and no later stage would ever begin.

    Args:
        work: the work folder.
        name: of the stage.
        fingerprint: of its settings; others count anew.
        engine: where the ranks run.
    """
    if engine.name != "slurm":
        return True
    path = work / "engine" / f"{name}.attempts.json"
    tried = json.loads(path.read_text("utf-8")) if path.is_file() else {}
    count = tried.get(fingerprint, 1)  # the first job is one
    if count >= engine.attempts:
        log.warning(
            "%s: what failed for a transient reason in each of %d jobs is left out (--slurm_attempts %d)",
            *(name, count, engine.attempts),
        )
        return False
    write_text(path, json.dumps({fingerprint: count + 1}))
    log.info("%s: what failed for a transient reason is tried again, job %d of %d", name, count + 1, engine.attempts)
    return True


def _do_rank(do_shards: DoShards, path: Path, num_ranks: int, rank: int) -> None:
    do_shards(read_numbers(path, rank, num_ranks), rank)


def write_numbers(work: Path, name: str, numbers: Sequence[int]) -> Path:
    """Write the numbers of the shards of all ranks to a file, of which a rank reads its own without the others."""
    path = work / "engine" / f"{name}.shards.npy"
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f"{name}.unfinished.npy")
    np.save(unfinished, np.array(numbers, np.int64))
    return unfinished.replace(path)


def read_numbers(path: Path, rank: int, num_ranks: int) -> Iterable[int]:
    """The numbers of a rank's shards."""
    return map(int, np.load(path, mmap_mode="r")[rank::num_ranks])
