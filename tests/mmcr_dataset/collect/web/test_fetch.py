"""Fetching from a real local server: what is refused, what is tried again, what resumes where it stopped."""

from __future__ import annotations

import asyncio
import gzip
import socket
import time
import zlib
from email.utils import formatdate
from pathlib import Path

import pytest
from aiohttp.abc import AbstractResolver, ResolveResult

from mmcr_dataset.collect.document import ImageAt
from mmcr_dataset.collect.web.addresses import AddressRefused, GuardedResolver, check_url, guarded_sockets, is_public
from mmcr_dataset.collect.web.byte_budget import ByteBudget
from mmcr_dataset.collect.web.fetch import ImageFetcher
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.record.images import ImageError, ImageLimits
from tests.conftest import image_bytes
from tests.local_web import LocalWeb, Page, fetch_images

IMAGE = image_bytes(1)
OTHER = image_bytes(2)
LOCAL = FetchSettings(opt_outs="headers", allow_loopback=True, timeout_s=2.0, backoff_s=0.01)


def fetch_one(place: ImageAt, settings: FetchSettings = LOCAL, limits: ImageLimits | None = None) -> bytes | str:
    found = asyncio.run(fetch_images([place], settings, limits or ImageLimits()))[place]
    return found.reason if isinstance(found, ImageError) else found


def to(location: str, status: int = 302, **headers: str) -> Page:
    return Page(status=status, headers={"Location": location} | headers)


def typed(body: bytes, kind: str, **headers: str) -> Page:
    return Page(body, headers={"Content-Type": kind} | headers)


