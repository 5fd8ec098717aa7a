"""Opt-outs: robots.txt, tdmrep.json and headers, each with its reason; each host is asked once."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

import pytest

from mmcr_dataset.collect.document import ImageAt
from mmcr_dataset.collect.web.fetch_settings import FetchSettings
from mmcr_dataset.collect.web.opt_outs import is_allowed, read_robots, read_tdmrep
from mmcr_dataset.record.images import ImageError
from tests.conftest import image_bytes
from tests.local_web import LocalWeb, Page, fetch_images

ALL = FetchSettings(allow_loopback=True, timeout_s=2.0, backoff_s=0.01)
IMAGE = Page(image_bytes(1))
NONE = Page(b"", 404)


def reasons(
    robots: Page = NONE, tdmrep: Page = NONE, image: Page = IMAGE, settings: FetchSettings = ALL
) -> tuple[list[str], LocalWeb]:
    """Why each of /a/1.png, /a/2.png and /b/1.png is not taken ("" if it is)."""
    files = {"/robots.txt": robots, "/.well-known/tdmrep.json": tdmrep}
    with LocalWeb(lambda path, earlier: files.get(path, image)) as web:
        places = [ImageAt(url=f"{web.url}/{name}.png") for name in ("a/1", "a/2", "b/1")]
        found = asyncio.run(fetch_images(places, settings))
    said = [found[place] for place in places]
    return [one.reason if isinstance(one, ImageError) else "" for one in said], web


def robots(text: str, **more: object) -> Page:
    return replace(Page(text.encode()), **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("User-agent: *\nDisallow: /a/", ["robots_disallowed", "robots_disallowed", ""]),
        ("User-agent: *\nDisallow: /\n\nUser-agent: MMCR-Dataset\nDisallow: /b\n", ["", "", "robots_disallowed"]),
        ("User-agent: otherbot\nDisallow: /", ["", "", ""]),
        ("user-agent: x\nUSER-AGENT: *\n# all\nDisallow: /*/2.png$ # two\n", ["", "robots_disallowed", ""]),
        ("User-agent: *\nDisallow: /\nAllow: /a/2", ["robots_disallowed", "", "robots_disallowed"]),
        ("User-agent: *\nDisallow:", ["", "", ""]),
        ("\ufeffUser-agent: *\r\nDisallow: /%62/\r\n", ["", "", "robots_disallowed"]),
        ("Disallow: /\n<html>", ["", "", ""]),
    ],
)
def test_robots_txt_is_asked_once_a_host_and_its_rules_count(text: str, expected: list[str]) -> None:
    found, web = reasons(robots(text))
    assert found == expected
    assert web.requests["/robots.txt"] == 1
    assert all(
        web.requests[f"/{name}.png"] == (why == "") for name, why in zip(("a/1", "a/2", "b/1"), found, strict=True)
    )


def test_a_server_that_fails_is_unknown_and_one_without_the_file_allows_all() -> None:
    assert reasons(Page(b"", 503))[0] == ["robots_unknown"] * 3
    assert reasons(Page(b"", 403))[0] == [""] * 3
    assert reasons(Page(b"", 301, {"Location": "http://10.0.0.1/robots.txt"}))[0] == [""] * 3
    slow = replace(ALL, timeout_s=0.3)
    assert reasons(Page(b"User-agent: *\nDisallow: /", delay_s=1.0), settings=slow)[0] == [""] * 3


def test_tdm_reservation_in_file_and_header_is_named() -> None:
    file = json.dumps([{"location": "/a/*", "tdm-reservation": 1}, {"location": "/a/2", "tdm-reservation": 0}])
    assert reasons(tdmrep=Page(file.encode()))[0] == ["tdm_reserved", "", ""]
    header = replace(IMAGE, headers={"TDM-Reservation": "1"})
    assert reasons(image=header)[0] == ["tdm_reserved"] * 3
    assert reasons(image=replace(IMAGE, headers={"tdm-reservation": "0"}))[0] == [""] * 3


def test_files_are_not_asked_where_only_headers_are_wanted() -> None:
    found, web = reasons(robots("User-agent: *\nDisallow: /"), settings=replace(ALL, opt_outs="headers"))
    assert found == ["", "", ""]
    assert not web.requests["/robots.txt"]
    reserved = replace(IMAGE, headers={"tdm-reservation": "1"})
    assert reasons(image=reserved, settings=replace(ALL, opt_outs="headers"))[0] == ["tdm_reserved"] * 3


@pytest.mark.parametrize(
    ("pattern", "path", "is_named"),
    [
        ("/a*c", "/abbbc/d", True),
        ("/a*c$", "/abbbc/d", False),
        ("/a*c$", "/ac", True),
        ("/*.png$", "/x.png?y.png", True),
        ("/a$", "/ab", False),
        ("*", "/", True),
        ("/a*bc*c$", "/abc", False),
        ("/ä", "/%C3%A4/1", True),
    ],
)
def test_path_patterns(pattern: str, path: str, is_named: bool) -> None:
    assert is_allowed(read_robots(f"User-agent: *\nDisallow: {pattern}"), path) != is_named


def test_foreign_files_of_any_kind_are_read_within_limits() -> None:
    for text in ("[" * 100_000, "{}", "7", '[{"location": 3, "tdm-reservation": 1}, null]', "\0\0"):
        assert read_tdmrep(text) == []
    many = "User-agent: *\n" + "".join(f"Disallow: /{n:050}\n" for n in range(9000))
    rules = read_robots(many)
    assert len(rules) < 2100
    assert not is_allowed(rules, "/free")  # what was cut may forbid it
    assert is_allowed(read_robots("User-agent: *\nDisallow: /" + "*a" * 2000 + "$"), "/" + "a" * 4000 + "b")
