"""Adaptive rate limit of one endpoint: max concurrency and spacing of requests, adjusted by its responses.

Starts at the user's max concurrency. A round of responses with more than a tenth of 429 or 503 halves it; every better
round adds a sixteenth of it back (AIMD, as in TCP). Where the `x-ratelimit-*` headers leave less than the requests in
flight need, the next requests are spaced at the rate at which the quota refills. A `Retry-After` pauses all requests,
not only the one that received it.
"""

from __future__ import annotations

import asyncio
import re
from collections import deque
from collections.abc import Mapping
from typing import Self

_BUSY_SHARE = 0.1  # single 429s are noise: halving at each of them would end far below the server's capacity
_LONGEST_GAP_S = 60.0
_SCALE_S = {"ms": 1e-3, "s": 1.0, "m": 60.0, "h": 3600.0}


class RateLimiter:
    """Use as `async with limiter:` around each request, and pass each response to `observe`."""

    def __init__(self, max_in_flight: int) -> None:
        self.max_in_flight = max_in_flight
        self.limit = float(max_in_flight)
        self._in_flight = 0
        self._waiting: deque[asyncio.Future[None]] = deque()
        self._resume_at = 0.0  # loop time before which nothing is sent
        self._gap_s = 0.0
        self._num_seen = self._num_busy = 0
        self._mean_tokens = 0.0

    async def __aenter__(self) -> Self:
        loop = asyncio.get_running_loop()
        if self._in_flight < int(self.limit) and not self._waiting:
            self._in_flight += 1
        else:
            await self._wait_for_slot(loop)
        try:
            while self._resume_at > loop.time():
                await asyncio.sleep(self._resume_at - loop.time())
        except asyncio.CancelledError:
            await self.__aexit__()
            raise
        if self._gap_s:
            self._resume_at = loop.time() + self._gap_s
        return self

    async def _wait_for_slot(self, loop: asyncio.AbstractEventLoop) -> None:
        """Wait in the queue until a finished request's slot is passed to this one."""
        slot: asyncio.Future[None] = loop.create_future()
        self._waiting.append(slot)
        try:
            await slot
        except asyncio.CancelledError:
            if slot.done() and not slot.cancelled():
                await self.__aexit__()
            raise

    async def __aexit__(self, *exception: object) -> None:
        self._in_flight -= 1
        self._wake()

    def _wake(self) -> None:
        while self._waiting and self._in_flight < int(self.limit):
            slot = self._waiting.popleft()
            if not slot.done():
                self._in_flight += 1
                slot.set_result(None)

    def observe(self, status: int, headers: Mapping[str, str], tokens: int = 0) -> None:
        """Adjust to a response: its HTTP status, its headers, the tokens it used."""
        if tokens:
            self._mean_tokens += (tokens - self._mean_tokens) * (0.1 if self._mean_tokens else 1.0)
        self._gap_s = min(_LONGEST_GAP_S, max(self._gap(headers, "requests", 1), self._gap(headers, "tokens", tokens)))
        self._num_seen += 1
        self._num_busy += status in (429, 503)
        if self._num_seen < max(8, int(self.limit)):
            return
        if self._num_busy > _BUSY_SHARE * self._num_seen:
            self.limit = max(1.0, self.limit / 2)
        else:
            self.limit = min(float(self.max_in_flight), self.limit + max(1.0, self.max_in_flight / 16))
            self._wake()
        self._num_seen = self._num_busy = 0

    def pause(self, seconds: float) -> None:
        """Send nothing for that time."""
        self._resume_at = max(self._resume_at, asyncio.get_running_loop().time() + seconds)

    def _gap(self, headers: Mapping[str, str], kind: str, used: int) -> float:
        """Seconds between two requests that a rate limit requires; 0 while enough is left for all in flight."""
        try:
            left = float(headers[f"x-ratelimit-remaining-{kind}"])
            full_in_s = read_duration_s(headers[f"x-ratelimit-reset-{kind}"])
            limit = float(headers.get(f"x-ratelimit-limit-{kind}", left + 1))
        except (KeyError, ValueError):
            return 0.0
        each = 1.0 if kind == "requests" else self._mean_tokens or used
        if left >= each * (self._in_flight + 1) or limit <= left:
            return 0.0
        return 1.1 * each * full_in_s / (limit - left)  # a little slower than the quota refills


def read_duration_s(text: str) -> float:
    """Seconds of a duration in the format of rate limit headers: "6m0s", "1.5s", "20ms", "12".

    Raises:
        ValueError: the text is not a duration.
    """
    parts = re.findall(r"((?<!\d)\d++(?:\.\d++)?)(ms|s|m|h)", text)
    if parts and "".join(number + unit for number, unit in parts) == text.strip():
        return sum(float(number) * _SCALE_S[unit] for number, unit in parts)
    return float(text)
