"""The generate stage on the ranks of an engine: shards divided among the ranks, one ledger a rank.

Each rank writes every num_ranks-th shard with its own ledger (SQLite can't be shared over a network file system), and
looks up earlier answers in the merged one.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.ledger_files import append_ledger
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.stage.engine import EngineSettings
from mmcr_dataset.stage.stages import numbered


@dataclass(frozen=True, slots=True)
class GenerateTask:
    """Arguments of the generate stage: work folder, writer, engine, fingerprints of the evaluation sets."""

    work: Path
    writer: WriterSettings
    engine: EngineSettings
    evaluation_sets: tuple[str, ...] = ()


def rank_ledger(work: Path, rank: int) -> Path:
    """Path of a rank's ledger."""
    return work / "ledgers" / f"{rank:05d}.sqlite"


def merge_rank_ledgers(work: Path) -> None:
    """Add the ranks' ledgers to the ledger of the build; safe against a kill at any moment.

    Raises:
        LedgerError: a rank is still running, or a file is damaged.
    """
    parts = [path for _, path in numbered(work / "ledgers", "sqlite")]
    if not parts:
        return
    joined = work / "ledger.sqlite"
    for path in [*parts, joined]:
        Ledger(path).close()  # fails while a rank holds it; checkpoints its WAL into the file
    for path in parts:
        append_ledger(joined, path)
        for suffix in ("-wal", "-shm", "", ".in_flight", ".lock"):  # a log must not outlive its file
            path.with_name(path.name + suffix).unlink(missing_ok=True)


def to_rank(task: GenerateTask, rank: int, spent_usd: float) -> GenerateTask:
    """The stage for one rank, with its share of max_in_flight and of the remaining max_cost_usd."""
    endpoint, count = task.writer.endpoint, task.engine.num_ranks
    assert endpoint is not None, f"rank {rank}: only writers with an endpoint run on an engine"
    limit = endpoint.max_cost_usd
    part = replace(
        endpoint,
        max_in_flight=max(1, endpoint.max_in_flight // count),
        max_cost_usd=None if limit is None else max(0.0, limit - spent_usd) / count,
    )
    return replace(task, writer=replace(task.writer, endpoint=part))
