"""One image over HTTP: redirects, opt-outs, limits, and a broken transfer that resumes where it stopped."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from urllib.parse import urljoin

import aiohttp
from yarl import URL

from mmcr_dataset.collect.web.addresses import AddressRefused, check_url
from mmcr_dataset.endpoint.retry_after import read_retry_after
from mmcr_dataset.record.images import HEAD_BYTES, ImageError, ImageLimits, check_kind

NO_AI = frozenset({"noai", "noimageai"})  # X-Robots-Tag: the owner does not want models trained on it
_REDIRECTS = (301, 302, 303, 307, 308)
_DATE_AGE_S = 60  # a Last-Modified younger than this may hide a second change within its second
TakeRoom = Callable[[int], Awaitable[None]]


class TryLater(ImageError):
    """The server says when it will answer again: `.after_s` seconds from now."""

    def __init__(self, reason: str, detail: str, after_s: float) -> None:
        super().__init__(reason, detail)
        self.after_s = after_s


@dataclass
class Partial:
    """What an earlier try brought, and what proves that the rest belongs to it."""

    data: bytearray = field(default_factory=bytearray)
    url: URL | None = None
    etag: str | None = None
    last_modified: str | None = None
    total_bytes: int | None = None

    def headers_for(self, url: URL) -> dict[str, str]:
        """Headers that ask for the missing end, where this address can prove that it belongs to the beginning."""
        proof = self.etag or self.last_modified
        if not self.data or url != self.url or proof is None:
            return {}
        return {"Range": f"bytes={len(self.data)}-", "If-Range": proof}

    def start(self, response: aiohttp.ClientResponse, url: URL) -> None:
        """A whole body comes: what was there is forgotten."""
        headers = response.headers
        plain = "Content-Encoding" not in headers  # else the bytes here are not the bytes that a range counts
        etag = headers.get("ETag", "")
        self.data = bytearray()
        self.url = url
        self.etag = etag if plain and etag.startswith('"') else None  # W/"..." may stand for other bytes
        self.last_modified = headers.get("Last-Modified") if plain and _is_old_enough(headers) else None
        self.total_bytes = response.content_length if plain else None

    def goes_on(self, response: aiohttp.ClientResponse, url: URL) -> bool:
        """True if a 206 is the end of the very file whose beginning is here."""
        found = re.fullmatch(r"bytes (\d+)-(\d+)/(\d+)", response.headers.get("Content-Range", ""))
        if not self.data or url != self.url or not found or "Content-Encoding" in response.headers:
            return False
        first, last, total = (int(number) for number in found.groups())
        if self.etag is not None:
            same = response.headers.get("ETag") == self.etag
        else:
            same = response.headers.get("Last-Modified", self.last_modified) == self.last_modified
        return same and first == len(self.data) and last == total - 1 and self.total_bytes in (None, total)


def _is_old_enough(headers: Mapping[str, str]) -> bool:
    try:
        changed = email.utils.parsedate_to_datetime(headers["Last-Modified"])
        sent = email.utils.parsedate_to_datetime(headers["Date"])
        return (sent - changed).total_seconds() >= _DATE_AGE_S
    except (KeyError, ValueError, TypeError):
        return False


def refuse_no_ai(values: list[str], url: URL) -> None:
    """Heed `X-Robots-Tag: noai` and `noimageai`, whichever crawler they are addressed to.

    `otherbot: noai` counts too: it says what the owner wants done with the image, and we train models.

    Raises:
        ImageError: robots_noai.
    """
    words = {word for value in values for word in re.split(r"[\s,:;]+", value.lower())}
    if words & NO_AI:
        raise ImageError("robots_noai", f"{url} says X-Robots-Tag: {', '.join(values)[:200]}")


async def transfer(
    session: aiohttp.ClientSession,
    url: URL,
    partial: Partial,
    limits: ImageLimits,
    take_room: TakeRoom,
    allow_loopback: bool,
) -> bytes | URL:
    """One request: the image, or where it redirects to. What a broken transfer brought stays in `partial`.

    Raises:
        ImageError: with the reason; TimeoutError is left to the caller, who sets the time.
    """
    try:
        async with session.get(url, allow_redirects=False, headers=partial.headers_for(url)) as response:
            refuse_no_ai(response.headers.getall("X-Robots-Tag", []), url)
            if response.status in _REDIRECTS:
                return check_url(urljoin(str(url), response.headers.get("Location", "")), allow_loopback)
            return await _read_answer(response, url, partial, limits, take_room)
    except AddressRefused as error:
        raise ImageError("private_address", f"{url}: {error}") from error
    except (aiohttp.ClientConnectorError, aiohttp.ClientConnectorCertificateError) as error:
        raise _show_unconnected(error, url) from error
    except (aiohttp.ClientPayloadError, aiohttp.ServerDisconnectedError, aiohttp.ClientOSError) as error:
        raise ImageError("broken_transfer", f"{url}: {error}") from error
    except (aiohttp.ClientError, ValueError) as error:
        raise ImageError("bad_answer", f"{url}: {type(error).__name__} {error}"[:500]) from error
    except TimeoutError:
        raise
    except OSError as error:
        raise ImageError("unreachable", f"{url}: {error}") from error


def _show_unconnected(error: aiohttp.ClientError, url: URL) -> ImageError:
    cause = getattr(error, "os_error", None)
    if isinstance(cause, AddressRefused):
        return ImageError("private_address", f"{url}: {cause}")
    if isinstance(error, (aiohttp.ClientConnectorCertificateError, aiohttp.ClientSSLError)):
        return ImageError("bad_certificate", f"{url}: {error}")
    return ImageError("unreachable", f"{url}: {error}")


async def _read_answer(
    response: aiohttp.ClientResponse, url: URL, partial: Partial, limits: ImageLimits, take_room: TakeRoom
) -> bytes:
    if response.status in (206, 416):
        if response.status == 416 or not partial.goes_on(response, url):
            partial.data = bytearray()
            raise ImageError("broken_transfer", f"{url}: the end it has is not of the image that began")
    elif response.status == 200:
        partial.start(response, url)
    else:
        _refuse_status(response, url)
    kind = response.content_type
    if kind.startswith("text/") and kind != "text/plain":
        raise ImageError("not_an_image", f"{url} is {kind}")
    if (response.content_length or 0) > limits.size_bytes_max:
        raise ImageError("too_many_bytes", f"{url}: {response.content_length} bytes, limit {limits.size_bytes_max}")
    checked = len(partial.data) >= HEAD_BYTES
    while chunk := await response.content.readany():
        await take_room(len(chunk))
        partial.data += chunk
        if len(partial.data) > limits.size_bytes_max:
            raise ImageError("too_many_bytes", f"{url}: more than {limits.size_bytes_max} bytes")
        if not checked and len(partial.data) >= HEAD_BYTES:
            check_kind(bytes(partial.data[:HEAD_BYTES]))
            checked = True
    return bytes(partial.data)


def _refuse_status(response: aiohttp.ClientResponse, url: URL) -> None:
    status = response.status
    reason = "http_5xx" if status >= 500 else f"http_{status}"
    wait_s = read_retry_after(response.headers.get("Retry-After")) if status in (429, 503) else None
    if wait_s is not None:
        raise TryLater(reason, f"{url} answers {status}, Retry-After {wait_s:.0f} s", wait_s)
    raise ImageError(reason, f"{url} answers {status}")
