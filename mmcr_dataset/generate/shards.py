"""Write all shards concurrently, so that throughput doesn't drop at the end of a shard.

At most twice max_in_flight candidates are being written, whatever the number of shards; a shard is finished when all
its candidates are, in any order.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
from typing import Any

from tqdm import tqdm

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.ask_all import ask_all
from mmcr_dataset.endpoint.client import ChatClient
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.batches import BatchRun
from mmcr_dataset.generate.dialogues import (
    OfflineWriter,
    OpenAIWriter,
    Progress,
    SharedWriter,
    open_writer,
    write_counted,
)
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.generate.writing import Writer
from mmcr_dataset.record.dialogue import Dialogue, to_json
from mmcr_dataset.stage.stages import Removed

Row = dict[str, Any] | Removed  # a dialogue in the form of `to_json`, or why there is none


@dataclass(frozen=True, slots=True)
class Shards:
    """Shards to write: their numbers, how to load their candidates, and how to store their rows (in order)."""

    numbers: Iterable[int]
    load: Callable[[int], Sequence[Candidate | Removed]]
    finish: Callable[[int, list[Row]], None]


def write_shards(shards: Shards, settings: WriterSettings, ledger: Ledger | None, progress: Progress) -> None:
    """Write all shards.

    Args:
        shards: the shards.
        settings: settings of the writer.
        ledger: the open ledger; None for a writer without an endpoint.
        progress: called after each candidate.

    Raises:
        EndpointUnusable: no request can succeed, or the next one could exceed the cost limit; requests in flight are
            completed and stored, finished shards are kept.
    """
    asyncio.run(_write_shards(shards, settings, ledger, progress))


async def _write_shards(shards: Shards, settings: WriterSettings, ledger: Ledger | None, progress: Progress) -> None:
    if settings.endpoint is None:
        await _fill(shards, OfflineWriter(settings.recipe), 1, progress)
        return
    assert ledger is not None, "an endpoint needs a ledger"
    if settings.writer == "openai-batch":

        def to_ask(number: int) -> list[Candidate]:
            return [row for row in shards.load(number) if isinstance(row, Candidate)]

        shards = replace(shards, numbers=list(shards.numbers))  # read several times
        run = BatchRun(settings, ledger, ledger.path.with_name("batches"), _log)
        answers = await run.answer(lambda: map(to_ask, shards.numbers))
        await _fill(
            shards,
            OpenAIWriter(answers, settings),
            2 * settings.endpoint.max_in_flight,
            progress,
        )
        return
    async with AsyncExitStack() as at_end:
        clients = [await at_end.enter_async_context(ChatClient(one, ledger)) for one, _ in settings.shares()]
        for client in clients[1:]:
            clients[0].budget.join(client.budget)
        writers = {client.endpoint: open_writer(client, settings) for client in clients}
        writer = SharedWriter(writers, settings) if len(writers) > 1 else writers[clients[0].endpoint]
        await _fill(shards, writer, 2 * settings.endpoint.max_in_flight, progress)


def _log(line: str) -> None:
    tqdm.write(f"{time.strftime('%H:%M:%S')}     batch: {line}", file=sys.stderr)


def _to_row(written: Dialogue | Removed, mended: tuple[str, ...]) -> Row:
    if isinstance(written, Removed):
        return written
    return to_json(written) | ({"mended": list(mended)} if mended else {})


class _OpenShard:
    """Rows of a shard that is being written."""

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.rows: list[Row | None] = [None] * size
        self.num_left = size


async def _fill(shards: Shards, writer: Writer, max_concurrency: int, progress: Progress) -> None:
    async def write(shard: _OpenShard, place: int, candidate: Candidate | Removed) -> None:
        if isinstance(candidate, Removed):
            shard.rows[place] = candidate
            progress(writer.spend())
        else:
            written, mended = await write_counted(candidate, writer, progress, writer.max_attempts)
            shard.rows[place] = _to_row(written, mended)
        shard.num_left -= 1
        if shard.num_left == 0:
            await asyncio.to_thread(shards.finish, shard.number, [row for row in shard.rows if row is not None])

    async def writes() -> AsyncIterator[Coroutine[Any, Any, None]]:
        for number in shards.numbers:
            candidates = await asyncio.to_thread(shards.load, number)
            if not candidates:
                shards.finish(number, [])
            shard = _OpenShard(number, len(candidates))
            for place, candidate in enumerate(candidates):
                yield write(shard, place, candidate)

    await ask_all(writes(), max_concurrency)
