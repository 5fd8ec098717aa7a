"""Thoughts and answer of reasoning models, by the marks of their families."""

from __future__ import annotations

import pytest

from mmcr_dataset.endpoint.thoughts import split_thoughts, with_thoughts


@pytest.mark.parametrize(
    ("text", "thoughts", "answer"),
    [
        ("<think>\nA is a dog. C is odd.\n</think>\n\nB", "A is a dog. C is odd.", "B"),
        ("Let me see: A or C?\n</think>\n\nB", "Let me see: A or C?", "B"),
        ("<think>It goes on and on, A", "It goes on and on, A", ""),
        ("<think></think>B", "", "B"),
        ("<THINK>A</THINK> B", "A", "B"),
        ("<thinking>A</thinking>B", "A", "B"),
        ("◁think▷A◁/think▷B", "A", "B"),
        ("[THINK]A[/THINK]B", "A", "B"),
        ("<think>A <think>or C</think> or D</think>B", "A <think>or C\nor D", "B"),
        ("<think>A</think>B<think>or C", "A\nor C", "B"),
        ("<think>A</think><answer>B</answer>", "A", "B"),
        ("<think>A</think><|begin_of_box|>B<|end_of_box|>", "A", "B"),
        ("B", "", "B"),
        (" B\n", "", " B\n"),
        ("<answer>B</answer>", "", "<answer>B</answer>"),
        ("I think B", "", "I think B"),
        ("", "", ""),
    ],
)
def test_thoughts_are_told_from_the_answer(text: str, thoughts: str, answer: str) -> None:
    assert split_thoughts(text)[:2] == (thoughts, answer)


def test_thoughts_without_an_end_are_open() -> None:
    assert split_thoughts("<think>A").is_open
    assert not split_thoughts("<think>A</think>").is_open


def test_thoughts_that_a_server_reports_apart_are_found_again() -> None:
    assert split_thoughts(with_thoughts("A\nor C", "B"))[:2] == ("A\nor C", "B")
    assert with_thoughts("", "B") == "B"
