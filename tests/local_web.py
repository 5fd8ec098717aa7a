"""A small local web server for images: serves what it is told, redirects, errors, slow bodies; counts requests."""

from __future__ import annotations

import asyncio
import re
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from mmcr_dataset.collect.document import ImageAt
from mmcr_dataset.collect.web.byte_budget import ByteBudget
from mmcr_dataset.collect.web.fetch import ImageFetcher
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.record.images import ImageError, ImageLimits
from tests.local_server import Handler, LocalServer


@dataclass(frozen=True)
class Page:
    """One response."""

    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    delay_s: float = 0.0
    promised_bytes: int | None = None  # a Content-Length larger than the body breaks the transfer
    cut_at: int | None = None  # close the connection after so many bytes of the body
    drip_s: float = 0.0  # pause before each tenth of the body
    ranges: bool = False  # answers Range where If-Range is its ETag or Last-Modified
    raw: bytes | None = None  # the whole answer, head included


class LocalWeb(LocalServer):
    """Serves `page(path, number of earlier requests for it)` on 127.0.0.1; `.url` is its address.

    `.requests` counts by path, `.ranges` has each request's Range header in order, `.num_bytes_sent` the bodies' bytes.
    """

    def __init__(self, page: Callable[[str, int], Page]) -> None:
        self.requests: Counter[str] = Counter()
        self.ranges: list[str | None] = []
        self.num_bytes_sent = 0
        web = self

        class Pages(Handler):
            def do_GET(self) -> None:
                earlier = web.requests[self.path]
                web.requests[self.path] += 1
                web.ranges.append(self.headers.get("Range"))
                answer = page(self.path, earlier)
                time.sleep(answer.delay_s)
                try:
                    self._answer(answer)
                except (BrokenPipeError, ConnectionResetError):
                    self.close_connection = True

            def _answer(self, answer: Page) -> None:
                if answer.raw is not None:
                    self.wfile.write(answer.raw)
                    self.close_connection = True
                    return
                body, status, headers = answer.body, answer.status, dict(answer.headers)
                asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
                known = {headers.get("ETag"), headers.get("Last-Modified")}
                if answer.ranges and asked and self.headers.get("If-Range", "") in known:
                    first = int(asked[1])
                    headers["Content-Range"] = f"bytes {first}-{len(body) - 1}/{len(body)}"
                    body, status = body[first:], 206
                self.send_response(status)
                size = len(body) if answer.promised_bytes is None else answer.promised_bytes
                for name, value in ({"Content-Length": str(size)} | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self._send_body(body[: answer.cut_at], answer.drip_s)
                self.close_connection = answer.promised_bytes is not None or answer.cut_at is not None

            def _send_body(self, body: bytes, drip_s: float) -> None:
                step = max(1, len(body) // 10) if drip_s else max(1, len(body))
                for start in range(0, len(body), step):
                    time.sleep(drip_s)
                    self.wfile.write(body[start : start + step])
                    web.num_bytes_sent += len(body[start : start + step])

        super().__init__(Pages)


async def fetch_images(
    places: Iterable[ImageAt], settings: FetchSettings = FetchSettings(), limits: ImageLimits = ImageLimits()
) -> dict[ImageAt, bytes | ImageError]:
    """The bytes of each image, or why there are none."""
    wanted = list(dict.fromkeys(places))
    budget = ByteBudget(sys.maxsize)
    async with ImageFetcher(settings, limits) as fetcher:
        found = await asyncio.gather(
            *(fetcher.fetch(place, budget.reserve(number)) for number, place in enumerate(wanted, 1))
        )
    return dict(zip(wanted, found, strict=True))
