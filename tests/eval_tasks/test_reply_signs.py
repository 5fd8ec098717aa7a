"""Signs of failure in replies, counted without a judge."""

from __future__ import annotations

import pytest

from eval_tasks.reply_signs import growth, missing_image_share, redundant_share, repeated_share, reply_totals
from eval_tasks.task import Failure, Sample, Scored
from mmcr_dataset.record.dialogue import Dialogue, DialogueImage, Turn

TURNS = (Turn((1, "What?"), "a"), Turn(("And?",), "b"), Turn((2, "And this?"), "c"))
DIALOGUE = Dialogue("d", TURNS, (DialogueImage(b"1"), DialogueImage(b"2")))


def said(*replies: str) -> Scored:
    return Scored(Sample(DIALOGUE, None, "g"), replies)


def test_a_reply_that_repeats_the_one_before_is_counted() -> None:
    assert repeated_share(said("A red boat.", "a red boat", "A blue one.")) == 0.5


def test_words_said_before_are_redundant() -> None:
    assert redundant_share(said("it is a red boat", "it is a red boat", "a dog runs over there")) == pytest.approx(0.5)
    assert redundant_share(said("a", "a", "a")) == 0.0


def test_replies_that_grow_drift() -> None:
    assert growth(said("one two", "x", "one two three four")) == 2.0


@pytest.mark.parametrize(
    ("replies", "share"),
    [
        (("Image 1 shows a boat.", "It is red.", "Image 2 shows a dog."), 0.0),
        (("Image 2 shows a boat.", "It is red.", "Image_2 shows a dog."), 1 / 3),
        (("Image 0", "images 7", "image 2"), 2 / 3),
    ],
)
def test_an_image_that_is_not_shown_yet_is_a_hallucination(replies: tuple[str, ...], share: float) -> None:
    assert missing_image_share(said(*replies)) == pytest.approx(share)


def test_failed_samples_have_no_signs() -> None:
    failed = Scored(Sample(DIALOGUE, None, "g"), ("a",), failure=Failure("timeout", ""))
    assert reply_totals([failed]) == {}
    assert len(reply_totals([said("a", "b", "c"), failed])["replies: words"].units) == 1
