"""One HTTP request for an image: redirects, opt-outs, size limits, resumed downloads."""

from __future__ import annotations

import email.utils
import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field

import aiohttp
from yarl import URL

from mmcr_dataset.collect.web.addresses import AddressRefused, check_url, redirect_url
from mmcr_dataset.endpoint.retry_after import read_retry_after
from mmcr_dataset.record.images import HEAD_BYTES, ImageError, ImageLimits, check_kind

NO_AI = frozenset({"noai", "noimageai"})  # X-Robots-Tag: the owner opts out of model training
_REDIRECTS = (301, 302, 303, 307, 308)
_DATE_AGE_S = 60  # a more recent Last-Modified is a weak validator (RFC 9110, 8.8.2.2)
ReserveBytes = Callable[[int], Awaitable[None]]


class RetryLater(ImageError):
    """The server sent Retry-After: `.after_s` seconds from now."""

    def __init__(self, reason: str, detail: str, after_s: float) -> None:
        super().__init__(reason, detail)
        self.after_s = after_s


@dataclass
class PartialDownload:
    """Bytes of an earlier attempt, with the validators for resuming it."""

    data: bytearray = field(default_factory=bytearray)
    url: URL | None = None
    etag: str | None = None
    last_modified: str | None = None
    total_bytes: int | None = None

    def headers_for(self, url: URL) -> dict[str, str]:
        """Range request for the missing bytes; empty without a validator for this URL."""
        validator = self.etag or self.last_modified
        if not self.data or url != self.url or validator is None:
            return {}
        return {"Range": f"bytes={len(self.data)}-", "If-Range": validator}

    def start(self, response: aiohttp.ClientResponse, url: URL) -> None:
        """Start over with a complete body."""
        headers = response.headers
        plain = "Content-Encoding" not in headers  # ranges count encoded bytes
        etag = headers.get("ETag", "")
        self.data = bytearray()
        self.url = url
        self.etag = etag if plain and etag.startswith('"') else None  # not the weak W/"..."
        self.last_modified = headers.get("Last-Modified") if plain and _is_old_enough(headers) else None
        self.total_bytes = response.content_length if plain else None

    def continues(self, response: aiohttp.ClientResponse, url: URL) -> bool:
        """True if a 206 response continues the same version of the file."""
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


def check_no_ai(values: list[str], url: URL) -> None:
    """Honour `X-Robots-Tag: noai` and `noimageai`, also if addressed to another crawler (`otherbot: noai`).

    Raises:
        ImageError: robots_noai.
    """
    words = {word for value in values for word in re.split(r"[\s,:;]+", value.lower())}
    if words & NO_AI:
        raise ImageError("robots_noai", f"{url} says X-Robots-Tag: {', '.join(values)[:200]}")


def check_tdm(values: list[str], url: URL) -> None:
    """Honour `tdm-reservation: 1`: the owner reserves text and data mining (TDMRep).

    Raises:
        ImageError: tdm_reserved.
    """
    if any(value.strip() == "1" for value in values):
        raise ImageError("tdm_reserved", f"{url} says tdm-reservation: 1")


async def fetch_text(
    session: aiohttp.ClientSession, url: URL, size_bytes_max: int, allow_loopback: bool
) -> tuple[int, str]:
    """Status and text of a small file, its beginning if it is larger; (0, "") if the host doesn't answer.

    Redirects are followed, five at most, to addresses that may be fetched; what is behind others is not there (404).
    """
    try:
        for _ in range(6):
            async with session.get(url, allow_redirects=False, headers={"Accept": "text/plain, */*"}) as response:
                if response.status in _REDIRECTS:
                    url = check_url(redirect_url(url, response.headers.get("Location", "")), allow_loopback)
                    continue
                body = bytearray()
                while response.status == 200 and len(body) < size_bytes_max:
                    chunk = await response.content.readany()
                    if not chunk:
                        break
                    body += chunk
                return response.status, bytes(body[:size_bytes_max]).decode("utf-8", "replace")
        return 404, ""
    except ImageError:
        return 404, ""
    except (aiohttp.ClientError, ValueError, OSError):  # no answer, or none in HTTP: the image's own request will say
        return 0, ""


async def transfer(
    session: aiohttp.ClientSession,
    url: URL,
    partial: PartialDownload,
    limits: ImageLimits,
    reserve_bytes: ReserveBytes,
    allow_loopback: bool,
) -> bytes | URL:
    """Send one request; returns the image's bytes, or the URL that it redirects to.

    Args:
        session: the HTTP client.
        url: the image's URL.
        partial: bytes of earlier attempts; holds the received bytes if this one fails.
        limits: limits on an image.
        reserve_bytes: waits until that many bytes may be held in memory.
        allow_loopback: allow redirects to this machine.

    Raises:
        ImageError: the request failed, or the response is not an acceptable image.
        TimeoutError: the caller's timeout has passed.
    """
    try:
        async with session.get(url, allow_redirects=False, headers=partial.headers_for(url)) as response:
            check_no_ai(response.headers.getall("X-Robots-Tag", []), url)
            check_tdm(response.headers.getall("tdm-reservation", []), url)
            if response.status in _REDIRECTS:
                return check_url(redirect_url(url, response.headers.get("Location", "")), allow_loopback)
            return await _read_answer(response, url, partial, limits, reserve_bytes)
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
    response: aiohttp.ClientResponse,
    url: URL,
    partial: PartialDownload,
    limits: ImageLimits,
    reserve_bytes: ReserveBytes,
) -> bytes:
    if response.status in (206, 416):
        if response.status == 416 or not partial.continues(response, url):
            partial.data = bytearray()
            raise ImageError("broken_transfer", f"{url}: the range doesn't continue the partial download")
    elif response.status == 200:
        partial.start(response, url)
    else:
        _refuse_status(response, url)
    if (response.content_length or 0) > limits.size_bytes_max:
        raise ImageError("too_many_bytes", f"{url}: {response.content_length} bytes, limit {limits.size_bytes_max}")
    checked = len(partial.data) >= HEAD_BYTES
    while chunk := await response.content.readany():
        await reserve_bytes(len(chunk))
        partial.data += chunk
        if len(partial.data) > limits.size_bytes_max:
            raise ImageError("too_many_bytes", f"{url}: more than {limits.size_bytes_max} bytes")
        if not checked and len(partial.data) >= HEAD_BYTES:
            check_kind(bytes(partial.data[:HEAD_BYTES]))
            checked = True
    if not checked and partial.data:
        check_kind(bytes(partial.data))
    return bytes(partial.data)


def _refuse_status(response: aiohttp.ClientResponse, url: URL) -> None:
    status = response.status
    reason = "http_5xx" if status >= 500 else f"http_{status}"
    wait_s = read_retry_after(response.headers.get("Retry-After")) if status in (429, 503) else None
    if wait_s is not None:
        raise RetryLater(reason, f"{url} answers {status}, Retry-After {wait_s:.0f} s", wait_s)
    raise ImageError(reason, f"{url} answers {status}")
