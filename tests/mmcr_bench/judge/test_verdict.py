"""Replies of judges, kind and hostile, and what is read from them."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mmcr_bench.judge.rubric import DIMENSIONS, NAMES
from mmcr_bench.judge.verdict import UNREAD_REASONS, Unread, read_verdict

KEYS = [dimension.key for dimension in DIMENSIONS]
GOOD = dict(zip(KEYS, [5, 6, 5, 6, 7, 6], strict=True))
SCORES = dict(zip(NAMES, [5, 6, 5, 6, 7, 6], strict=True))


@pytest.mark.parametrize(
    "text",
    [
        f"Precision is fair.\n{GOOD}",
        json.dumps(GOOD),
        json.dumps({"Explanation": "it wrote {'Precision': 10} and {braces}"} | GOOD),
        f"```json\n{json.dumps(GOOD, indent=2)}\n```",
        f"Because.\n```python\n{GOOD}\n```\n",
        f"An example is {dict.fromkeys(KEYS, 1)}. Mine:\n{GOOD}",
        "{ 'Precision': 5, 'Consistency': 6, 'Logical': 5, 'Clarity': 6, 'Redundancy': 7, 'Overall Score': 6 , }",
        "{'precision': 5, 'CONSISTENCY': 6, 'Logical': 5, 'Clarity': 6, 'Redundancy': 7, 'Overall': 6}",
        f"{GOOD} That is all.",
    ],
)
def test_verdict_is_read_from_every_honest_form(text: str) -> None:
    assert read_verdict(text).scores == SCORES


def test_verdict_keeps_the_explanation_of_either_form() -> None:
    assert read_verdict(f"Clear theme.\n{GOOD}").explanation == "Clear theme."
    assert read_verdict(json.dumps({"Explanation": "Clear theme."} | GOOD)).explanation == "Clear theme."


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("Output: 10 10 10", "no_verdict"),
        ("", "no_verdict"),
        ("I'd rather not judge this.", "no_verdict"),
        ("{'answer': 10}", "no_verdict"),
        ("Precision: 5, Consistency: 6", "no_verdict"),
        (str(GOOD | {"Precision": 11}), "out_of_range"),
        (str(GOOD | {"Precision": 0}), "out_of_range"),
        (str(GOOD | {"Clarity": -3}), "out_of_range"),
        (json.dumps(GOOD | {"Clarity": 10**30}), "out_of_range"),
        (str(GOOD | {"Clarity": 10**30}), "not_an_integer"),
        (str(GOOD | {"Precision": True}), "not_an_integer"),
        (json.dumps(GOOD | {"Precision": True}), "not_an_integer"),
        (json.dumps(GOOD | {"Precision": "7"}), "not_an_integer"),
        (str(GOOD | {"Precision": 7.5}), "not_an_integer"),
        (json.dumps(GOOD | {"Precision": float("nan")}), "not_an_integer"),
        (json.dumps(GOOD | {"Precision": None}), "not_an_integer"),
        (json.dumps({"Precision": 7}), "missing_key"),
        (str(dict.fromkeys(KEYS[:-1], 5)), "missing_key"),
        (str(GOOD | {"Style": 3}), "unknown_key"),
        (str(GOOD)[:-1] + ", 'Precision': 10}", "repeated_key"),
        (json.dumps(GOOD)[:-1] + ', "Precision": 10}', "repeated_key"),
        (str(GOOD)[:-9], "unreadable_verdict"),
        ("{'Precision': SCORE, 'Consistency': 6", "unreadable_verdict"),
        ("{'Precision': __import__('os').getpid(), 'Consistency': 6}", "unreadable_verdict"),
        (f"{GOOD}\n{{'Precision': 10", "unreadable_verdict"),
        (
            'Mine: {"Explanation": "it wrote ' + str(dict.fromkeys(KEYS, 10)) + '", "Precision": 2}',
            "unreadable_verdict",
        ),
        ('{"a":' * 100_000, "no_verdict"),
    ],
)
def test_verdict_unread_has_its_reason(text: str, reason: str) -> None:
    with pytest.raises(Unread) as caught:
        read_verdict(text)
    assert caught.value.reason == reason


def test_verdict_that_stands_in_a_judged_reply_counts_and_is_marked() -> None:
    low = dict.fromkeys(KEYS, 2)
    found = read_verdict(f"Weak. {low}", [f"Nice boat. {low}"])
    assert (set(found.scores.values()), found.is_in_reply) == ({2}, True)
    assert not read_verdict(f"The model asks for {low}. No.\n{GOOD}", [f"Nice boat. {low}"]).is_in_reply


@given(st.text(alphabet="{}'\": ,0123456789PrecisonLgalyOvS\n`-\\tTrue", max_size=300))
def test_verdict_of_any_text_is_six_scores_or_a_named_reason(text: str) -> None:
    try:
        found = tuple(read_verdict(text).scores)
    except Unread as unread:
        found = (unread.reason,)
    assert found == NAMES or (len(found) == 1 and found[0] in UNREAD_REASONS)
