"""Programs: values worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest

from mmcr_bench.exact.program import ABSENT, INVALID, Program, images_of, leaves, to_program, unrolled, value_of
from mmcr_bench.exact.state import Turn
from mmcr_bench.exact.wording import REFUSAL

#                    red circle, blue cross, red cross, empty
SCENES = np.array([[[0, 0], [2, 3], [0, 3], [-1, -1]], [[0, 3], [0, 3], [1, 0], [2, 1]]])


def lit(*values: int) -> list[Program]:
    return [("lit", value) for value in values]


@pytest.mark.parametrize(
    ("program", "expected"),
    [
        (("attr", *lit(0, 0, 1)), 2),
        (("attr", *lit(1, 1, 2)), 0),
        (("attr", *lit(0, 0, 3)), INVALID),  # an empty cell
        (("count", *lit(0, 0, 0)), 2),
        (("count", *lit(1, 0, 3, 0, 0, 3)), 4),  # crosses where each red object counts as three: 1 + 3
        (("changed", ("count", *lit(1, 0, 3, 0, 0, 2)), ("count", *lit(1, 0, 3))), 3),
        (("changed", ("count", *lit(1, 0, 3, 0, 1, 2)), ("count", *lit(1, 0, 3))), INVALID),
        (("cell_with", *lit(0, 0, 2)), 1),
        (("cell_with", *lit(0, 0, 0)), INVALID),  # two of them
        (("cell_with", *lit(0, 0, 5)), ABSENT),
        (("attr", *lit(1, 0), ("cell_with", *lit(0, 0, 2))), 3),
        (("attr", *lit(1, 0), ("cell_with", *lit(0, 0, 5))), REFUSAL),
        (("at_least", *lit(1, 1, 3, 2)), 1),
        (("at_least", *lit(1, 1, 3, 3)), 0),
        (("add", *lit(3, 4)), 7),
        (("more", *lit(2, 2)), 0),
        (("most", *lit(0, 1, 2), *lit(1, 5, 2)), 1),
        (("most", *lit(0, 1, 2), *lit(5, 5, 2)), INVALID),
        (("gone", *lit(1, 1, 2)), REFUSAL),
        (("gone", *lit(1, 0, 2)), 2),
    ],
)
def test_value(program: Program, expected: int) -> None:
    assert value_of(program, SCENES[None], [], []).tolist() == [expected]


def test_many_worlds_are_evaluated_at_once() -> None:
    worlds = np.stack([SCENES, SCENES[::-1]])
    assert value_of(("count", *lit(1, 0, 3)), worlds, [], []).tolist() == [2, 2]
    assert value_of(("attr", *lit(0, 0, 2)), worlds, [], []).tolist() == [0, 1]
    assert value_of(
        ("count", ("told", 0, "by"), *lit(0, 0)), SCENES[None], [{"by": np.array([0, 1])}], []
    ).tolist() == [2, 1]


def test_leaves_and_what_answers_rest_on() -> None:
    first = Turn(
        "attr", {"pic": 0}, 0, False, ("attr", ("told", 0, "attr"), ("told", 0, "pic"), ("told", 0, "cell")), "colour"
    )
    second = Turn("that", {}, 0, False, ("count", ("told", 1, "by"), ("told", 1, "pic"), ("said", 0)), "number")
    assert ("said", 0) in set(leaves(second.program))
    assert {leaf[1] for leaf in leaves(unrolled(second.program, [first, second]))} == {0, 1}
    told = [{"attr": 0, "pic": 0, "cell": 0}, {"by": 0, "pic": 1}]
    assert images_of(second.program, SCENES, told, [0]) == {1}
    assert images_of(unrolled(second.program, [first, second]), SCENES, told, [0]) == {0, 1}


def test_program_survives_json() -> None:
    program = ("attr", ("told", 0, "attr"), ("lit", 1), ("said", 2))
    assert to_program(["attr", ["told", 0, "attr"], ["lit", 1], ["said", 2]]) == program
