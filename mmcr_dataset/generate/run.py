"""The generate stage: log a cost estimate, then write the dialogues of all unfinished shards."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from mmcr_dataset.collect.candidates import read_shard
from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.dialogues import Progress, fingerprint
from mmcr_dataset.generate.estimate import Estimate, estimate, show_writer_change
from mmcr_dataset.generate.ranks import GenerateTask, merge_rank_ledgers, rank_ledger, to_rank
from mmcr_dataset.generate.shards import Row, Shards, write_shards
from mmcr_dataset.stage.checks import Checks
from mmcr_dataset.stage.engine import Job, launch
from mmcr_dataset.stage.progress import log_count, open_bar
from mmcr_dataset.stage.shard_job import may_try_again, read_numbers, run_shards, write_numbers
from mmcr_dataset.stage.stages import STAGES, Removed, Stage, StageCount, numbered, write_jsonl
from mmcr_dataset.stage.work_folder import SCREENED

log = logging.getLogger(__name__)
SHARDS_ESTIMATED = 100  # about 10,000 documents
_NOT_ASKED = ("in_evaluation_set", "repeated_images", "taken_out", "unclear_text")  # dropped before they are paid for


def generate(task: GenerateTask, estimate_only: bool = False) -> StageCount | None:
    """Write a dialogue for each candidate.

    Args:
        task: work folder, writer and engine.
        estimate_only: print the cost estimate and stop.

    Returns:
        Counts of the stage; None after an estimate, or if the job was submitted to a queue.

    Raises:
        ValueError: shards are left unfinished, or no request was answered.
    """
    paths = dict(numbered(task.work / STAGES["collect"], "parquet"))
    if task.writer.endpoint is None:
        stage = _begin(task)
        if task.engine.name == "local":
            _write(task, stage, paths, None)  # free: the filter stage drops what must be dropped
            return _close(stage, paths)
        at = replace(task, work=task.work.resolve())
        done = run_shards("generate", partial(_write_free, at), _unfinished(stage, paths), task.work, task.engine)
        return _close(stage, paths) if done else None
    merge_rank_ledgers(task.work)
    with Ledger(task.work / "ledger.sqlite") as ledger:
        before = Stage.settings_on_disk(task.work, "generate")
        todo = _unfinished(_begin(task), paths) if before == _inputs(task) else [*paths]
        cost = _estimate(task, todo, ledger)
        shown = cost.show(" and ".join(one.model for one, _ in task.writer.shares()))
        if estimate_only:
            print(shown)
        else:
            log.info("     cost: %s", shown)
        change = show_writer_change((before or {}).get("writer"), fingerprint(task.writer), cost)
        if change is not None:
            log.warning("%s", change)
        if estimate_only:
            return None
        stage = _begin(task)
        if task.engine.name == "local":
            _write(task, stage, paths, ledger)
            return _close(stage, paths)
        todo = _unfinished(stage, paths)
        only_retries = all(stage.is_finished(number) for number in todo)
        if not todo or (only_retries and not may_try_again(task.work, "generate", stage.fingerprint, task.engine)):
            return _close(stage, paths)
        numbers_path = write_numbers(task.work, "generate", todo)
        spent_usd = ledger.totals().usd
    task = replace(task, work=task.work.resolve())  # ranks may have other working directories
    write = partial(write_rank, task, numbers_path.resolve(), spent_usd)
    if not launch(Job("generate", write, task.work / "engine"), task.engine):
        log.info("generate: submitted to the queue; when the job has finished, run the same command again to go on")
        return None
    merge_rank_ledgers(task.work)
    missing = [number for number in paths if not stage.is_finished(number)]
    if missing:
        raise ValueError(
            f"{len(missing)} of {len(paths)} shards were not finished, see {task.work / 'engine'}; run the same "
            "command again to resume"
        )
    return _close(stage, paths)


def write_rank(task: GenerateTask, numbers: Path, spent_usd: float, rank: int) -> None:
    """Write a rank's shards with its own ledger; runs in a process of the engine.

    Args:
        task: work folder, writer and engine.
        numbers: file of the unfinished shards of all ranks.
        spent_usd: cost so far.
        rank: number of the rank.
    """
    mine = read_numbers(numbers, rank, task.engine.num_ranks)
    with Ledger(rank_ledger(task.work, rank), earlier=task.work / "ledger.sqlite") as ledger:
        _write_shards(to_rank(task, rank, spent_usd), _begin(task), mine, ledger, lambda spend: None)


def _write_free(task: GenerateTask, numbers: Iterable[int], rank: int) -> None:
    """Write a rank's shards without an endpoint."""
    _write_shards(task, _begin(task), numbers, None, lambda spend: None)


