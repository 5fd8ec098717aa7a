"""The generate stage: what it costs is said first, then every unfinished shard goes through the writer."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial

from mmcr_dataset.collect.candidates import read_candidates
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.dialogues import fingerprint
from mmcr_dataset.generate.estimate import estimate, show_change
from mmcr_dataset.generate.ranks import Writing, join_ledgers, rank_ledger, to_rank
from mmcr_dataset.generate.shards import Row, Shards, write_shards
from mmcr_dataset.stage.engine import Job, launch
from mmcr_dataset.stage.progress import open_bar, say_count
from mmcr_dataset.stage.stages import Removed, Stage, StageCount, write_jsonl

log = logging.getLogger(__name__)


def generate(task: Writing, estimate_only: bool = False) -> StageCount | None:
    """A dialogue for each candidate, by the writer, through the ledger; None if only an estimate was wanted."""
    collected = Stage.reopen(task.work, "collect")
    writer = fingerprint(task.writer)
    before = Stage.settings_on_disk(task.work, "generate")
    made_of = {"input": collected.fingerprint, "writer": writer}
    paths = {int(path.stem): path for path in sorted((task.work / "1_candidates").glob("*.parquet"))}

    def load(number: int) -> list[Candidate]:
        return read_candidates(paths[number])

    if task.writer.endpoint is None:
        return _write(task, Stage(task.work, "generate", made_of), paths, load, None)
    join_ledgers(task.work)
    with Ledger(task.work / "ledger.sqlite") as ledger:
        todo = _unfinished(Stage(task.work, "generate", made_of), paths) if before == made_of else [*paths]
        cost = estimate(_watched_shards(todo, load), task.writer, ledger)
        log.info("     cost: %s", cost.show(task.writer.endpoint.model))
        change = show_change((before or {}).get("writer"), writer, cost)
        if change is not None:
            log.warning("%s", change)
        if estimate_only:
            return None
        stage = Stage(task.work, "generate", made_of)
        if task.engine.name == "local":
            return _write(task, stage, paths, load, ledger)
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
    return say_count(stage.close())


def write_rank(task: Writing, numbers: Sequence[int], spent_usd: float, rank: int) -> None:
    """A rank's shards of the generate stage, with a ledger of its own; in a process of an engine."""
    with Ledger(rank_ledger(task.work, rank), earlier=task.work / "ledger.sqlite") as ledger:
        write_ranks_shards(to_rank(task, rank, spent_usd), numbers[rank :: task.engine.num_ranks], ledger)


def write_ranks_shards(task: Writing, numbers: Sequence[int], ledger: Ledger) -> None:
    """Some shards of the generate stage, in a process of an engine."""
    stage = Stage.reopen(task.work, "generate")
    folder = task.work / "1_candidates"
    _write(task, stage, numbers, lambda number: read_candidates(folder / f"{number:05d}.parquet"), ledger)


def _write(
    task: Writing,
    stage: Stage,
    numbers: Iterable[int],
    load: Callable[[int], list[Candidate]],
    ledger: Ledger | None,
) -> StageCount:
    """Write the shards that aren't finished, and those with rows that are to be tried again."""

    def finish(number: int, rows: Sequence[Row]) -> None:
        dialogues = [row for row in rows if not isinstance(row, Removed)]
        write_jsonl(stage.shard(number, "jsonl"), dialogues)
        stage.finish(number, len(rows), len(dialogues), [row for row in rows if isinstance(row, Removed)])

    todo = _unfinished(stage, numbers)
    with open_bar("generate", "dialogue", Stage.reopen(task.work, "collect").close().num_kept) as bar:
        bar.update(sum(stage.num_in(number) for number in numbers if number not in set(todo)))
        bar.unpause()

        def advance(spend: str) -> None:
            bar.set_postfix_str(spend, refresh=False)
            bar.update()

        write_shards(Shards(todo, load, finish), task.writer, ledger, advance)
    return say_count(stage.close())


def _unfinished(stage: Stage, numbers: Iterable[int]) -> list[int]:
    """Shards that are to be written, or have rows that are to be tried again."""
    return [number for number in numbers if not stage.is_finished(number) or stage.has_retries(number)]


def _watched_shards(numbers: Collection[int], load: Callable[[int], list[Candidate]]) -> Iterator[list[Candidate]]:
    with open_bar("cost", "shard", len(numbers)) as bar:
        for number in numbers:
            yield load(number)
            bar.update()
