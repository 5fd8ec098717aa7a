"""The paid stage dealt to ranks of an engine: the same shards, one ledger a rank.

A rank writes every num_ranks-th shard with a ledger of its own (SQLite must not be shared over a network file system)
and looks into the joined one for what was paid before.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.endpoint.ledger_files import merge_ledgers
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.stage.engine import EngineSettings


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
