"""SSRF protection: only http(s) URLs on the public internet, checked as URL, after DNS resolution and at connect.

A name is resolved once and the connection uses the checked addresses, which defeats DNS rebinding.
"""

from __future__ import annotations

import ipaddress
import re
import socket
from collections.abc import Callable
from urllib.parse import quote, urljoin, urlsplit

from aiohttp import AddrInfoType
from aiohttp.abc import AbstractResolver, ResolveResult
from aiohttp.resolver import ThreadedResolver
from yarl import URL

from mmcr_dataset.record.images import ImageError

ADDRESS_MAX_CHARACTERS = 8192

_LINE_BREAKS = re.compile(r"[\t\r\n]")  # inside an address they are ignored, as browsers do
_NOT_IN_URLS = re.compile(r"%(?![0-9A-Fa-f]{2})|[^A-Za-z0-9\-._~:/?#\[\]@!$&'()*+,;=%]")
_NAT64 = ipaddress.ip_network("64:ff9b::/96")  # embeds IPv4 addresses in IPv6-only networks
# IPv6 forms of IPv4 addresses, and ranges that `is_global` accepts in some versions of Python: IPv4-compatible, local
# NAT64, Teredo, 6to4, site-local; 6to4 relay and IETF protocol assignments.
_NEVER = tuple(
    ipaddress.ip_network(text)
    for text in ("::/96", "64:ff9b:1::/48", "2001::/32", "2002::/16", "fec0::/10", "192.88.99.0/24", "192.0.0.0/24")
)


class AddressRefused(OSError):
    """A host name resolves to an address that is not public."""


def is_public(address: str, allow_loopback: bool = False) -> bool:
    """True if an IP address is public, or loopback where that is allowed."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            ip = ip.ipv4_mapped
        elif ip in _NAT64:
            ip = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        elif int(ip) >> 32 & 0xFFFF_FFFF in (0x5EFE, 0x0200_5EFE):  # ISATAP: IPv4 in the last 32 bits
            return False
    if ip.is_loopback:
        return allow_loopback
    return ip.is_global and not ip.is_multicast and not any(ip in network for network in _NEVER)


def check_url(url: str, allow_loopback: bool = False) -> URL:
    """Parse a URL and check that it may be fetched. Its path and query are asked for as written.

    Raises:
        ImageError: bad_address (empty, relative, not http or https, with a password), private_address.
    """
    if len(url) > ADDRESS_MAX_CHARACTERS:
        raise ImageError("bad_address", f"{url[:80]!r}... has {len(url)} characters")
    try:
        text = _LINE_BREAKS.sub("", url.strip())
        parts = urlsplit(text)
        port = parts.port
        if parts.scheme.lower() not in ("http", "https") or not parts.hostname:
            raise ImageError("bad_address", f"{url[:200]!r}: expected an absolute http or https address")
        if parts.username is not None or parts.password is not None or port == 0:
            raise ImageError("bad_address", f"{url[:200]!r}: has a user name, a password or port 0")
        checked = URL(text)
        host = (checked.raw_host or "").rstrip(".")
        if not host:
            raise ImageError("bad_address", f"{url[:200]!r}: has no host")
    except (ValueError, UnicodeError) as error:
        raise ImageError("bad_address", f"{url[:200]!r}: {error}") from error
    try:
        numeric = host if ":" in host else socket.inet_ntoa(socket.inet_aton(host))  # 127.1, 0x7f.1, 2130706433
        public = is_public(numeric, allow_loopback)
    except (OSError, ValueError):
        public = True  # a host name: checked after its resolution
    if not public:
        raise ImageError("private_address", f"{url[:200]!r} is not on the public internet")
    return _as_written(checked, text.partition("//")[2][len(parts.netloc) :], url)


def _as_written(checked: URL, rest: str, url: str) -> URL:
    """The URL with the path and query of its text: a server may have signed them, so only what is no URL is encoded."""
    rest = rest.partition("#")[0]
    try:
        raw = _NOT_IN_URLS.sub(lambda found: quote(found.group().encode("utf-8", "surrogateescape"), safe=""), rest)
    except UnicodeError as error:
        raise ImageError("bad_address", f"{url[:200]!r}: {error}") from error
    path = raw if raw.startswith("/") else f"/{raw}"
    return URL.build(scheme=checked.scheme, authority=checked.raw_authority, path=path, encoded=True)


def redirect_url(url: URL, location: str) -> str:
    """The absolute URL of a `Location` header."""
    joined = urljoin(str(url), location)
    bare = location.partition("#")[0].endswith("?") and not joined.partition("#")[0].endswith("?")
    return location if urlsplit(location).scheme else joined + ("?" if bare else "")


class GuardedResolver(AbstractResolver):
    """DNS resolver that rejects a name if any of its addresses is not public."""

    def __init__(self, allow_loopback: bool, resolver: AbstractResolver | None = None) -> None:
        self._resolver = resolver or ThreadedResolver()
        self._allow_loopback = allow_loopback

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """Resolve a name.

        Raises:
            AddressRefused: one of them is not public.
        """
        found = await self._resolver.resolve(host, port, family)
        if not all(is_public(entry["host"], self._allow_loopback) for entry in found):
            raise AddressRefused(f"{host} resolves to an address that is not public")
        return found

    async def close(self) -> None:
        """Close the underlying resolver."""
        await self._resolver.close()


def guarded_sockets(allow_loopback: bool) -> Callable[[AddrInfoType], socket.socket]:
    """A socket factory, the last check before connecting; it raises AddressRefused for a non-public address."""

    def make(info: AddrInfoType) -> socket.socket:
        family, kind, protocol, _, address = info
        if not is_public(str(address[0]), allow_loopback):
            raise AddressRefused(f"{address[0]} is not public")
        return socket.socket(family, kind, protocol)

    return make
