"""The generate stage: what it costs is said first, then every unfinished shard goes through the writer."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mmcr_dataset.collect.candidates import read_shard
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.dialogues import fingerprint
from mmcr_dataset.generate.estimate import estimate, show_change
from mmcr_dataset.generate.ranks import Writing, join_ledgers, rank_ledger, to_rank
from mmcr_dataset.generate.shards import Row, Shards, write_shards
from mmcr_dataset.stage.engine import Job, launch
from mmcr_dataset.stage.progress import open_bar, say_count
from mmcr_dataset.stage.stages import STAGES, Removed, Stage, StageCount, write_jsonl

log = logging.getLogger(__name__)


def generate(task: Writing, estimate_only: bool = False) -> StageCount | None:
    """A dialogue for each candidate, by the writer, through the ledger; None if only an estimate was wanted."""
    paths = {int(path.stem): path for path in sorted((task.work / STAGES["collect"]).glob("*.parquet"))}
    if task.writer.endpoint is None:
        stage = _begin(task)
        _write(task, stage, paths, None)
        return _close(stage, paths)
    join_ledgers(task.work)
    with Ledger(task.work / "ledger.sqlite") as ledger:
        before = Stage.settings_on_disk(task.work, "generate")
        todo = _unfinished(_begin(task), paths) if before == _made_of(task) else [*paths]
        cost = estimate(_watched_shards(task.work, todo), task.writer, ledger)
        shown = cost.show(task.writer.endpoint.model)
        if estimate_only:
            print(shown)
        else:
            log.info("     cost: %s", shown)
        change = show_change((before or {}).get("writer"), fingerprint(task.writer), cost)
        if change is not None:
            log.warning("%s", change)
        if estimate_only:
            return None
        stage = _begin(task)
        if task.engine.name == "local":
            _write(task, stage, paths, ledger)
            return _close(stage, paths)
        spent_usd = ledger.totals().usd
    task = replace(task, work=task.work.resolve())  # ranks may have working directories of their own
    write = partial(write_rank, task, _unfinished(stage, paths), spent_usd)
    if not launch(Job("generate", write, task.work / "engine"), task.engine):
        log.info("handed to the queue; when it is through, run the same command with --engine local to go on")
        return None
    join_ledgers(task.work)
    missing = [number for number in paths if not stage.is_finished(number)]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(paths)} shards were not finished, see {task.work / 'engine'}; run the same "
            "command again to go on"
        )
    return _close(stage, paths)


def write_rank(task: Writing, numbers: Sequence[int], spent_usd: float, rank: int) -> None:
    """A rank's shards of the generate stage, with a ledger of its own; in a process of an engine."""
    with Ledger(rank_ledger(task.work, rank), earlier=task.work / "ledger.sqlite") as ledger:
        _write(to_rank(task, rank, spent_usd), _begin(task), numbers[rank :: task.engine.num_ranks], ledger)


def _made_of(task: Writing) -> dict[str, Any]:
    """What decides the dialogues: the candidates and the writer."""
    return {"input": Stage.open(task.work, "collect").fingerprint, "writer": fingerprint(task.writer)}


def _begin(task: Writing) -> Stage:
    return Stage.begin(task.work, "generate", _made_of(task))


def _close(stage: Stage, numbers: Iterable[int]) -> StageCount:
    """Put the dialogues in place of former ones, unless not one request was answered.

    Raises:
        ValueError: each row was removed for a reason that may be gone another time.
    """
    failed = [row for number in numbers for row in stage.removed_rows(number)]
    if stage.count().num_kept == 0 and failed and all(row.retry for row in failed):
        raise ValueError(
            f"none of {len(failed)} requests was answered, the first: {failed[0].reason}, {failed[0].detail}; run the "
            "same command again when the endpoint answers"
        )
    return say_count(stage.close())


def _write(task: Writing, stage: Stage, numbers: Iterable[int], ledger: Ledger | None) -> None:
    """Write the shards that aren't finished, and those with rows that are to be tried again."""

    def finish(number: int, rows: Sequence[Row]) -> None:
        dialogues = [row for row in rows if not isinstance(row, Removed)]
        write_jsonl(stage.shard(number, "jsonl"), dialogues)
        stage.finish(number, len(rows), len(dialogues), [row for row in rows if isinstance(row, Removed)])

    todo = _unfinished(stage, numbers)
    with open_bar("generate", "dialogue", Stage.open(task.work, "collect").count().num_kept) as bar:
        bar.update(sum(stage.num_in(number) for number in numbers if number not in set(todo)))
        bar.unpause()

        def advance(spend: str) -> None:
            bar.set_postfix_str(spend, refresh=False)
            bar.update()

        write_shards(Shards(todo, partial(read_shard, task.work), finish), task.writer, ledger, advance)


def _unfinished(stage: Stage, numbers: Iterable[int]) -> list[int]:
    """Shards that are to be written, or have rows that are to be tried again."""
    return [number for number in numbers if not stage.is_finished(number) or stage.has_retries(number)]


def _watched_shards(work: Path, numbers: Collection[int]) -> Iterator[list[Candidate]]:
    with open_bar("cost", "shard", len(numbers)) as bar:
        for number in numbers:
            yield read_shard(work, number)
            bar.update()
