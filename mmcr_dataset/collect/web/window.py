"""Documents to candidates through a window: many in flight at once, results in the order of the documents.

Memory is bounded whatever comes: so many documents in the window, so many bytes of images (`ByteBudget`), and what
leaves is for the consumer to write at once.
"""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import AsyncGenerator, Iterator
from concurrent.futures import Executor, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

from mmcr_dataset.collect.document import (
    Candidate,
    Document,
    ImageAt,
    make_writable,
    shorten,
    to_candidate,
    why_no_candidate,
)
from mmcr_dataset.collect.web.byte_budget import ByteBudget
from mmcr_dataset.collect.web.fetch import ImageFetcher
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.record.images import ImageError, ImageLimits
from mmcr_dataset.stage.stages import Removed

T = TypeVar("T")
Item = Document | Removed | Candidate
_DOCUMENTS_A_SLOT = 16  # documents in the window for each request in flight: what a slow one may hold up
_READ_AHEAD = 64
_DECODERS_MAX = 4  # an image of 50 megapixels takes 150 MB or more while it is checked


async def fetch_in_order(
    items: Iterator[tuple[T, Item]],
    settings: FetchSettings = FetchSettings(),
    limits: ImageLimits = ImageLimits(),
    budget: ByteBudget | None = None,
) -> AsyncGenerator[tuple[T, Candidate | Removed], None]:
    """Each item's tag and what became of it, in order; what is a candidate or removed already passes through."""
    budget = budget or ByteBudget(settings.max_held_bytes)
    size = _DOCUMENTS_A_SLOT * settings.max_in_flight
    window: deque[tuple[T, asyncio.Task[Candidate | Removed]]] = deque()
    ended = False
    started = left = 0
    loop = asyncio.get_running_loop()
    with (
        ThreadPoolExecutor(1, "read") as reader,
        ThreadPoolExecutor(min(_DECODERS_MAX, os.cpu_count() or 1), "decode") as decoders,
    ):
        async with ImageFetcher(settings, limits) as fetcher:
            try:
                while window or not ended:
                    while not ended and len(window) < size and not (window and window[0][1].done()):
                        read = await loop.run_in_executor(reader, _read_some, items)
                        ended = not read
                        for tag, item in read:
                            work = _to_result(started, item, fetcher, budget, decoders, limits)
                            window.append((tag, asyncio.create_task(work)))
                            started += 1
                    if window:
                        tag, task = window.popleft()
                        yield tag, await task
                        await budget.leave(left)
                        left += 1
            finally:
                for _, task in window:
                    task.cancel()
                await asyncio.gather(*(task for _, task in window), return_exceptions=True)


def _read_some(items: Iterator[tuple[T, Item]]) -> list[tuple[T, Item]]:
    some = islice(items, _READ_AHEAD)
    return [(tag, item if isinstance(item, Candidate) else shorten(make_writable(item))) for tag, item in some]


async def _to_result(
    number: int,
    item: Item,
    fetcher: ImageFetcher,
    budget: ByteBudget,
    decoders: Executor,
    limits: ImageLimits,
) -> Candidate | Removed:
    """One document's candidate. The one place where a failure that nobody foresaw becomes a reason."""
    if not isinstance(item, Document):
        return item
    document = item
    unfit = why_no_candidate(document)
    if unfit is not None:
        return unfit

    room = budget.room(number)
    try:
        fetches = (fetcher.fetch(place, room) for place in document.images)
        found = await asyncio.gather(*fetches, return_exceptions=True)  # none is left running when one fails
        data: dict[ImageAt, bytes | ImageError] = {}
        for place, result in zip(document.images, found, strict=True):
            if isinstance(result, BaseException) and not isinstance(result, ImageError):
                raise result
            data[place] = result
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(decoders, to_candidate, document, data, limits)
    except Exception as error:  # noqa: BLE001  (one hostile document must not end a run of millions)
        return Removed(document.id, "unforeseen_error", f"{type(error).__name__}: {error}"[:500], retry=True)
