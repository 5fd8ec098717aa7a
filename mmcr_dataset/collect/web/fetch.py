"""Asynchronous image fetcher: per-host limits, timeouts, retries with backoff; also reads images of local sources."""

from __future__ import annotations

import asyncio
import random
from collections import OrderedDict
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Self

import aiohttp
from yarl import URL

from mmcr_dataset.collect.document import ImageAt
from mmcr_dataset.collect.web.addresses import GuardedResolver, check_url, guarded_sockets
from mmcr_dataset.collect.web.byte_budget import Reservation
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.collect.web.opt_outs import FILE_BYTES_MAX, OptOuts
from mmcr_dataset.collect.web.transfer import PartialDownload, RetryLater, fetch_text, transfer
from mmcr_dataset.record.images import TRANSIENT, ImageError, ImageLimits

_RETRIED = TRANSIENT - {
    "unreachable",
    "host_given_up",
    "robots_unknown",
}  # within this run; the next build retries all of TRANSIENT
_HOST_FAILURES_MAX = 10  # consecutive timeouts and refused connections after which a host is skipped
_HOSTS_REMEMBERED = 10_000
_KEEP_ALIVE_S = 2.0  # most hosts get one request: idle connections would exhaust the file descriptors


class _Host:
    """State of one host: concurrency slots, time of the next request, consecutive failures."""

    def __init__(self, max_in_flight: int) -> None:
        self.slots = asyncio.Semaphore(max_in_flight)
        self.users = 0
        self.next_at = 0.0
        self.failures = 0


@dataclass
class _Work:
    """One image being fetched: its document's reservation, the partial download, and the deadline."""

    reservation: Reservation
    partial: PartialDownload = field(default_factory=PartialDownload)
    deadline: float | None = None


