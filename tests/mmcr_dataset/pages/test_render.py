"""The page: every text is shown literally, nothing is fetched, charts have their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest
from jinja2 import UndefinedError

from mmcr_dataset.pages.render import render_page
from mmcr_dataset.record.dialogue import Dialogue, Source, Turn, introduce

EVIL = "<script>alert(1)</script><img src=x onerror=alert(2)>\"'&"


class Tags(HTMLParser):
    """Collects the tags of a page and their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.found: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.found.append((tag, dict(attrs)))


WHOLE = """{% extends "frame.html" %}
{% from "parts.html" import bars, dialogue, histogram, images, line, section, table %}
{% block main %}{% call section(evil, titles) %}<p>{{ evil }}</p>
{{ table([evil], [[evil, 1234567]]) }}{{ bars([(evil, 3.0, evil)]) }}{{ bars([]) }}
{{ histogram([0.0, 1.0, 2.0], [1, 3], evil, 0, 1.5) }}{{ histogram([0.0], [], evil) }}
{{ line([(0.0, 2.0), (1.0, 1.0)], evil, evil) }}
{{ line([], "step", "accuracy") }}
{{ dialogue(shown, [[(evil, evil)]]) }}{{ images([(evil, "no image".encode())]) }}{% endcall %}
{% call section("Second", titles) %}{{ histogram([0.0, 1.0, 2.0], [1, 3], "tokens") }}
{{ line([(0.0, 2.0), (1.0, 1.0)], "step", "loss") }}{% endcall %}{% endblock %}"""


@pytest.fixture
def page(make_dialogue: Callable[..., Dialogue], tmp_path: Path) -> str:
    """A page with every macro, each given hostile texts."""
    dialogue = make_dialogue(num_images=2, num_turns=2)
    turns = (
        Turn(introduce([1, 2], f"What is {EVIL.replace('<img', '<b')}?"), f"Image 1 and image 2: {EVIL}"),
        Turn(("And then?",), "Image 1."),
    )
    dialogue = replace(dialogue, turns=turns, source=Source(EVIL, EVIL))
    template = tmp_path / "whole.html"
    template.write_text(WHOLE)
    return render_page(template, title=EVIL, lead=EVIL, evil=EVIL, shown=dialogue)


def test_page_hostile_texts_are_shown_literally(page: str) -> None:
    tags = Tags(page).found
    assert "script" not in {tag for tag, _ in tags}
    assert not [attrs for _, attrs in tags if any(name.startswith("on") for name in attrs)]
    assert page.count("&lt;script&gt;alert(1)") >= 12


def test_page_fetches_nothing_and_says_so_to_the_browser(page: str) -> None:
    tags = Tags(page).found
    sources = [attrs.get("src") or "" for tag, attrs in tags if tag == "img"]
    assert len(sources) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"https?://", page)
    assert "default-src 'none'" in page
    assert {"viewport"} <= {attrs.get("name") for tag, attrs in tags if tag == "meta"}


def test_page_links_to_each_of_its_sections(page: str) -> None:
    tags = Tags(page).found
    sections = [attrs["id"] for tag, attrs in tags if tag == "section"]
    assert [attrs["href"] for tag, attrs in tags if tag == "a"] == [f"#{name}" for name in sections]
    assert len(sections) == 2


def test_page_numbers_are_readable(page: str) -> None:
    assert "1,234,567" in page
    assert "0 to 1 tokens: 1" in page
    assert "2.000 at first, 1.000 at last" in page
    assert "No accuracy recorded." in page


def test_template_that_names_a_value_nobody_gave_is_refused(tmp_path: Path) -> None:
    (tmp_path / "bad.html").write_text("{{ forgotten }}")
    with pytest.raises(UndefinedError, match="forgotten"):
        render_page(tmp_path / "bad.html")
