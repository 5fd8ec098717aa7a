"""All shards through a writer with the queue always full: a new shard begins while the last requests of others are out.

At most twice as many candidates as requests in flight are in memory, whatever the number of shards; a shard is finished
when the last of its candidates is, whichever that is.
"""

from __future__ import annotations

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

from tqdm import tqdm

from mmcr_dataset.collect.document import Candidate
from mmcr_dataset.endpoint.ask_all import ask_all
from mmcr_dataset.endpoint.client import ChatClient
from mmcr_dataset.endpoint.ledger import Ledger
from mmcr_dataset.generate.batches import BatchRun
from mmcr_dataset.generate.dialogues import OfflineWriter, OpenAIWriter, Progress, Writer, write_one
from mmcr_dataset.generate.writer_settings import WriterSettings
from mmcr_dataset.record.dialogue import to_json
from mmcr_dataset.stage.stages import Removed

Row = dict[str, Any] | Removed  # a dialogue as JSON (its images by hash), or why there is none


@dataclass(frozen=True, slots=True)
class Shards:
    """Which shards to write, how to get one's candidates, and what to do with its rows (in the candidates' order)."""

    numbers: Sequence[int]
    load: Callable[[int], Sequence[Candidate]]
    finish: Callable[[int, list[Row]], None]


def write_shards(shards: Shards, settings: WriterSettings, ledger: Ledger | None, progress: Progress) -> None:
    """Write all shards.

    Raises:
        EndpointUnusable: no request can succeed, or the next could cross the limit of cost; what was in flight is
            waited for and kept, finished shards stay.
    """
    asyncio.run(_write_shards(shards, settings, ledger, progress))


async def _write_shards(shards: Shards, settings: WriterSettings, ledger: Ledger | None, progress: Progress) -> None:
    if settings.endpoint is None:
        await _fill(shards, OfflineWriter(), 1, progress)
        return
    assert ledger is not None, "a paid writer has a ledger"
    if settings.writer == "openai-batch":
        run = BatchRun(settings, ledger, ledger.path.with_name("batches"), _say)
        answers = await run.answer(lambda: map(shards.load, shards.numbers))
        await _fill(shards, OpenAIWriter(answers, settings), 2 * settings.endpoint.max_in_flight, progress)
        return
    async with ChatClient(settings.endpoint, ledger) as client:
        await _fill(shards, OpenAIWriter(client, settings), 2 * settings.endpoint.max_in_flight, progress)


def _say(line: str) -> None:
    tqdm.write(f"{time.strftime('%H:%M:%S')}     batch: {line}", file=sys.stderr)


class _OpenShard:
    """Rows of a shard that is being written."""

    def __init__(self, number: int, size: int) -> None:
        self.number = number
        self.rows: list[Row | None] = [None] * size
        self.num_left = size


async def _fill(shards: Shards, writer: Writer, max_concurrency: int, progress: Progress) -> None:
    async def write(shard: _OpenShard, place: int, candidate: Candidate) -> None:
        written = await write_one(candidate, writer, progress)
        shard.rows[place] = written if isinstance(written, Removed) else to_json(written)
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
