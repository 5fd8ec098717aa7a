"""Many asks at once with bounded concurrency; when one of them ends the run, what is in flight is paid for and kept."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")
Asks = Iterable[Coroutine[Any, Any, T]] | AsyncIterable[Coroutine[Any, Any, T]]


class RunEnded(RuntimeError):
    """Nothing is wrong here: asks that run beside these ended the run."""


async def ask_all(asks: Asks[T], max_concurrency: int, ended: asyncio.Event | None = None) -> list[T]:
    """The results of all asks, in their order.

    After the first ask that raises, or if taking the next one raises, no further ask is started; those in flight are
    waited for, because they are paid, and put their answers into the ledger. Then the error is raised. A cancelled run
    (Ctrl-C) waits for nothing.

    Args:
        asks: coroutines; at most one is taken before there is room for it.
        max_concurrency: asks at once.
        ended: shared by several calls that run beside each other: when one of them fails, all end this way.

    Raises:
        RunEnded: `ended` was set by another call; that one raises the error.
    """
    ended = ended or asyncio.Event()
    results: dict[int, T] = {}
    failures: list[BaseException] = []
    running: set[asyncio.Task[T]] = set()
    room = asyncio.Semaphore(max_concurrency)

    def start(place: int, ask: Coroutine[Any, Any, T]) -> None:
        def finish(task: asyncio.Task[T]) -> None:
            running.discard(task)
            room.release()
            if task.cancelled():
                return
            if (error := task.exception()) is None:
                results[place] = task.result()
            else:
                failures.append(error)
                ended.set()

        task = asyncio.create_task(ask)
        running.add(task)
        task.add_done_callback(finish)

    try:
        async with aclosing(_numbered(asks)) as numbered:
            async for place, ask in numbered:
                await room.acquire()
                if ended.is_set():
                    ask.close()
                    break
                start(place, ask)
    except asyncio.CancelledError:
        for task in running:
            task.cancel()
        raise
    finally:
        if running:
            await asyncio.wait(running)
    if failures:
        raise next((failure for failure in failures if not isinstance(failure, RunEnded)), failures[0])
    if ended.is_set():
        raise RunEnded("asks beside these ended the run")
    return [results[place] for place in range(len(results))]


async def _numbered(asks: Asks[T]) -> AsyncGenerator[tuple[int, Coroutine[Any, Any, T]], None]:
    place = 0
    if isinstance(asks, AsyncIterable):
        async for ask in asks:
            yield place, ask
            place += 1
    else:
        for place, ask in enumerate(asks):
            yield place, ask
