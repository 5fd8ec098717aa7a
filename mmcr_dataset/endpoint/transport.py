"""HTTP to an OpenAI-compatible server: one try of one call. What an answer means is the business of chat_api.py.

aiohttp instead of the vendor's client: that one takes 2-3 ms of CPU a request, which at 64 requests in flight is a
quarter of the time. What goes over the wire is the same (a test compares the two).
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp


class RequestFailed(RuntimeError):
    """This one request has no answer; `.reason` is a short name for counting."""

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail


class Answered(NamedTuple):
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def _find_proxy(url: str) -> str | None:
    """The proxy that the environment names for an address (HTTPS_PROXY, NO_PROXY, ...)."""
    parts = urlsplit(url)
    if parts.hostname is None or proxy_bypass(parts.hostname):
        return None
    return getproxies().get(parts.scheme)


class Wire:
    """Connections to one server; make it inside a running event loop and close it there."""

    def __init__(self, base_url: str, api_key: str | None, timeout_s: float) -> None:
        self._base_url = base_url.rstrip("/")
        self._timeout_s = timeout_s
        key = api_key or os.environ.get("OPENAI_API_KEY") or "none"
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0),  # the pace decides how many
            timeout=aiohttp.ClientTimeout(total=timeout_s, sock_connect=min(30.0, timeout_s)),
            headers={"Authorization": f"Bearer {key}", "Accept": "application/json"},
        )
        self._proxy = _find_proxy(base_url)  # once: aiohttp's own look at the environment costs 1 ms a request

    async def close(self) -> None:
        """Close all connections."""
        await self._session.close()

    async def call(self, method: str, path: str, **content: Any) -> Answered:  # noqa: ANN401  (aiohttp's arguments)
        """One call; `path` begins with a slash and is taken below the base address.

        Raises:
            RequestFailed: timeout, connection.
        """
        try:
            async with self._session.request(method, self._base_url + path, proxy=self._proxy, **content) as response:
                return Answered(response.status, response.headers, await response.read())
        except TimeoutError as error:
            raise RequestFailed("timeout", f"no answer in {self._timeout_s:g} s") from error
        except aiohttp.ClientError as error:
            raise RequestFailed("connection", f"{type(error).__name__}: {error}") from error

    async def post_json(self, path: str, body: bytes) -> Answered:
        """One call with a JSON body; raises as `call` does."""
        return await self.call("POST", path, data=body, headers={"Content-Type": "application/json"})

    async def download(self, path: str, to: Path) -> Answered:
        """One GET whose body, if the status is 200, goes to a file instead of memory; raises as `call` does."""
        try:
            async with self._session.get(
                self._base_url + path, proxy=self._proxy, timeout=aiohttp.ClientTimeout(total=None)
            ) as response:
                if response.status != 200:
                    return Answered(response.status, response.headers, await response.read())
                with to.open("wb") as file:
                    async for chunk in response.content.iter_chunked(1 << 20):
                        await asyncio.to_thread(file.write, chunk)
                return Answered(200, response.headers, b"")
        except TimeoutError as error:
            raise RequestFailed("timeout", f"download of {path} stopped") from error
        except aiohttp.ClientError as error:
            raise RequestFailed("connection", f"{type(error).__name__}: {error}") from error