PAGES: dict[str, tuple[Page, bytes | str]] = {
    "/good.png": (Page(IMAGE), IMAGE),
    "/name%20%C3%BC.png": (Page(IMAGE), IMAGE),
    "/it%27s%2Fa%28b%29.png?Signature=aB%2FcD%3D&t=00%3A00": (Page(IMAGE), IMAGE),
    "/bare.png?": (Page(IMAGE), IMAGE),
    "/to-signed.png": (to("/it%27s%2Fa%28b%29.png?Signature=aB%2FcD%3D&t=00%3A00"), IMAGE),
    "/to-bare.png": (to("bare.png?"), IMAGE),
    "/image-as-html.png": (typed(IMAGE, "text/html; charset=utf-8"), IMAGE),
    "/missing.png": (Page(status=404), "http_404"),
    "/gone.png": (Page(status=410), "http_410"),
    "/no-content.png": (Page(status=204), "http_204"),
    "/down.png": (Page(status=503), "http_5xx"),
    "/slow-down.png": (Page(status=429), "http_429"),
    "/unasked-range.png": (Page(IMAGE, 206, {"Content-Range": "bytes 0-9/10"}), "broken_transfer"),
    # opt-outs, whoever they are addressed to
    "/noai.png": (Page(IMAGE, headers={"X-Robots-Tag": "noindex, NoAI"}), "robots_noai"),
    "/noimageai.png": (Page(IMAGE, headers={"X-Robots-Tag": "noimageai"}), "robots_noai"),
    "/noai-for-another.png": (Page(IMAGE, headers={"X-Robots-Tag": "otherbot: noindex, noai"}), "robots_noai"),
    "/noindex.png": (Page(IMAGE, headers={"X-Robots-Tag": "noindex, max-image-preview:large"}), IMAGE),
    "/noai-on-the-way.png": (to("/good.png", **{"X-Robots-Tag": "noai"}), "robots_noai"),
    "/to-noai.png": (to("/noai.png"), "robots_noai"),
    # redirects
    "/once.png": (to("/good.png"), IMAGE),
    "/permanent.png": (to("good.png", 308), IMAGE),
    "/loop.png": (to("/loop.png"), "too_many_redirects"),
    "/ping.png": (to("/pong.png"), "too_many_redirects"),
    "/pong.png": (to("/ping.png"), "too_many_redirects"),
    "/nowhere.png": (Page(status=302), "too_many_redirects"),
    "/to-file.png": (to("file:///etc/passwd"), "bad_address"),
    "/to-ftp.png": (to("ftp://example.org/a.png"), "bad_address"),
    "/to-data.png": (to("data:image/png;base64,xx"), "bad_address"),
    "/to-script.png": (to("javascript:alert(1)"), "bad_address"),
    "/to-password.png": (to("http://user:secret@example.org/a.png"), "bad_address"),
    "/to-private.png": (to("http://10.0.0.1/a.png"), "private_address"),
    "/to-metadata.png": (to("http://169.254.169.254/latest", 301), "private_address"),
    "/to-mapped.png": (to("http://[::ffff:192.168.0.1]/a.png"), "private_address"),
    "/to-6to4.png": (to("http://[2002:a00:1::]/a.png"), "private_address"),
    "/to-nat64.png": (to("http://[64:ff9b::10.0.0.1]/a.png"), "private_address"),
    "/to-zero.png": (to("http://0.0.0.0/a.png"), "private_address"),
    "/to-octal.png": (to("http://0300.0250.0.1/a.png"), "private_address"),
    "/to-decimal.png": (to("http://3232235521/a.png"), "private_address"),
    "/to-hex.png": (to("http://0xc0a80001/a.png"), "private_address"),
    # what is no image
    "/page.jpg": (typed(b"<html>", "text/html"), "not_an_image"),
    "/page-as-jpeg.jpg": (typed(b"<!DOCTYPE html>" + b" " * 5000, "image/jpeg"), "not_an_image"),
    "/pdf.jpg": (typed(b"%PDF-1.7" + b" " * 5000, "image/jpeg"), "not_an_image"),
    "/svg.png": (typed(b"<?xml version='1.0'?><svg>" + b" " * 5000, "image/png"), "vector_image"),
    "/film.jpg": (typed(b"\0\0\0 ftypmp42" + b"x" * 5000, "image/jpeg"), "not_an_image"),
    "/wrong-type.png": (typed(IMAGE, "application/octet-stream"), IMAGE),
    # lengths and encodings that lie
    "/cut.png": (Page(IMAGE[:50], promised_bytes=len(IMAGE)), "broken_transfer"),
    "/too-long-promise.png": (Page(IMAGE, headers={"Content-Length": "99999999999"}), "too_many_bytes"),
    "/bad-length.png": (Page(raw=b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n" + IMAGE), "bad_answer"),
    "/not-http.png": (Page(raw=b"220 ftp ready\r\n"), "bad_answer"),
    "/silent.png": (Page(raw=b""), "broken_transfer"),
    "/many-headers.png": (Page(raw=b"HTTP/1.1 200 OK\r\nX: " + b"a" * 100_000 + b"\r\n\r\n"), "bad_answer"),
    "/gzip.png": (Page(gzip.compress(IMAGE), headers={"Content-Encoding": "gzip"}), IMAGE),
    "/not-gzip.png": (Page(IMAGE, headers={"Content-Encoding": "gzip"}), "broken_transfer"),
    "/bomb.png": (
        Page(gzip.compress(IMAGE + bytes(50_000_000)), headers={"Content-Encoding": "gzip"}),
        "too_many_bytes",
    ),
    "/deflate-bomb.png": (
        Page(zlib.compress(IMAGE + bytes(50_000_000)), headers={"Content-Encoding": "deflate"}),
        "too_many_bytes",
    ),
}


@pytest.fixture(scope="module")
def web() -> object:
    with LocalWeb(lambda path, _: PAGES.get(path, (Page(status=404), ""))[0]) as server:
        yield server


@pytest.mark.parametrize("path", PAGES)
def test_fetch_each_answer_has_its_end(web: LocalWeb, path: str) -> None:
    assert fetch_one(ImageAt(url=web.url + path.replace("%20%C3%BC", " ü"))) == PAGES[path][1]


def test_fetch_server_that_recovers_is_asked_again_and_one_that_says_no_is_not() -> None:
    def page(path: str, earlier: int) -> Page:
        return Page(status=404) if path == "/no.png" else Page(status=503) if earlier == 0 else Page(IMAGE)

    with LocalWeb(page) as web:
        assert fetch_one(ImageAt(url=f"{web.url}/later.png")) == IMAGE
        assert fetch_one(ImageAt(url=f"{web.url}/no.png")) == "http_404"
        assert web.requests == {"/later.png": 2, "/no.png": 1}


def test_fetch_retry_after_is_waited_for_and_an_endless_one_is_not() -> None:
    arrived: list[float] = []

    def page(path: str, earlier: int) -> Page:
        arrived.append(time.monotonic())
        wait = "3600" if path == "/hour.png" else "1"
        return Page(IMAGE) if earlier else Page(status=429, headers={"Retry-After": wait})

    with LocalWeb(page) as web:
        assert fetch_one(ImageAt(url=f"{web.url}/second.png")) == IMAGE
        assert arrived[1] - arrived[0] >= 0.99
        assert fetch_one(ImageAt(url=f"{web.url}/hour.png")) == "http_429"
        assert web.requests["/hour.png"] == 1


def test_fetch_slow_server_is_a_timeout_and_so_is_a_drip() -> None:
    settings = FetchSettings(opt_outs="headers", allow_loopback=True, timeout_s=0.2, max_attempts=1)
    pages = {"/slow.png": Page(IMAGE, delay_s=1.0), "/drip.png": Page(IMAGE, drip_s=0.1)}
    with LocalWeb(lambda path, _: pages[path]) as web:
        assert fetch_one(ImageAt(url=f"{web.url}/slow.png"), settings) == "timeout"
        assert fetch_one(ImageAt(url=f"{web.url}/drip.png"), settings) == "timeout"


def test_fetch_all_tries_of_an_image_share_one_time() -> None:
    settings = FetchSettings(
        opt_outs="headers", allow_loopback=True, timeout_s=0.3, image_timeout_s=0.5, max_attempts=50, backoff_s=0.001
    )
    with LocalWeb(lambda *_: Page(IMAGE, delay_s=0.6)) as web:
        assert fetch_one(ImageAt(url=f"{web.url}/slow.png"), settings) == "timeout"
        assert web.requests["/slow.png"] <= 3


def test_fetch_endless_body_stops_at_the_limit() -> None:
    chunk = IMAGE + b"x" * (100_000 - len(IMAGE))
    body = b"%x\r\n%b\r\n" % (len(chunk), chunk) * 100
    raw = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body
    with LocalWeb(lambda *_: Page(raw=raw)) as web:
        limits = ImageLimits(size_bytes_max=150_000)
        assert fetch_one(ImageAt(url=f"{web.url}/a.png"), limits=limits) == "too_many_bytes"


ETAG = {"ETag": '"1"'}
OLD = {"Last-Modified": formatdate(1_600_000_000, usegmt=True)}
YOUNG = {"Last-Modified": formatdate(4_000_000_000, usegmt=True)}  # not a minute old, whenever this runs
HALF = len(IMAGE) // 2


@pytest.mark.parametrize(
    ("first", "then", "expected", "resumed"),
    [
        (ETAG, Page(IMAGE, headers=ETAG, ranges=True), IMAGE, True),
        (OLD, Page(IMAGE, headers=OLD, ranges=True), IMAGE, True),
        (ETAG, Page(IMAGE, headers=ETAG), IMAGE, True),  # ignores Range: the whole again
        (ETAG, Page(OTHER, headers={"ETag": '"2"'}, ranges=True), OTHER, True),  # changed: the whole new one
        ({"ETag": 'W/"1"'}, Page(IMAGE, headers={"ETag": 'W/"1"'}, ranges=True), IMAGE, False),
        ({}, Page(IMAGE, ranges=True), IMAGE, False),
        (YOUNG, Page(IMAGE, ranges=True), IMAGE, False),
    ],
)
def test_fetch_broken_transfer_goes_on_only_with_the_same_file(
    first: dict[str, str], then: Page, expected: bytes, resumed: bool
) -> None:
    with LocalWeb(lambda _, earlier: then if earlier else Page(IMAGE, headers=first, cut_at=HALF)) as web:
        assert fetch_one(ImageAt(url=f"{web.url}/a.png")) == expected
        assert web.ranges == [None, f"bytes={HALF}-" if resumed else None]
        if then.ranges and resumed and expected is IMAGE:
            assert web.num_bytes_sent == len(IMAGE)


END = f"{HALF}-{len(IMAGE) - 1}/{len(IMAGE)}"


@pytest.mark.parametrize(
    "end",
    [
        {"ETag": '"2"', "Content-Range": f"bytes {END}"},  # of another version
        {"Content-Range": f"bytes {END}"},  # of who knows which
        {"ETag": '"1"', "Content-Range": f"bytes {HALF + 1}-{len(IMAGE) - 1}/{len(IMAGE)}"},  # a hole
        {"ETag": '"1"', "Content-Range": f"bytes {HALF}-{len(IMAGE) - 1}/*"},
        {"ETag": '"1"', "Content-Range": f"bytes {HALF}-{len(IMAGE) - 1}/{len(IMAGE) + 7}"},  # of another length
        {"ETag": '"1"'},
        {"ETag": '"1"', "Content-Range": f"bytes {END}", "Content-Encoding": "gzip"},
    ],
)
def test_fetch_an_end_that_is_not_proven_to_belong_is_thrown_away(end: dict[str, str]) -> None:
    answers = [Page(IMAGE, headers=ETAG, cut_at=HALF), Page(OTHER[HALF:], 206, end), Page(IMAGE, headers=ETAG)]
    with LocalWeb(lambda _, earlier: answers[earlier]) as web:
        assert fetch_one(ImageAt(url=f"{web.url}/a.png")) == IMAGE
        assert web.ranges == [None, f"bytes={HALF}-", None]


def test_fetch_range_that_does_not_exist_any_more_starts_anew() -> None:
    answers = [Page(IMAGE, headers=ETAG, cut_at=HALF), Page(status=416), Page(OTHER)]
    with LocalWeb(lambda _, earlier: answers[earlier]) as web:
        assert fetch_one(ImageAt(url=f"{web.url}/a.png")) == OTHER


def test_fetch_redirect_to_another_place_never_joins_two_files() -> None:
    answers = {
        "/a.png": [to("/1.png"), to("/2.png")],
        "/1.png": [Page(IMAGE, headers=ETAG, cut_at=HALF)],
        "/2.png": [Page(OTHER, headers=ETAG, ranges=True)],
    }
    with LocalWeb(lambda path, earlier: answers[path][earlier]) as web:
        assert fetch_one(ImageAt(url=f"{web.url}/a.png")) == OTHER
        assert web.ranges == [None] * 4


def test_fetch_slow_host_does_not_hold_up_another() -> None:
    settings = FetchSettings(
        opt_outs="headers", allow_loopback=True, max_in_flight=4, max_in_flight_host=2, timeout_s=30
    )
    ended: list[str] = []

    async def fetch_all(urls: list[str]) -> None:
        budget = ByteBudget(10**9)

        async def one(url: str) -> None:
            assert await fetcher.fetch(ImageAt(url=url), budget.reserve(1)) == IMAGE
            ended.append("slow" if "slow" in url else "quick")

        async with ImageFetcher(settings) as fetcher:
            await asyncio.gather(*(one(url) for url in urls))

    with LocalWeb(lambda path, _: Page(IMAGE, delay_s=1.0 * ("slow" in path))) as web:
        named = web.url.replace("127.0.0.1", "localhost")
        asyncio.run(fetch_all([f"{named}/slow{n}.png" for n in range(4)] + [f"{web.url}/{n}.png" for n in range(6)]))
    assert ended == ["quick"] * 6 + ["slow"] * 4


def test_fetch_redirects_to_one_host_wait_for_its_slots() -> None:
    at_once = [0, 0]

    def page(path: str, _: int) -> Page:
        if path.startswith("/go"):
            return to(f"{target}/{path[3:]}")
        at_once[0] += 1
        at_once[1] = max(at_once)
        time.sleep(0.03)
        at_once[0] -= 1
        return Page(IMAGE)

    settings = FetchSettings(opt_outs="headers", allow_loopback=True, max_in_flight=16, max_in_flight_host=2)
    with LocalWeb(page) as web:
        target = web.url.replace("127.0.0.1", "localhost")
        places = [ImageAt(url=f"{web.url}/go{n}.png") for n in range(8)]
        found = asyncio.run(fetch_images(places, settings))
    assert set(found.values()) == {IMAGE}
    assert at_once[1] <= 2


def test_fetch_host_that_never_answers_is_given_up() -> None:
    settings = FetchSettings(
        opt_outs="headers", allow_loopback=True, timeout_s=0.1, max_attempts=1, max_in_flight_host=2
    )
    with LocalWeb(lambda *_: Page(IMAGE, delay_s=0.3)) as web:
        places = [ImageAt(url=f"{web.url}/{n}.png") for n in range(40)]
        found = asyncio.run(fetch_images(places, settings))
        reasons = [error.reason for error in found.values() if isinstance(error, ImageError)]
        assert len(reasons) == 40
        assert reasons.count("timeout") <= 12
        assert sum(web.requests.values()) <= 12
        assert set(reasons) == {"timeout", "host_given_up"}


def test_fetch_nobody_listening_is_unreachable() -> None:
    assert fetch_one(ImageAt(url="http://127.0.0.1:9/a.png")) == "unreachable"


def test_fetch_loopback_is_refused_unless_allowed() -> None:
    with LocalWeb(lambda *_: Page(IMAGE)) as web:
        assert fetch_one(ImageAt(url=f"{web.url}/a.png"), FetchSettings()) == "private_address"
        by_name = web.url.replace("127.0.0.1", "localhost")
        assert fetch_one(ImageAt(url=f"{by_name}/a.png"), FetchSettings()) == "private_address"
        assert web.requests == {}


@pytest.mark.parametrize(
    "url",
    [
        *(
            "",
            " ",
            "a.png",
            "//host/a.png",
            "file:///a",
            "data:image/png;base64,xx",
            "http://",
            "http://[",
            "ftp://h/a",
        ),
        *("http://user@host/a", "http://:80/a", "http://host:0/a", "http://host:99999/a", "http://./a"),
        *(
            "gopher://h/a",
            "http:///a",
            "http://[::1/a",
            "unix:/tmp/x",
            "http://h/" + "a" * 9000,
            "HTTP:a",
            "http:\\\\h\\a",
        ),
    ],
)
def test_check_url_not_an_http_address_is_bad(url: str) -> None:
    with pytest.raises(ImageError, match="bad_address"):
        check_url(url)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "2130706433", "0x7f.1", "0177.0.0.1", "127.0.0.1.", "0", "0.0.0.0", "10.1.2.3"),
        *("192.168.0.1", "172.16.0.1", "169.254.169.254", "100.64.0.1", "198.18.0.1", "192.0.0.8", "240.0.0.1"),
        *("255.255.255.255", "224.0.0.1", "192.88.99.1", "0xA9FEA9FE", "0251.0376.0251.0376", "2852039166"),
        *("１２７.0.0.1", "①②⑦.⓪.⓪.①", "127。0。0。1"),
        *("[::1]", "[::]", "[fe80::1]", "[fe80::1%25eth0]", "[fd00::1]", "[fec0::1]", "[ff02::1]", "[2001:db8::1]"),
        *("[::ffff:10.0.0.1]", "[::ffff:7f00:1]", "[::10.0.0.1]", "[::127.0.0.1]", "[64:ff9b::7f00:1]"),
        *("[64:ff9b:1::1]", "[2002:7f00:1::]", "[2002:5db8:d822::]", "[2001:0:1::1]", "[2a00::5efe:a00:1]"),
    ],
)
def test_check_url_private_numbers_in_any_spelling_are_refused(host: str) -> None:
    with pytest.raises(ImageError, match="private_address"):
        check_url(f"http://{host}/a")


