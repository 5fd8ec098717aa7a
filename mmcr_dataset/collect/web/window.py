"""Documents to candidates through a sliding window: many documents in flight, results in input order.

Memory is bounded by the number of documents in the window and by the bytes of images (`ByteBudget`).
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
    reason_no_candidate,
    sanitize,
    to_candidate,
    truncate,
)
from mmcr_dataset.collect.web.byte_budget import ByteBudget
from mmcr_dataset.collect.web.fetch import ImageFetcher
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.record.images import ImageError, ImageLimits
from mmcr_dataset.stage.stages import Removed

T = TypeVar("T")
Item = Document | Removed | Candidate
_DOCUMENTS_A_SLOT = 16  # documents in the window for each request in flight, so that a slow one doesn't stall them
_READ_AHEAD = 64
_HELD_AT_ONCE = 16_000_000  # bytes of images that come with the documents of one read
_DECODERS_MAX = 4  # decoding an image of 50 megapixels takes 150 MB or more


async def fetch_in_order(
    items: Iterator[tuple[T, Item]],
    settings: FetchSettings = FetchSettings(),
    limits: ImageLimits = ImageLimits(),
    budget: ByteBudget | None = None,
) -> AsyncGenerator[tuple[T, Candidate | Removed], None]:
    """Yield each item's tag and result, in order; candidates and removed rows pass through.

    Args:
        items: (tag, item), read ahead in a thread.
        settings: settings of the fetcher.
        limits: limits on an image.
        budget: limit on the bytes in memory; None for `settings.max_held_bytes`.
    """
    budget = budget or ByteBudget(settings.max_held_bytes)
    size = _DOCUMENTS_A_SLOT * settings.max_in_flight
    window: deque[tuple[T, int, asyncio.Task[Candidate | Removed]]] = deque()
    held = 0  # bytes of images that came with the documents in the window
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
                    while not ended and len(window) < size and not (window and window[0][2].done()):
                        if window and held > settings.max_held_bytes:
                            break
                        read = await loop.run_in_executor(reader, _read_some, items)
                        ended = not read
                        for tag, item in read:
                            work = _to_result(started, item, fetcher, budget, decoders, limits)
                            held += held_bytes(item)
                            window.append((tag, held_bytes(item), asyncio.create_task(work)))
                            started += 1
                    if window:
                        tag, size_bytes, task = window.popleft()
                        yield tag, await task
                        held -= size_bytes
                        await budget.release(left)
                        left += 1
            finally:
                for *_, task in window:
                    task.cancel()
                await asyncio.gather(*(task for *_, task in window), return_exceptions=True)


def _read_some(items: Iterator[tuple[T, Item]]) -> list[tuple[T, Item]]:
    """The next documents; fewer of those that hold their images themselves."""
    read: list[tuple[T, Item]] = []
    size_bytes = 0
    for tag, item in islice(items, _READ_AHEAD):
        read.append((tag, item if isinstance(item, Candidate) else truncate(sanitize(item))))
        size_bytes += held_bytes(item)
        if size_bytes > _HELD_AT_ONCE:
            break
    return read


def held_bytes(item: Item) -> int:
    """Bytes of images that an item itself holds."""
    if isinstance(item, Document):
        return sum(len(image.data) for image in item.images if image.data is not None)
    return sum(len(image.data) for image in item.images) if isinstance(item, Candidate) else 0


async def _to_result(
    number: int,
    item: Item,
    fetcher: ImageFetcher,
    budget: ByteBudget,
    decoders: Executor,
    limits: ImageLimits,
) -> Candidate | Removed:
    """Fetch one document's images and convert it. An unexpected error removes the document, not the run."""
    if not isinstance(item, Document):
        return item
    document = item
    removed = reason_no_candidate(document)
    if removed is not None:
        return removed
    reservation = budget.reserve(number)
    try:
        fetches = (fetcher.fetch(place, reservation) for place in document.images)
        found = await asyncio.gather(*fetches, return_exceptions=True)  # leaves no task running when one fails
        data: dict[ImageAt, bytes | ImageError] = {}
        for place, result in zip(document.images, found, strict=True):
            if isinstance(result, BaseException) and not isinstance(result, ImageError):
                raise result
            data[place] = result
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(decoders, to_candidate, document, data, limits)
    except Exception as error:  # noqa: BLE001  (one malformed document must not stop a run of millions)
        return Removed(document.id, "unforeseen_error", f"{type(error).__name__}: {error}"[:500], retry=True)