def _inputs(task: GenerateTask) -> dict[str, Any]:
    """Settings of the stage: candidates and writer."""
    inputs = {"input": Stage.open(task.work, "collect").fingerprint, "writer": fingerprint(task.writer)}
    is_paid = task.writer.endpoint is not None
    return inputs | ({"evaluation_sets": list(task.evaluation_sets)} if task.evaluation_sets and is_paid else {})


def _begin(task: GenerateTask) -> Stage:
    return Stage.begin(task.work, "generate", _inputs(task))


def _close(stage: Stage, numbers: Iterable[int]) -> StageCount:
    """Close the stage, unless every request failed.

    Raises:
        ValueError: every row was removed for a transient reason.
    """
    rows = (row for number in numbers for row in stage.removed_rows(number))
    failed = [row for row in rows if row.reason not in _NOT_ASKED]
    if stage.count().num_kept == 0 and failed and all(row.retry for row in failed):
        raise ValueError(
            f"none of {len(failed)} requests was answered, the first: {failed[0].reason}, {failed[0].detail}; run the "
            "same command again when the endpoint answers"
        )
    return log_count(stage.close())


def _write(task: GenerateTask, stage: Stage, numbers: Iterable[int], ledger: Ledger | None) -> None:
    """Write the unfinished shards, and those with rows to retry, with a progress bar."""
    todo = _unfinished(stage, numbers)
    done = set(numbers) - set(todo)
    with open_bar("generate", "dialogue", Stage.open(task.work, "collect").count().num_kept) as bar:
        bar.update(sum(stage.num_in(number) for number in done))
        bar.unpause()

        def advance(spend: str) -> None:
            bar.set_postfix_str(spend, refresh=False)
            bar.update()

        _write_shards(task, stage, todo, ledger, advance)


def _write_shards(
    task: GenerateTask, stage: Stage, numbers: Iterable[int], ledger: Ledger | None, progress: Progress
) -> None:
    """Write the shards that are unfinished, or have rows to retry, when their turn comes."""

    def finish(number: int, rows: Sequence[Row]) -> None:
        dialogues = [row for row in rows if not isinstance(row, Removed)]
        write_jsonl(stage.shard(number, "jsonl"), dialogues)
        mended = Counter(what for row in dialogues for what in row.get("mended", ()))
        stage.finish(number, len(rows), len(dialogues), [row for row in rows if isinstance(row, Removed)], mended)

    load = partial(read_shard if task.writer.endpoint is None else load_shard, task.work)
    todo = (number for number in numbers if _is_unfinished(stage, number))
    write_shards(Shards(todo, load, finish), task.writer, ledger, progress)


def _is_unfinished(stage: Stage, number: int) -> bool:
    return not stage.is_finished(number) or stage.has_retries(number)


def _unfinished(stage: Stage, numbers: Iterable[int]) -> list[int]:
    """The unfinished shards, and those with rows to retry."""
    return [number for number in numbers if _is_unfinished(stage, number)]


def load_shard(work: Path, number: int) -> list[Candidate | Removed]:
    """The candidates of a collected shard; those that need not be paid for with the reason in their place."""
    rows: list[Candidate | Removed] = [*read_shard(work, number)]
    for place, (reason, detail) in Checks(work / SCREENED).reasons(number).items():
        rows[place] = Removed(rows[place].id, reason, detail)
    return rows


def _estimate(task: GenerateTask, numbers: Sequence[int], ledger: Ledger) -> Estimate:
    """The cost of shards; of many from a sample at even distances, so that it takes no longer for more of them."""
    sample = numbers[:: -(-len(numbers) // SHARDS_ESTIMATED) or 1]
    cost = estimate(_read_shards(task.work, sample), task.writer, ledger)
    return cost.of_sample(len(sample), len(numbers)) if len(sample) < len(numbers) else cost


def _read_shards(work: Path, numbers: Collection[int]) -> Iterator[list[Candidate]]:
    with open_bar("cost", "shard", len(numbers)) as bar:
        for number in numbers:
            yield [row for row in load_shard(work, number) if isinstance(row, Candidate)]
            bar.update()