def test_is_public_knows_the_internet() -> None:
    public = ("93.184.216.34", "2606:2800:220:1::1", "::ffff:93.184.216.34", "64:ff9b::5db8:d822")
    assert all(is_public(address) for address in public)
    assert not is_public("127.0.0.1")
    assert is_public("127.0.0.1", allow_loopback=True)
    assert not is_public("10.0.0.1", allow_loopback=True)
    assert not is_public("64:ff9b::10.0.0.1", allow_loopback=True)


class Answers(AbstractResolver):
    """A name server that says what it is told."""

    def __init__(self, *addresses: str) -> None:
        self.addresses = addresses

    async def resolve(self, host: str, port: int = 0, family: int = socket.AF_INET) -> list[ResolveResult]:
        return [
            ResolveResult(hostname=host, host=address, port=port, family=family, proto=0, flags=0)
            for address in self.addresses
        ]

    async def close(self) -> None:
        pass


def test_resolver_one_private_address_among_public_ones_refuses_the_name() -> None:
    public = asyncio.run(GuardedResolver(False, Answers("93.184.216.34", "93.184.216.35")).resolve("a.example"))
    assert len(public) == 2
    for private in ("10.0.0.1", "::1", "::ffff:169.254.169.254", "64:ff9b::a00:1"):
        with pytest.raises(AddressRefused):
            asyncio.run(GuardedResolver(False, Answers("93.184.216.34", private)).resolve("a.example"))


