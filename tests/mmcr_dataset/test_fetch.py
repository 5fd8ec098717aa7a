"""Fetching from a real local server: what is refused, what is tried again, what a failure is called."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from mmcr_dataset.collect.addresses import check_url, is_public
from mmcr_dataset.collect.document import PictureAt
from mmcr_dataset.collect.fetch import FetchSettings, fetch_pictures
from mmcr_dataset.images import PictureError, PictureLimits
from tests.conftest import picture_bytes
from tests.local_web import LocalWeb, Page

PICTURE = picture_bytes(1)
LOCAL = FetchSettings(allow_loopback=True, timeout_s=2.0)


def fetch_one(place: PictureAt, settings: FetchSettings = LOCAL, limits: PictureLimits | None = None) -> bytes | str:
    found = asyncio.run(fetch_pictures([place], settings, limits or PictureLimits()))[place]
    return found.reason if isinstance(found, PictureError) else found


PAGES = {
    "/good.png": Page(PICTURE),
    "/missing.png": Page(status=404),
    "/page.jpg": Page(b"<html>", headers={"Content-Type": "text/html"}),
    "/noai.png": Page(PICTURE, headers={"X-Robots-Tag": "noindex, NoAI"}),
    "/noimageai.png": Page(PICTURE, headers={"X-Robots-Tag": "otherbot: noimageai"}),
    "/once.png": Page(status=302, headers={"Location": "/good.png"}),
    "/loop.png": Page(status=302, headers={"Location": "/loop.png"}),
    "/to-file.png": Page(status=302, headers={"Location": "file:///etc/passwd"}),
    "/to-private.png": Page(status=302, headers={"Location": "http://10.0.0.1/a.png"}),
    "/to-metadata.png": Page(status=301, headers={"Location": "http://169.254.169.254/latest"}),
    "/cut.png": Page(PICTURE[:50], promised_bytes=len(PICTURE)),
    "/slow.png": Page(PICTURE, delay_s=1.0),
    "/down.png": Page(status=503),
    "/name%20%C3%BC.png": Page(PICTURE),
}


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/good.png", PICTURE),
        ("/once.png", PICTURE),
        ("/name ü.png", PICTURE),
        ("/missing.png", "http_404"),
        ("/page.jpg", "not_a_picture"),
        ("/noai.png", "robots_noai"),
        ("/noimageai.png", "robots_noai"),
        ("/loop.png", "too_many_redirects"),
        ("/to-file.png", "bad_address"),
        ("/to-private.png", "private_address"),
        ("/to-metadata.png", "private_address"),
        ("/cut.png", "broken_transfer"),
        ("/down.png", "http_5xx"),
    ],
)
def test_fetch_each_answer_has_its_end(path: str, expected: bytes | str) -> None:
    with LocalWeb(lambda path, _: PAGES.get(path, Page(status=404))) as web:
        assert fetch_one(PictureAt(url=web.url + path)) == expected


def test_fetch_server_that_recovers_is_asked_again_and_one_that_says_no_is_not() -> None:
    def page(path: str, earlier: int) -> Page:
        return Page(status=404) if path == "/no.png" else Page(status=503) if earlier == 0 else Page(PICTURE)

    with LocalWeb(page) as web:
        assert fetch_one(PictureAt(url=f"{web.url}/later.png")) == PICTURE
        assert fetch_one(PictureAt(url=f"{web.url}/no.png")) == "http_404"
        assert web.requests == {"/later.png": 2, "/no.png": 1}


def test_fetch_slow_server_is_a_timeout() -> None:
    settings = FetchSettings(allow_loopback=True, timeout_s=0.2, max_attempts=1)
    with LocalWeb(lambda path, _: PAGES[path]) as web:
        assert fetch_one(PictureAt(url=f"{web.url}/slow.png"), settings) == "timeout"


def test_fetch_endless_body_stops_at_the_limit() -> None:
    with LocalWeb(lambda *_: Page(b"x" * 3_000_000)) as web:
        place = PictureAt(url=f"{web.url}/big.png")
        assert fetch_one(place, limits=PictureLimits(size_bytes_max=100_000)) == "too_many_bytes"


def test_fetch_nobody_listening_is_unreachable() -> None:
    assert fetch_one(PictureAt(url="http://127.0.0.1:9/a.png")) == "unreachable"


def test_fetch_loopback_is_refused_unless_allowed() -> None:
    with LocalWeb(lambda *_: Page(PICTURE)) as web:
        assert fetch_one(PictureAt(url=f"{web.url}/a.png"), FetchSettings()) == "private_address"
        by_name = web.url.replace("127.0.0.1", "localhost")
        assert fetch_one(PictureAt(url=f"{by_name}/a.png"), FetchSettings()) == "private_address"
        assert web.requests == {}


@pytest.mark.parametrize(
    "url",
    ["", " ", "a.png", "//host/a.png", "file:///a", "data:image/png;base64,xx", "http://", "http://[", "ftp://h/a"],
)
def test_check_url_not_an_http_address_is_bad(url: str) -> None:
    with pytest.raises(PictureError, match="bad_address"):
        check_url(url)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/a",
        "http://127.1/a",
        "http://2130706433/a",
        "http://0x7f.1/a",
        "http://0177.0.0.1/a",
        "http://0.0.0.0/a",
        "http://10.1.2.3/a",
        "http://192.168.0.1/a",
        "http://172.16.0.1/a",
        "http://169.254.169.254/a",
        "http://100.64.0.1/a",
        "http://[::1]/a",
        "http://[fe80::1]/a",
        "http://[fd00::1]/a",
        "http://[::ffff:10.0.0.1]/a",
        "http://224.0.0.1/a",
    ],
)
def test_check_url_private_numbers_in_any_spelling_are_refused(url: str) -> None:
    with pytest.raises(PictureError, match="private_address"):
        check_url(url)


def test_is_public_knows_the_internet() -> None:
    assert is_public("93.184.216.34")
    assert is_public("2606:2800:220:1::1")
    assert not is_public("127.0.0.1")
    assert is_public("127.0.0.1", allow_loopback=True)


def test_fetch_local_files_are_read_and_missing_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(PICTURE)
    assert fetch_one(PictureAt(path=path)) == PICTURE
    assert fetch_one(PictureAt(path=tmp_path / "b.png")) == "unreadable_file"
