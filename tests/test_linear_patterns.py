"""Every regular expression and every reader of foreign text takes time in proportion to its length."""

from __future__ import annotations

import re

import pytest

from mmcr_dataset.endpoint.thoughts import split_thoughts
from mmcr_dataset.record.plain_text import clean_text
from tests.foreign_readers import READERS
from tests.pattern_table import OWN_WORDS, all_timed, built_at_run_time, patterns, reader_of, slowest

# What was quadratic or worse once; the slow test tries every pattern and reader with every text.
ONCE_SLOW = [
    ("clean_text", "<", " "),
    ("clean_text", "", "<"),
    ("clean_text", "", "<image>"),
    ("clean_text", "image_1", " "),
    ("read_verdict", "```json\n", " \n"),
    ("read_verdict", "```", "\n"),
    ("read_verdict", "{", "'a':1,"),
    ("read_turns", "", " "),
    ("read_turns", "", " \n"),
    ("split_thoughts", "", "<think>"),
    ("split_thoughts", "", "<think>a</think>"),
    ("split_thoughts", "</think>", "<think>"),
    ("read_open", "", "1"),
    ("read_open", "", "1,1"),
    ("mentions", "image 1", " "),
    ("read_duration_s", "", "1"),
    ("mmdu.read_scores", "", " "),
    ("mmdu.read_scores", "'", " "),
    ("mmdu.read_scores", "", "'a':1,"),
    ("mask_orders", "", "="),
    ("mask_orders", "", "ignore the rules. "),
    ("with_section", "", "<!-- mmcr scores -->"),
]


def test_the_check_finds_a_quadratic_pattern() -> None:
    pattern = re.compile(r"<[ ]*/?[ ]*(?:b|cd)[ ]*>")
    assert not slowest("", reader_of(pattern, "search"), [" "], ["<"]).is_linear


def test_every_pattern_is_found() -> None:
    found, unknown = patterns()
    assert len(found) > 200  # a pattern that a module compiles once and uses by name is one
    assert {place.partition(":")[0] for place in unknown} <= OWN_WORDS.keys()
    recorded = {name.partition(",")[0] for name in built_at_run_time()}
    assert {place for place, why in OWN_WORDS.items() if why.startswith("recorded")} <= recorded


@pytest.mark.slow
def test_all_patterns_and_readers_are_linear() -> None:
    assert [one for one in all_timed() if not one.is_linear] == []


@pytest.mark.parametrize(("name", "start", "unit"), ONCE_SLOW)
def test_readers_are_linear(name: str, start: str, unit: str) -> None:
    assert slowest(name, READERS[name], [unit], [start]).is_linear


def test_what_the_patterns_read_is_as_before() -> None:
    assert clean_text("< / Human 3 / > < image > </s> [INST]") == "‹ / Human 3 / › ‹ image › ‹/s› (INST)"
    assert split_thoughts("<think>a<think>b</think>c<think>d") == ("a<think>b\nd", "c", True)
