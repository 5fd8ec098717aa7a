"""How images are fetched from the web: the flags of `build` that begin with `--fetch_`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from tyro.conf import Suppress, arg


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How images are fetched from the web: rate limits, timeouts, retries with backoff.

    Attributes:
        max_in_flight: requests in flight at once.
        max_in_flight_host: of them to one host.
        max_attempts: tries for one image, the first included; only what can get better is tried again.
        timeout_s: timeout of one try.
        backoff_s: the first wait before another try is about twice this; each further one is twice as long.
        image_timeout_s: timeout of all tries and waits of one image together; None is three times that of one try.
        max_redirects: redirects followed for one image.
        max_held_bytes: bytes of images held in memory at once, over all documents.
        allow_loopback: fetch from 127.0.0.0/8 and ::1 too, for local copies.
        user_agent: how the fetcher presents itself.
    """

    max_in_flight: Annotated[int, arg(name="fetch_in_flight")] = 64
    max_in_flight_host: Annotated[int, arg(name="fetch_per_host")] = 8
    max_attempts: Annotated[int, arg(name="fetch_attempts")] = 3
    timeout_s: Annotated[float, arg(name="fetch_timeout_s")] = 20.0
    backoff_s: Suppress[float] = 0.5
    image_timeout_s: Suppress[float | None] = None
    max_redirects: Suppress[int] = 5
    max_held_bytes: Suppress[int] = 256_000_000
    allow_loopback: bool = False
    user_agent: Suppress[str] = "mmcr-dataset/0.1 (research data set; honours X-Robots-Tag: noai)"

    def __post_init__(self) -> None:
        for name in ("max_in_flight", "max_in_flight_host", "max_attempts", "max_held_bytes"):
            if getattr(self, name) < 1:
                raise ValueError(f"fetching: {name} is {getattr(self, name)}, expected at least 1")
        for name in ("timeout_s", "total_timeout_s"):
            if not 0 < getattr(self, name) < float("inf"):
                raise ValueError(f"fetching: {name} is {getattr(self, name)}, expected seconds above 0")
        if min(self.max_redirects, self.backoff_s) < 0:
            raise ValueError(f"fetching: max_redirects {self.max_redirects} or backoff_s {self.backoff_s} is below 0")

    @property
    def total_timeout_s(self) -> float:
        """Timeout of all tries of one image together."""
        return 3 * self.timeout_s if self.image_timeout_s is None else self.image_timeout_s