class ImageFetcher:
    """Fetches images; use as `async with ImageFetcher(...) as fetcher`."""

    def __init__(self, settings: FetchSettings = FetchSettings(), limits: ImageLimits = ImageLimits()) -> None:
        self._settings, self._limits = settings, limits
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    async def __aenter__(self) -> Self:
        settings = self._settings
        # one thread for each DNS lookup, so that slow ones don't block the others
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(settings.max_in_flight))
        self._slots = asyncio.Semaphore(settings.max_in_flight)
        connector = aiohttp.TCPConnector(
            limit=0,  # limited by our slots
            keepalive_timeout=_KEEP_ALIVE_S,
            resolver=GuardedResolver(settings.allow_loopback),
            socket_factory=guarded_sockets(settings.allow_loopback),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),  # our own timeouts exclude waits for memory
            headers={"User-Agent": settings.user_agent, "Accept": "image/*", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        self._opt_outs = OptOuts(self._fetch_text)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._opt_outs.close()
        await self._session.close()

    async def _fetch_text(self, url: URL) -> tuple[int, str]:
        """A file with opt-outs of a host; TimeoutError counts as no answer."""
        loopback = self._settings.allow_loopback
        try:
            async with asyncio.timeout(self._settings.timeout_s):
                return await fetch_text(self._session, url, FILE_BYTES_MAX, loopback)
        except TimeoutError:
            return 0, ""

    async def fetch(self, place: ImageAt, reservation: Reservation) -> bytes | ImageError:
        """The bytes of an image, or the error; bytes are reserved in its document's `reservation` first."""
        try:
            if place.data is not None:
                await reservation.take(len(place.data))
                return place.data
            if place.path is not None:
                size_bytes = await asyncio.to_thread(_file_size, place, self._limits)
                await reservation.take(size_bytes)
                return await asyncio.to_thread(_read_file, place, size_bytes)
            url = check_url(place.url or "", self._settings.allow_loopback)
            return await self._fetch(url, reservation)
        except ImageError as error:
            return error

    async def _fetch(self, url: URL, reservation: Reservation) -> bytes:
        """Retry with backoff until success, a permanent error, the last attempt or the deadline."""
        settings, loop = self._settings, asyncio.get_running_loop()
        work = _Work(reservation)
        for attempt in range(1, settings.max_attempts + 1):
            try:
                return await self._follow(url, work)
            except ImageError as error:
                wait_s = random.uniform(0.5, 1.0) * settings.backoff_s * 2**attempt  # noqa: S311  (spreads load)
                if isinstance(error, RetryLater):
                    wait_s = max(wait_s, error.after_s)
                too_late = work.deadline is not None and loop.time() + wait_s > work.deadline
                if attempt == settings.max_attempts or error.reason not in _RETRIED or too_late:
                    raise
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable: the loop returns or raises")

    async def _follow(self, url: URL, work: _Work) -> bytes:
        """One attempt; each redirect waits for a slot of its own host."""
        for _ in range(self._settings.max_redirects + 1):
            async with self._host_slot(url, work.reservation):
                if self._settings.opt_outs == "all":
                    await self._opt_outs.check(url)
                answer = await self._try(url, work)
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise ImageError("too_many_redirects", f"{url}: more than {self._settings.max_redirects}")

    @asynccontextmanager
    async def _host_slot(self, url: URL, reservation: Reservation) -> AsyncIterator[None]:
        """Wait for a slot of the host, its Retry-After, and a global slot; raises if the host is skipped."""
        name = url.host or ""
        host = self._hosts.setdefault(name, _Host(self._settings.max_in_flight_host))
        self._hosts.move_to_end(name)
        host.users += 1
        try:
            async with _slot(host.slots, reservation):
                wait_s = host.next_at - asyncio.get_running_loop().time()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                if host.failures >= _HOST_FAILURES_MAX:
                    raise ImageError("host_given_up", f"{url}: {name} failed {host.failures} consecutive times")
                async with _slot(self._slots, reservation):
                    yield
                    host.failures = 0
        except ImageError as error:
            if error.reason != "host_given_up":
                host.failures = host.failures + 1 if error.reason in ("timeout", "unreachable") else 0
            if isinstance(error, RetryLater):
                pause_s = min(error.after_s, self._settings.total_timeout_s)
                host.next_at = asyncio.get_running_loop().time() + pause_s
            raise
        finally:
            host.users -= 1
            self._evict_hosts()

    def _evict_hosts(self) -> None:
        """Evict the least recently used hosts: a run sees millions."""
        while len(self._hosts) > _HOSTS_REMEMBERED:
            oldest, state = next(iter(self._hosts.items()))
            if state.users:
                break
            del self._hosts[oldest]

    async def _try(self, url: URL, work: _Work) -> bytes | URL:
        """One request with its timeout, which is suspended while waiting for memory."""
        settings, loop = self._settings, asyncio.get_running_loop()
        work.deadline = work.deadline or loop.time() + settings.total_timeout_s
        seconds = min(settings.timeout_s, max(0.01, work.deadline - loop.time()))
        try:
            async with asyncio.timeout(seconds) as clock:

                async def reserve_bytes(size_bytes: int) -> None:
                    until, start = clock.when(), loop.time()
                    clock.reschedule(None)
                    await work.reservation.take(size_bytes)
                    waited_s = loop.time() - start
                    clock.reschedule((until or start) + waited_s)
                    work.deadline = (work.deadline or start) + waited_s

                return await transfer(
                    self._session, url, work.partial, self._limits, reserve_bytes, settings.allow_loopback
                )
        except TimeoutError as error:
            raise ImageError("timeout", f"{url}: not complete within {seconds:.3g} s") from error


@asynccontextmanager
async def _slot(slots: asyncio.Semaphore, reservation: Reservation) -> AsyncIterator[None]:
    taken = await reservation.wait_for_slot(slots)
    try:
        yield
    finally:
        if taken:
            slots.release()


def _file_size(place: ImageAt, limits: ImageLimits) -> int:
    assert place.path is not None
    try:
        size_bytes = place.path.stat().st_size if place.size_bytes is None else place.size_bytes
    except OSError as error:
        raise ImageError("unreadable_file", f"{place.path}: {error.strerror or error}") from error
    if size_bytes > limits.size_bytes_max:
        raise ImageError("too_many_bytes", f"{place.path}: {size_bytes} bytes, limit {limits.size_bytes_max}")
    return size_bytes


def _read_file(place: ImageAt, size_bytes: int) -> bytes:
    assert place.path is not None
    try:
        with place.path.open("rb") as file:
            file.seek(place.offset)
            return file.read(size_bytes)
    except OSError as error:
        raise ImageError("unreadable_file", f"{place.path}: {error.strerror or error}") from error
