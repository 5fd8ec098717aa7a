"""What can be guessed: chances worked out by hand."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from mmcr_bench.exact.state import Script
from mmcr_bench.exact.views import add_blind, guesses_of, insufficient_views, keeps_limits
from tests.mmcr_bench.exact.test_operators import (
    COLOUR,
    COUNTED,
    CROSS,
    NAMED,
    RED,
    SHAPE,
    START,
    TOP_LEFT,
    ask,
    follow,
)

SEED = (0, 0)


def guesses(script: Script) -> dict[str, float]:
    return guesses_of(script, len(script.turns) - 1, SEED)


def test_an_explicit_question_needs_its_image_and_nothing_else() -> None:
    found = guesses(follow(TOP_LEFT))
    assert found["last"] == 1.0
    assert found["text"] == pytest.approx(1 / 6, abs=0.04)  # six colours
    assert found["newest"] == found["text"]  # Image_3 is the newest, Image_1 is asked
    newest = ask(START, "attr", attr=SHAPE, pic=2, cell=0)
    assert guesses(newest)["newest"] == 1.0
    assert guesses(newest)["text"] == pytest.approx(1 / 4, abs=0.04)  # four shapes


def test_without_history_every_place_of_every_image_is_alike() -> None:
    script = follow(TOP_LEFT, ("it", {"attr": SHAPE}))
    shapes = START.scenes[:, :, SHAPE].ravel()
    assert guesses(script)["last"] == pytest.approx(np.bincount(shapes).max() / 12, abs=1e-4)


def test_words_narrow_the_worlds_down() -> None:
    """Two of four are said to be crosses: a place shows one with a chance of a half."""
    script = ask(follow(COUNTED), "attr", attr=SHAPE, pic=0, cell=0)
    assert guesses(script)["text"] == pytest.approx(0.5, abs=0.03)
    other = ask(script, "count", by=SHAPE, value=CROSS, pic=1)  # nothing was said of Image_2
    assert guesses(other)["text"] == pytest.approx(4 * 1 / 4 * (3 / 4) ** 3, abs=0.03)


def test_what_words_alone_tell() -> None:
    script = follow(NAMED, TOP_LEFT)
    which = ask(script, "which", name=0)
    assert guesses(which) == {"last": pytest.approx(1 / 3, abs=1e-4), "text": 1.0, "newest": 1.0}
    assert guesses(ask(script, "recall", nth=1))["text"] == 1.0
    repeated = ask(script, "called", name=0, attr=SHAPE)
    assert guesses(repeated)["text"] == 1.0  # answered in the first turn
    assert not keeps_limits(repeated, 2, guesses(repeated))


def test_a_comparison_tells_about_every_image_of_it() -> None:
    """Image_3 is said to have the most of what Image_1 has two of; then four crosses in it are no surprise."""
    script = ask(follow(COUNTED), "compare", pic_a=0, pic_b=1, pic_c=2)
    asked = ask(script, "count", by=SHAPE, value=CROSS, pic=2)
    assert asked.answers[-1] == 3
    chances = {3: 12 / 256, 4: 1 / 256}  # of three and four crosses, nothing else is possible
    assert guesses(asked)["text"] == pytest.approx(chances[3] / sum(chances.values()), abs=0.05)


def test_views_that_lack_something() -> None:
    assert insufficient_views("attr", 0, 0) == ["text"]
    assert insufficient_views("attr", 0, 2) == ["text", "newest"]
    assert insufficient_views("it", 1, 0) == ["last", "text"]
    assert insufficient_views("recall", 3, 0) == ["last"]


def test_blind_table_is_fitted_on_the_other_half() -> None:
    def line(number: int, answer: int) -> dict[str, Any]:
        slots = {"by": COLOUR, "value": RED, "pic": 0}
        asked = {"op": "count", "slots": slots, "wording": 0, "far": False, "type": "number", "answer": answer}
        asked |= {"guesses": {"text": 0.5}}
        head = {"role": "linked", "domain": "shapes", "side": 2, "seed": [0, number]}
        return {**head, "turns": [asked]}

    lines = [line(number, 1 if number % 4 else 2) for number in range(100)]  # even: half 2; odd: all 1
    add_blind(lines)
    found = [line["turns"][0]["guesses"]["blind"] for line in lines]
    assert set(found[0::2]) == {0.5}  # the odd half always answers 1, which is right in half of the even ones
    assert set(found[1::2]) == {1.0}  # the even half answers 1 and 2 as often: the smaller one, always right here


def test_guesses_are_the_same_at_every_run() -> None:
    script = follow(TOP_LEFT, COUNTED, ("that", {"by": COLOUR, "pic": 1}))
    assert guesses(script) == guesses(follow(TOP_LEFT, COUNTED, ("that", {"by": COLOUR, "pic": 1})))
    assert script.answers[-1] == 0


def test_blind_guess_is_the_same_in_any_order_of_rows() -> None:
    """Two answers equally frequent in one half: the table must not depend on which came first."""

    def line(number: int, answer: int) -> dict[str, Any]:
        asked = {"op": "attr", "type": "shape", "answer": answer, "guesses": {"last": 1.0}, "wording": 0, "far": False}
        asked["slots"] = {"pic": 0, "cell": 0, "attr": 1}
        return {"role": "linked", "domain": "shapes", "side": 2, "seed": (0, number), "turns": [asked]}

    lines = [line(2 * number, answer) for number, answer in enumerate([0, 1] * 30)]
    lines += [line(2 * number + 1, answer) for number, answer in enumerate([0] * 40 + [1] * 20)]
    guesses = []
    for ordered in (lines, lines[::-1]):
        copies = copy.deepcopy(ordered)
        add_blind(copies)
        guesses.append({one["seed"]: one["turns"][0]["guesses"]["blind"] for one in copies})
    assert guesses[0] == guesses[1]