def test_socket_towards_a_private_address_is_never_made() -> None:
    info = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 80))
    with pytest.raises(AddressRefused):
        guarded_sockets(allow_loopback=True)(info)


def test_fetch_local_files_are_read_and_missing_ones_named(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(IMAGE)
    assert fetch_one(ImageAt(path=path)) == IMAGE
    assert fetch_one(ImageAt(path=path, offset=8, size_bytes=4)) == IMAGE[8:12]
    assert fetch_one(ImageAt(path=tmp_path / "b.png")) == "unreadable_file"
    assert fetch_one(ImageAt(path=tmp_path)) == "unreadable_file"
    assert fetch_one(ImageAt(path=path), limits=ImageLimits(size_bytes_max=100)) == "too_many_bytes"


def test_settings_that_make_no_sense_are_refused() -> None:
    for wrong in (
        {"max_in_flight": 0},
        {"timeout_s": 0.0},
        {"timeout_s": float("nan")},
        {"backoff_s": -1.0},
        {"max_redirects": -1},
    ):
        with pytest.raises(ValueError, match=f"fetching: .*{next(iter(wrong))}"):
            FetchSettings(**wrong)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("written", "sent"),
    [
        *(
            (same, same)
            for same in ("/x.jpg?S=aB%2FcD%3D&E=1", "/t/http%3A%2F%2Fx.example%2Fy.jpg", "/it%27s.jpg", "/%7Eme")
        ),
        *(
            (same, same)
            for same in ("/x?", "/x?a=b?c", "/a//b/../c/./d.jpg", "/+a;b=1,2/$&'()*!@:", "/x?a=1&a=%2b+%2B", "/%e4")
        ),
        ("", "/"),
        ("?a=%2F", "/?a=%2F"),
        ("/a b.jpg", "/a%20b.jpg"),
        ("/ü.jpg?q=ü", "/%C3%BC.jpg?q=%C3%BC"),
        ("/100%.jpg", "/100%25.jpg"),
        ("/a%zz%2F", "/a%25zz%2F"),
        ("/x.jpg#top", "/x.jpg"),
        ("/x?#top", "/x?"),
        ('/<"a">|{}^`.jpg', "/%3C%22a%22%3E%7C%7B%7D%5E%60.jpg"),
        ("/a\\b", "/a%5Cb"),
        ("/a\n b\t", "/a%20b"),
    ],
)
def test_an_address_is_asked_for_as_written(written: str, sent: str) -> None:
    assert check_url(f"https://cdn.example:8443{written}").raw_path_qs == sent
    assert check_url(f"https://b\u00fccher.example{written}").raw_host == "xn--bcher-kva.example"
