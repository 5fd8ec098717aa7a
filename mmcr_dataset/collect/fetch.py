"""Pictures from the web: async, a few at a time, guarded.

Refuses what is not http(s), and every address that is private, loopback or link-local: also after a redirect and also
when a name resolves to one, because the check is made on the address that the connection is opened to.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from urllib.parse import urljoin, urlsplit

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from mmcr_dataset.collect.document import PictureAt
from mmcr_dataset.images import PictureError, PictureLimits

_NO_AI = ("noai", "noimageai")  # X-Robots-Tag: the owner does not want models trained on it
_CHUNK = 1 << 16


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How politely and how patiently pictures are fetched.

    Attributes:
        max_in_flight: requests at once.
        max_in_flight_host: requests at once to one host.
        max_attempts: tries for one picture, the first included; only what can get better is tried again.
        timeout_s: time for one try.
        max_redirects: redirects followed for one picture.
        allow_loopback: True allows 127.0.0.0/8 and ::1, for tests and local copies.
        user_agent: how we present ourselves.
    """

    max_in_flight: int = 32
    max_in_flight_host: int = 8
    max_attempts: int = 3
    timeout_s: float = 20.0
    max_redirects: int = 5
    allow_loopback: bool = False
    user_agent: str = "mmcr-dataset/0.1 (research data set; honours X-Robots-Tag: noai)"

    def __post_init__(self) -> None:
        if min(self.max_in_flight, self.max_in_flight_host, self.max_attempts) < 1 or self.timeout_s <= 0:
            raise ValueError(f"{self}: counts must be at least 1 and timeout_s above 0")


class _AddressRefused(OSError):
    """The address a name resolves to is not one of the public internet."""


