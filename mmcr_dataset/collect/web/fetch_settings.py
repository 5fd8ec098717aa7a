"""How images are fetched from the web: the flags of `build` that begin with `--fetch_`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from tyro.conf import Suppress, arg


@dataclass(frozen=True, slots=True)
class FetchSettings:
    """How images are fetched from the web: rate limits, timeouts, retries with backoff.

    Attributes:
        max_in_flight: requests in flight at once.
        max_in_flight_host: requests in flight to one host.
        max_attempts: attempts for one image, the first included; only transient failures are retried.
        timeout_s: timeout of one attempt.
        backoff_s: base of the exponential backoff: the first delay is about twice this.
        image_timeout_s: timeout of all attempts and delays of one image; None for three times timeout_s.
        max_redirects: maximum number of redirects.
        max_held_bytes: limit on the bytes of images in memory, over all documents.
        allow_loopback: allow URLs on 127.0.0.0/8 and ::1, for local mirrors.
        opt_outs: all asks each host once for robots.txt and /.well-known/tdmrep.json; headers reads only those of the
            image's own answer (X-Robots-Tag, tdm-reservation), which always count.
        user_agent: User-Agent header of the requests.
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
    opt_outs: Annotated[Literal["all", "headers"], arg(name="fetch_opt_outs")] = "all"
    user_agent: Suppress[str] = "mmcr-dataset/0.2 (research data set; honours robots.txt, X-Robots-Tag and TDMRep)"

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
        """Timeout of all attempts of one image."""
        return 3 * self.timeout_s if self.image_timeout_s is None else self.image_timeout_s
