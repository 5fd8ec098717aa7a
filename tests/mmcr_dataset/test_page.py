"""The page: every text is shown literally, nothing is fetched, charts have their numbers."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from html.parser import HTMLParser

from mmcr_dataset.page import (
    Section,
    show_bars,
    show_dialogue,
    show_histogram,
    show_line,
    show_page,
    show_table,
    show_text,
)
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


def whole_page(make_dialogue: Callable[..., Dialogue]) -> str:
    dialogue = make_dialogue(num_images=2, num_turns=2)
    turns = (
        Turn(introduce([1, 2], f"What is {EVIL.replace('<img', '<b')}?"), f"Image 1 and image 2: {EVIL}"),
        dialogue.turns[0].__class__(("And then?",), "Image 1."),
    )
    dialogue = replace(dialogue, turns=turns, source=Source(EVIL, EVIL))
    body = (
        show_text(EVIL)
        + show_table([EVIL], [[EVIL, 1234567]])
        + show_bars([(EVIL, 3.0, EVIL)])
        + show_histogram([0.0, 1.0, 2.0], [1, 3], EVIL)
        + show_line([(0.0, 2.0), (1.0, 1.0)], EVIL, EVIL)
        + show_dialogue(dialogue, [[(EVIL, EVIL)]])
    )
    return show_page(EVIL, EVIL, [Section(EVIL, body)])


def test_page_hostile_texts_are_shown_literally(make_dialogue: Callable[..., Dialogue]) -> None:
    page = whole_page(make_dialogue)
    tags = Tags(page).found
    assert "script" not in {tag for tag, _ in tags}
    assert not [attrs for _, attrs in tags if any(name.startswith("on") for name in attrs)]
    assert page.count("&lt;script&gt;alert(1)") >= 12


def test_page_fetches_nothing_and_says_so_to_the_browser(make_dialogue: Callable[..., Dialogue]) -> None:
    page = whole_page(make_dialogue)
    tags = Tags(page).found
    sources = [attrs.get("src") or "" for tag, attrs in tags if tag == "img"]
    assert len(sources) == 2
    assert all(source.startswith("data:image/jpeg;base64,") for source in sources)
    assert not re.search(r"https?://", page)
    assert "default-src 'none'" in page
    assert {"viewport"} <= {attrs.get("name") for tag, attrs in tags if tag == "meta"}


def test_page_numbers_are_readable() -> None:
    assert "1,234,567" in show_table(["a"], [[1234567]])
    assert "0 to 1 tokens: 1" in show_histogram([0.0, 1.0, 2.0], [1, 3], "tokens")
    assert "2.000 at first, 1.000 at last" in show_line([(0.0, 2.0), (1.0, 1.0)], "step", "loss")
    assert "No loss recorded." in show_line([], "step", "loss")