def is_public(address: str, allow_loopback: bool = False) -> bool:
    """True if a numeric address belongs to the public internet (or to this machine, where that is allowed)."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None)
    ip = mapped if mapped is not None else ip
    if ip.is_loopback:
        return allow_loopback
    return ip.is_global and not ip.is_multicast


class _GuardedResolver(AbstractResolver):
    """Resolves names and refuses answers that are not public; the connection uses the very addresses checked here."""

    def __init__(self, allow_loopback: bool) -> None:
        self._resolver = ThreadedResolver()
        self._allow_loopback = allow_loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(entry["host"], self._allow_loopback) for entry in found):
            raise _AddressRefused(f"{host} resolves to an address that is not public")
        return found

    async def close(self) -> None:
        await self._resolver.close()


async def fetch_pictures(
    places: Iterable[PictureAt],
    settings: FetchSettings = FetchSettings(),
    limits: PictureLimits = PictureLimits(),
    progress: Callable[[], None] = lambda: None,
) -> dict[PictureAt, bytes | PictureError]:
    """The bytes of each picture, or why there are none. Never raises for a single picture."""
    found: dict[PictureAt, bytes | PictureError] = {}
    slots = asyncio.Semaphore(settings.max_in_flight)
    host_slots: Mapping[str, asyncio.Semaphore] = defaultdict(lambda: asyncio.Semaphore(settings.max_in_flight_host))
    connector = aiohttp.TCPConnector(limit=settings.max_in_flight, resolver=_GuardedResolver(settings.allow_loopback))
    async with aiohttp.ClientSession(
        connector=connector,
        timeout=aiohttp.ClientTimeout(total=settings.timeout_s),
        headers={"User-Agent": settings.user_agent, "Accept": "image/*"},
        trust_env=False,
    ) as session:

        async def one(place: PictureAt) -> None:
            try:
                if place.path is not None:
                    found[place] = _read_file(place, limits)
                else:
                    url = check_url(place.url or "", settings.allow_loopback)
                    async with host_slots[url.host or ""], slots:
                        found[place] = await _fetch(session, url, settings, limits)
            except PictureError as error:
                found[place] = error
            progress()

        await asyncio.gather(*(one(place) for place in dict.fromkeys(places)))
    return found


def _read_file(place: PictureAt, limits: PictureLimits) -> bytes:
    assert place.path is not None
    try:
        if place.path.stat().st_size > limits.size_bytes_max:
            raise PictureError("too_many_bytes", f"{place.path}: {place.path.stat().st_size} bytes")
        return place.path.read_bytes()
    except OSError as error:
        raise PictureError("unreadable_file", f"{place.path}: {error.strerror or error}") from error


def check_url(url: str, allow_loopback: bool = False) -> URL:
    """The address as something that may be asked.

    Raises:
        PictureError: bad_address (empty, relative, not http or https, with a password), private_address.
    """
    try:
        parts = urlsplit(url.strip())
        port = parts.port
        host = parts.hostname
        if parts.scheme.lower() not in ("http", "https") or not host:
            raise PictureError("bad_address", f"{url[:200]!r}: expected an absolute http or https address")
        if parts.username is not None or parts.password is not None or port == 0:
            raise PictureError("bad_address", f"{url[:200]!r}: a name, password or port 0 in it")
        checked = URL(url.strip())
        host = checked.host or host
    except (ValueError, UnicodeError) as error:
        raise PictureError("bad_address", f"{url[:200]!r}: {error}") from error
    try:
        numeric = socket.inet_ntoa(socket.inet_aton(host)) if host[:1].isdigit() and ":" not in host else host
        if not is_public(numeric, allow_loopback):
            raise PictureError("private_address", f"{url[:200]!r} is not on the public internet")
    except (OSError, ValueError):
        pass  # a name, not a number: its addresses are checked when it is resolved
    return checked


async def _fetch(session: aiohttp.ClientSession, url: URL, settings: FetchSettings, limits: PictureLimits) -> bytes:
    for attempt in range(1, settings.max_attempts + 1):
        try:
            return await _fetch_once(session, url, settings, limits)
        except PictureError as error:
            if attempt == settings.max_attempts or error.reason not in (
                "timeout",
                "http_429",
                "http_5xx",
                "broken_transfer",
            ):
                raise
        await asyncio.sleep(0.2 * 2**attempt)
    raise AssertionError("unreachable: the loop returns or raises")


async def _fetch_once(
    session: aiohttp.ClientSession, url: URL, settings: FetchSettings, limits: PictureLimits
) -> bytes:
    try:
        for _ in range(settings.max_redirects + 1):
            async with session.get(url, allow_redirects=False) as response:
                if response.status in (301, 302, 303, 307, 308):
                    target = urljoin(str(url), response.headers.get("Location", ""))
                    url = check_url(target, settings.allow_loopback)
                    continue
                return await _read_body(response, url, limits)
        raise PictureError("too_many_redirects", f"{url}: more than {settings.max_redirects}")
    except TimeoutError as error:
        raise PictureError("timeout", f"{url}: nothing within {settings.timeout_s:g} s") from error
    except aiohttp.ClientConnectorError as error:
        if isinstance(error.os_error, _AddressRefused):
            raise PictureError("private_address", f"{url}: {error.os_error}") from error
        raise PictureError("unreachable", f"{url}: {error}") from error
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError) as error:
        raise PictureError("broken_transfer", f"{url}: {error}") from error
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise PictureError("unreachable", f"{url}: {error}") from error


async def _read_body(response: aiohttp.ClientResponse, url: URL, limits: PictureLimits) -> bytes:
    status = response.status
    if status != 200:
        raise PictureError("http_5xx" if status >= 500 else f"http_{status}", f"{url} answers {status}")
    robots = ",".join(response.headers.getall("X-Robots-Tag", [])).lower().replace(" ", "")
    if any(word in _NO_AI for entry in robots.split(",") for word in entry.split(":")):
        raise PictureError("robots_noai", f"{url} says X-Robots-Tag: {robots}")
    kind = response.content_type
    if kind.startswith("text/") and kind != "text/plain":
        raise PictureError("not_a_picture", f"{url} is {kind}")
    data = bytearray()
    async for chunk in response.content.iter_chunked(_CHUNK):
        data += chunk
        if len(data) > limits.size_bytes_max:
            raise PictureError("too_many_bytes", f"{url}: more than {limits.size_bytes_max} bytes")
    return bytes(data)
