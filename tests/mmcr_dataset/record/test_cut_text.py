"""Texts are cut at a space, or between characters where there is none."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcr_dataset.collect.document import MAX_TEXT_CHARACTERS, Candidate, Document, ImageAt, to_candidate
from mmcr_dataset.record.plain_text import cut_text
from tests.conftest import image_bytes


@pytest.mark.parametrize(
    ("text", "length", "expected"),
    [
        ("a red kite", 7, "a red"),
        ("a red kite", 10, "a red kite"),
        ("红色的风筝在墙上", 4, "红色的风"),
        ("A 红色的风筝" + "墙" * 100, 90, "A 红色的风筝" + "墙" * 83),
        ("ว่าวสีแดงอยู่บนกำแพง", 2, "ว่"),
        ("e\u0301e\u0301e\u0301", 3, "e\u0301"),
        ("x", 0, ""),
    ],
)
def test_cut_text(text: str, length: int, expected: str) -> None:
    assert cut_text(text, length) == expected


@given(st.text(max_size=200), st.integers(0, 100))
def test_cut_text_keeps_the_beginning_and_loses_no_more_than_a_word(text: str, length: int) -> None:
    found = cut_text(text, length)
    assert text.startswith(found)
    assert len(found) <= length or found == text
    marks = sum(unicodedata.category(c).startswith(("M", "Z", "C")) for c in text)
    assert len(found) >= min(length, len(text)) - 65 - marks


@pytest.mark.parametrize("sign", ["图", "ภ", "あ"])
def test_a_long_text_without_spaces_is_not_lost(sign: str) -> None:
    place = ImageAt(url="https://a.example/1.png")
    document = Document("d", (place, sign * 3 * MAX_TEXT_CHARACTERS))
    candidate = to_candidate(document, {place: image_bytes(1)})
    assert isinstance(candidate, Candidate)
    assert len(candidate.text) == MAX_TEXT_CHARACTERS
