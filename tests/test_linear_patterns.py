"""Every regular expression that reads foreign text takes time in proportion to its length."""

import contextlib
import importlib
import itertools
import pkgutil
import re
import time
from collections.abc import Callable, Iterator

import pytest

from eval_tasks.readers.mmmu_answer import read_open
from eval_tasks.tasks.mmdu import read_scores
from mmcr_bench.judge.verdict import Unread, read_verdict
from mmcr_dataset.endpoint.rate_limit import read_duration_s
from mmcr_dataset.endpoint.thoughts import split_thoughts
from mmcr_dataset.filters.rules import mentions
from mmcr_dataset.generate.parse import UnreadableReply, read_turns
from mmcr_dataset.record.plain_text import clean_text

PACKAGES = ("mmcr_dataset", "mmcr_bench", "eval_tasks", "training")
STARTS = ("", "<", "-", "image 1", "'", '"', "{", "1", "`", "\n")
UNITS = (
    " ",
    "\n",
    " \n",
    "\t",
    "1",
    "a",
    "<",
    "{",
    "'a':1,",
    "<think>",
    "<image ",
    "1.",
    "1,",
    "*",
    "/",
    "ab ",
    "\\",
    "$",
)
ANCHORED = ("retry_after._NUMBER", "verdict._PAIR", "mmdu._PAIR", "._HUB_ID")  # only tried at one place of a text
SMALL, LARGE = 1000, 4000


def patterns() -> Iterator[tuple[str, re.Pattern[str]]]:
    """The compiled patterns in every module's globals, alone or in a tuple or list."""
    for package in map(importlib.import_module, PACKAGES):
        for module in pkgutil.walk_packages(package.__path__, f"{package.__name__}."):
            if module.name.endswith("__main__"):
                continue
            try:
                names = vars(importlib.import_module(module.name))
            except ImportError:
                continue  # an extra that isn't installed
            for name, value in names.items():
                values = value if isinstance(value, (tuple, list)) else [value]
                yield from ((f"{module.name}.{name}", one) for one in values if isinstance(one, re.Pattern))


def seconds(read: Callable[[str], object], text: str) -> float:
    start = time.process_time()
    with contextlib.suppress(ValueError):
        read(text)
    return time.process_time() - start


def grows_too_fast(read: Callable[[str], object], start: str, unit: str) -> bool:
    """True if four times the length takes far more than four times the time, each measured at its best of three."""
    texts = [start + unit * (length // len(unit)) + "x" for length in (SMALL, LARGE)]
    if seconds(read, texts[1]) < 0.004:
        return False
    small, large = (min(seconds(read, text) for _ in range(3)) for text in texts)
    return large > 0.004 and large > 9 * small


def test_the_check_finds_a_quadratic_pattern() -> None:
    assert grows_too_fast(re.compile(r"<[ ]*/?[ ]*(?:b|cd)[ ]*>").search, "<", " ")


@pytest.mark.slow
def test_all_patterns_are_linear() -> None:
    found = {pattern.pattern: (name, pattern) for name, pattern in patterns()}
    assert len(found) > 50
    slow = [
        (name, start, unit)
        for name, pattern in found.values()
        for start, unit in itertools.product(STARTS, UNITS)
        if grows_too_fast(_reader(name, pattern), start, unit)
    ]
    assert not slow


def _reader(name: str, pattern: re.Pattern[str]) -> Callable[[str], object]:
    return pattern.match if name.endswith(ANCHORED) else lambda text: list(pattern.finditer(text))


def _judge(text: str) -> None:
    with contextlib.suppress(Unread):
        read_verdict(text)


def _turns(text: str) -> None:
    with contextlib.suppress(UnreadableReply):
        read_turns(text)


@pytest.mark.parametrize(
    ("read", "start", "unit"),
    [
        (clean_text, "<", " "),
        (clean_text, "", "<"),
        (clean_text, "", "<image>"),
        (clean_text, "image_1", " "),
        (_judge, "```json\n", " \n"),
        (_judge, "```", "\n"),
        (_judge, "{", "'a':1,"),
        (_turns, "", " "),
        (_turns, "", " \n"),
        (split_thoughts, "", "<think>"),
        (split_thoughts, "", "<think>a</think>"),
        (split_thoughts, "</think>", "<think>"),
        (read_open, "", "1"),
        (read_open, "", "1,1"),
        (mentions, "image 1", " "),
        (read_duration_s, "", "1"),
        (lambda text: read_scores("{" + text + "}", text), "", " "),
        (lambda text: read_scores("{" + text + "}", text), "'", " "),
        (lambda text: read_scores("{" + text + "}", text), "", "'a':1,"),
    ],
)
def test_readers_are_linear(read: Callable[[str], object], start: str, unit: str) -> None:
    assert not grows_too_fast(read, start, unit)


def test_what_the_patterns_read_is_as_before() -> None:
    assert clean_text("< / Human 3 / > < image > </s> [INST]") == "‹ / Human 3 / › ‹ image › ‹/s› (INST)"
    assert split_thoughts("<think>a<think>b</think>c<think>d") == ("a<think>b\nd", "c", True)
