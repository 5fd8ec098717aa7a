"""Images from the web: async, polite to each host, with timeouts and retries; images of local sources beside them."""

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
from mmcr_dataset.collect.web.byte_budget import Room
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.collect.web.transfer import Partial, TryLater, transfer
from mmcr_dataset.record.images import TRANSIENT, ImageError, ImageLimits

_AGAIN_NOW = TRANSIENT - {"unreachable", "host_given_up"}  # a dead host is asked again by the next build only
_HOST_FAILURES_MAX = 10  # timeouts and refused connections in a row after which a host is left alone
_HOSTS_REMEMBERED = 10_000
_KEEP_ALIVE_S = 2.0  # most hosts are asked once: idle connections must not eat up the file descriptors


class _Host:
    """What is known of one host: its slots, when it wants to be asked again, how often it failed in a row."""

    def __init__(self, max_in_flight: int) -> None:
        self.slots = asyncio.Semaphore(max_in_flight)
        self.users = 0
        self.open_at = 0.0
        self.failures = 0


@dataclass
class _Work:
    """One image on its way: its document's room, what came so far, and when the patience ends."""

    room: Room
    partial: Partial = field(default_factory=Partial)
    until: float | None = None


class ImageFetcher:
    """Fetches images while its `async with` lasts."""

    def __init__(self, settings: FetchSettings = FetchSettings(), limits: ImageLimits = ImageLimits()) -> None:
        self._settings, self._limits = settings, limits
        self._hosts: OrderedDict[str, _Host] = OrderedDict()

    async def __aenter__(self) -> Self:
        settings = self._settings
        # each name is looked up in a thread of its own: names that don't answer must not stop the others
        asyncio.get_running_loop().set_default_executor(ThreadPoolExecutor(settings.max_in_flight))
        self._slots = asyncio.Semaphore(settings.max_in_flight)
        connector = aiohttp.TCPConnector(
            limit=0,  # our slots are the limit
            keepalive_timeout=_KEEP_ALIVE_S,
            resolver=GuardedResolver(settings.allow_loopback),
            socket_factory=guarded_sockets(settings.allow_loopback),
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            timeout=aiohttp.ClientTimeout(total=None),  # ours counts waits for memory out
            headers={"User-Agent": settings.user_agent, "Accept": "image/*", "Accept-Encoding": "identity"},
            cookie_jar=aiohttp.DummyCookieJar(),
            trust_env=False,
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        await self._session.close()

    async def fetch(self, place: ImageAt, room: Room) -> bytes | ImageError:
        """The bytes of an image, or why there are none; its document's `room` is asked before bytes are held."""
        try:
            if place.path is not None:
                size_bytes = await asyncio.to_thread(_file_size, place, self._limits)
                await room.take(size_bytes)
                return await asyncio.to_thread(_read_file, place, size_bytes)
            url = check_url(place.url or "", self._settings.allow_loopback)
            return await self._fetch(url, room)
        except ImageError as error:
            return error

    async def _fetch(self, url: URL, room: Room) -> bytes:
        """Try until it is there, can't get better, or the time is up."""
        settings, loop = self._settings, asyncio.get_running_loop()
        work = _Work(room)
        for attempt in range(1, settings.max_attempts + 1):
            try:
                return await self._follow(url, work)
            except ImageError as error:
                wait_s = random.uniform(0.5, 1.0) * settings.backoff_s * 2**attempt  # noqa: S311  (spreads load)
                if isinstance(error, TryLater):
                    wait_s = max(wait_s, error.after_s)
                too_late = work.until is not None and loop.time() + wait_s > work.until
                if attempt == settings.max_attempts or error.reason not in _AGAIN_NOW or too_late:
                    raise
            await asyncio.sleep(wait_s)
        raise AssertionError("unreachable: the loop returns or raises")

    async def _follow(self, url: URL, work: _Work) -> bytes:
        """One try, each redirect in the turn of the host that it leads to."""
        for _ in range(self._settings.max_redirects + 1):
            async with self._turn(url, work.room):
                answer = await self._try(url, work)
            if isinstance(answer, bytes):
                return answer
            url = answer
        raise ImageError("too_many_redirects", f"{url}: more than {self._settings.max_redirects}")

    @asynccontextmanager
    async def _turn(self, url: URL, room: Room) -> AsyncIterator[None]:
        """Wait for a slot of the host, for the time it asked for, then for one of all; raises for a host given up."""
        name = url.host or ""
        host = self._hosts.setdefault(name, _Host(self._settings.max_in_flight_host))
        self._hosts.move_to_end(name)
        host.users += 1
        try:
            async with _slot(host.slots, room):
                wait_s = host.open_at - asyncio.get_running_loop().time()
                if wait_s > 0:
                    await asyncio.sleep(wait_s)
                if host.failures >= _HOST_FAILURES_MAX:
                    raise ImageError("host_given_up", f"{url}: {name} failed {host.failures} times in a row")
                async with _slot(self._slots, room):
                    yield
                    host.failures = 0
        except ImageError as error:
            if error.reason != "host_given_up":
                host.failures = host.failures + 1 if error.reason in ("timeout", "unreachable") else 0
            if isinstance(error, TryLater):
                pause_s = min(error.after_s, self._settings.total_timeout_s)
                host.open_at = asyncio.get_running_loop().time() + pause_s
            raise
        finally:
            host.users -= 1
            self._forget_hosts()

    def _forget_hosts(self) -> None:
        """Keep the hosts asked last: a run sees millions."""
        while len(self._hosts) > _HOSTS_REMEMBERED:
            oldest, state = next(iter(self._hosts.items()))
            if state.users:
                break
            del self._hosts[oldest]

    async def _try(self, url: URL, work: _Work) -> bytes | URL:
        """One request within its time; a wait for memory is not the server's fault and stops the clock."""
        settings, loop = self._settings, asyncio.get_running_loop()
        work.until = work.until or loop.time() + settings.total_timeout_s
        seconds = min(settings.timeout_s, max(0.01, work.until - loop.time()))
        try:
            async with asyncio.timeout(seconds) as clock:

                async def wait_for_room(size_bytes: int) -> None:
                    until, start = clock.when(), loop.time()
                    clock.reschedule(None)
                    await work.room.take(size_bytes)
                    waited_s = loop.time() - start
                    clock.reschedule((until or start) + waited_s)
                    work.until = (work.until or start) + waited_s

                return await transfer(
                    self._session, url, work.partial, self._limits, wait_for_room, settings.allow_loopback
                )
        except TimeoutError as error:
            raise ImageError("timeout", f"{url}: not all of it within {seconds:.3g} s") from error


@asynccontextmanager
async def _slot(slots: asyncio.Semaphore, room: Room) -> AsyncIterator[None]:
    taken = await room.wait_for_slot(slots)
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
