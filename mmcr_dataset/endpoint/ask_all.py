"""Run coroutines with bounded concurrency; after a fatal error requests in flight complete, because they are paid."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import AsyncGenerator, AsyncIterable, Coroutine, Iterable
from contextlib import aclosing
from typing import Any, TypeVar

T = TypeVar("T")
Asks = Iterable[Coroutine[Any, Any, T]] | AsyncIterable[Coroutine[Any, Any, T]]


class RunAborted(RuntimeError):
    """A concurrent call of `ask_all` failed and stopped this one; that call raises the cause."""


async def ask_all(asks: Asks[T], max_concurrency: int, ended: asyncio.Event | None = None) -> list[T]:
    """The results of all coroutines, in their order.

    When a coroutine or the iterator raises, no further coroutine is started. Those in flight are awaited, so that
    their paid answers reach the ledger; then the error is raised. A cancelled run (Ctrl-C) awaits nothing.

    Args:
        asks: coroutines; at most one is taken ahead of a free slot.
        max_concurrency: coroutines in flight at once.
        ended: event shared by concurrent calls; when one of them fails, all stop this way.

    Raises:
        RunAborted: another call set `ended`; that call raises the error.
    """
    ended = ended or asyncio.Event()
    results: dict[int, T] = {}
    failures: list[BaseException] = []
    running: set[asyncio.Task[T]] = set()
    slots = asyncio.Semaphore(max_concurrency)

    def start(place: int, ask: Coroutine[Any, Any, T]) -> None:
        def finish(task: asyncio.Task[T]) -> None:
            running.discard(task)
            slots.release()
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
                await slots.acquire()
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
        raise next((failure for failure in failures if not isinstance(failure, RunAborted)), failures[0])
    if ended.is_set():
        raise RunAborted("a concurrent call failed")
    return [results[place] for place in range(len(results))]


async def _numbered(asks: Asks[T]) -> AsyncGenerator[tuple[int, Coroutine[Any, Any, T]], None]:
    places = itertools.count()
    if isinstance(asks, AsyncIterable):
        async for ask in asks:
            yield next(places), ask
    else:
        for ask in asks:
            yield next(places), ask
