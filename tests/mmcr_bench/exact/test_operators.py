"""What references mean, followed by hand on three images, and what is not asked because it would be unclear."""

from __future__ import annotations

import numpy as np
import pytest

from mmcr_bench.exact.facts import facts_of
from mmcr_bench.exact.operators import OPERATORS, make
from mmcr_bench.exact.scene import DOMAINS
from mmcr_bench.exact.state import Script, extend
from mmcr_bench.exact.tellings import images_needed, linked_text, resolved_text
from mmcr_bench.exact.wording import REFUSAL, answer_text

RED, GREEN, BLUE, YELLOW = range(4)
CIRCLE, SQUARE, TRIANGLE, CROSS = range(4)
COLOUR, SHAPE = 0, 1
ADA, BOB = 0, 1
SCENES = np.array(
    [
        [[RED, CIRCLE], [BLUE, CROSS], [GREEN, SQUARE], [RED, CROSS]],
        [[BLUE, SQUARE], [BLUE, TRIANGLE], [YELLOW, CROSS], [GREEN, CIRCLE]],
        [[RED, CROSS], [RED, CROSS], [RED, CROSS], [BLUE, CIRCLE]],
    ]
)
START = Script(DOMAINS["shapes"], 2, SCENES, (0, 0, 0))


def ask(script: Script, op: str, **slots: int) -> Script:
    made = make(op, script, slots)
    assert made is not None, f"{op} {slots} is not asked"
    longer = extend(script, op, slots, 0, made)
    assert longer is not None, f"{op} {slots} has no answer"
    return longer


def is_asked(script: Script, op: str, **slots: int) -> bool:
    made = make(op, script, slots)
    return made is not None and extend(script, op, slots, 0, made) is not None


def follow(*questions: tuple[str, dict[str, int]]) -> Script:
    script = START
    for op, slots in questions:
        script = ask(script, op, **slots)
    return script


def words(script: Script) -> list[str]:
    """The answers in words."""
    typed = zip(script.turns, script.answers, strict=True)
    return [answer_text(script.domain, script.side, turn.type, answer) for turn, answer in typed]


TOP_LEFT = ("attr", {"attr": COLOUR, "pic": 0, "cell": 0})
IN_TWO = ("attr", {"attr": SHAPE, "pic": 1, "cell": 2})
NAMED = ("name", {"attr": SHAPE, "pic": 0, "cell": 1, "name": ADA})
COUNTED = ("count", {"by": SHAPE, "value": CROSS, "pic": 0})


def test_it_ellipsis_and_correction() -> None:
    script = follow(TOP_LEFT, ("it", {"attr": SHAPE}), ("ellipsis", {"cell": 1}), ("correct", {"pic": 1}))
    assert words(script) == ["red", "circle", "cross", "triangle"]
    assert linked_text(script, 2) == "And the one at the top right?"
    assert resolved_text(script, 2) == "What is the shape of the object at the top right of Image_1?"
    assert resolved_text(script, 3) == "What is the shape of the object at the top right of Image_2?"


def test_back_is_the_last_but_one_thing_and_unclear_after_a_correction() -> None:
    script = follow(TOP_LEFT, IN_TWO)
    assert words(ask(script, "back", attr=SHAPE))[-1] == "circle"
    corrected = follow(TOP_LEFT, IN_TWO, ("correct", {"pic": 0}))
    assert not is_asked(corrected, "back", attr=SHAPE)
    assert words(ask(ask(corrected, *[NAMED[0]], **NAMED[1]), "back", attr=COLOUR))[-1] == "green"


def test_asking_the_same_thing_twice_does_not_move_what_was_before_it() -> None:
    script = follow(TOP_LEFT, IN_TWO, ("it", {"attr": COLOUR}))
    assert words(ask(script, "back", attr=SHAPE))[-1] == "circle"


def test_back_needs_a_thing_in_the_question_before() -> None:
    assert not is_asked(follow(TOP_LEFT, IN_TWO, COUNTED), "back", attr=SHAPE)


def test_correction_only_of_a_question_that_names_a_place() -> None:
    assert not is_asked(follow(NAMED), "correct", pic=1)
    described = ("described", {"by": COLOUR, "value": GREEN, "attr": SHAPE, "pic": 0})
    assert not is_asked(follow(described), "correct", pic=1)
    assert not is_asked(follow(TOP_LEFT), "correct", pic=0)


def test_return_to_an_image() -> None:
    script = follow(TOP_LEFT, IN_TWO, COUNTED)
    assert words(ask(script, "return", pic=0, attr=SHAPE))[-1] == "circle"
    assert not is_asked(script, "return", pic=1, attr=COLOUR)  # the thing last spoken of lies there
    assert not is_asked(script, "return", pic=2, attr=COLOUR)  # nothing was spoken of there


def test_names_move_and_are_forgotten() -> None:
    script = follow(NAMED, ("name", {"attr": COLOUR, "pic": 1, "cell": 3, "name": BOB}))
    moved = ask(script, "rename", name=ADA, cell=2, attr=SHAPE)
    assert words(moved)[-1] == "square"
    assert words(ask(moved, "called", name=ADA, attr=COLOUR))[-1] == "green"
    gone = ask(ask(moved, "forget", name=BOB, attr=SHAPE), "gone", name=BOB, attr=COLOUR)
    assert gone.answers[-1] == REFUSAL
    assert linked_text(gone, 4) == "What is the colour of Bob?"
    assert words(ask(gone, "called", name=ADA, attr=COLOUR))[-1] == "green"
    assert not is_asked(gone, "it", attr=SHAPE)  # nobody knows what "it" is
    assert not is_asked(gone, "name", attr=SHAPE, pic=0, cell=0, name=BOB)


def test_which_image() -> None:
    script = follow(NAMED, IN_TWO)
    assert words(ask(script, "which", name=ADA))[-1] == "Image_1"
    assert words(ask(ask(script, "which", name=ADA), "it", attr=COLOUR))[-1] == "blue"  # Ada was spoken of


def test_that_colour_near_and_far() -> None:
    script = ask(follow(TOP_LEFT), "that", by=COLOUR, pic=2)
    assert (words(script)[-1], script.turns[-1].far) == ("3", False)
    far = ask(script, "same", by=COLOUR, pic=1, least=1)
    assert (words(far)[-1], far.turns[-1].far) == ("no", True)
    one = ask(follow(TOP_LEFT, IN_TWO), "that_one", by=COLOUR, attr=SHAPE, pic=1)
    assert one.answers[-1] == REFUSAL  # no red object in Image_2
    assert not is_asked(follow(TOP_LEFT), "that_one", by=COLOUR, attr=SHAPE, pic=0)  # two red objects


def test_counting_again_more_and_totals() -> None:
    script = follow(COUNTED, ("and_in", {"pic": 1}))
    assert words(script) == ["2", "1"]
    assert words(ask(script, "more", pic=2))[-1] == "yes"  # 3 > 1, the number last given for them
    total = ask(script, "total", by=COLOUR, value=RED, pic=2)
    assert words(total)[-1] == "4"
    assert not is_asked(total, "and_in", pic=0)  # after a sum: what was counted last?
    assert not is_asked(total, "total", by=COLOUR, value=RED, pic=2)  # the same summand twice
    assert not is_asked(total, "total", by=SHAPE, value=CROSS, pic=1)  # it is in the sum already
    assert is_asked(total, "total", by=SHAPE, value=CROSS, pic=0)


def test_compare_over_three_images() -> None:
    script = ask(follow(COUNTED), "compare", pic_a=0, pic_b=1, pic_c=2)
    assert words(script)[-1] == "Image_3"
    circles = ("count", {"by": SHAPE, "value": CIRCLE, "pic": 0})
    assert not is_asked(follow(circles), "compare", pic_a=0, pic_b=1, pic_c=2)  # all have one


def test_a_rule_holds_for_every_count_after_it() -> None:
    rule = ("rule", {"rule_by": COLOUR, "rule_value": RED, "times": 3, "by": SHAPE, "value": CROSS, "pic": 0})
    script = follow(rule)
    assert words(script) == ["4"]  # a blue cross and a red one
    assert not is_asked(script, "count", **COUNTED[1])
    assert words(ask(script, "ruled", by=SHAPE, value=CROSS, pic=2))[-1] == "9"
    assert not is_asked(script, "ruled", by=SHAPE, value=CROSS, pic=1)  # no red one: the rule would not matter
    assert words(ask(script, "and_in", pic=1))[-1] == "1"
    assert not is_asked(ask(script, *[TOP_LEFT[0]], **TOP_LEFT[1]), "same", by=COLOUR, pic=1, least=2)
    assert not is_asked(follow(COUNTED, (rule[0], {**rule[1], "pic": 2})), "rule", **rule[1])


def test_more_is_not_asked_across_a_rule() -> None:
    script = follow(COUNTED)
    assert is_asked(script, "more", pic=1)
    rule = {"rule_by": COLOUR, "rule_value": RED, "times": 2, "by": SHAPE, "value": CROSS, "pic": 1}
    assert is_asked(ask(script, "rule", **rule), "more", pic=2)  # counted under the rule
    described = ask(script, "described", by=COLOUR, value=GREEN, attr=SHAPE, pic=0)
    assert make("more", described, {"pic": 1}) is not None


def test_earlier_answers() -> None:
    script = follow(TOP_LEFT, COUNTED, ("attr", {"attr": COLOUR, "pic": 1, "cell": 3}))
    assert words(ask(script, "recall", nth=1))[-1] == "2"
    assert words(ask(script, "order", by=COLOUR, nth=1))[-1] == "green"
    again = ask(script, "attr", attr=COLOUR, pic=2, cell=0)
    assert not is_asked(again, "order", by=COLOUR, nth=2)  # red, green, red: which is the third?
    assert resolved_text(ask(script, "recall", nth=1), 3) == "How many crosses are in Image_1?"


def test_the_last_number_is_unclear_after_the_value_of_a_numeral() -> None:
    numerals = Script(DOMAINS["numerals"], 2, SCENES, (0, 0, 0))
    script = ask(numerals, "count", by=COLOUR, value=RED, pic=0)
    assert is_asked(script, "total", by=COLOUR, value=BLUE, pic=1)
    assert not is_asked(ask(script, "attr", attr=SHAPE, pic=0, cell=0), "total", by=COLOUR, value=BLUE, pic=1)


def test_nothing_trivial_is_asked_of_a_described_thing() -> None:
    script = follow(("described", {"by": COLOUR, "value": GREEN, "attr": SHAPE, "pic": 0}))
    assert not is_asked(script, "it", attr=COLOUR)  # "the green object ... what colour is it?"


def test_facts_are_read_off_the_program() -> None:
    script = follow(TOP_LEFT, COUNTED, ("it", {"attr": SHAPE}), ("that", {"by": SHAPE, "pic": 2}))
    it, that = facts_of(script, 2), facts_of(script, 3)
    assert (it.distance_turns, it.needs, it.hops, it.image_age) == (2, ("user", "image"), 1, 2)
    assert (that.distance_turns, that.needs, that.hops, that.image_age) == (1, ("own", "image"), 2, 0)
    assert facts_of(script, 0).needs == ("image",)
    assert images_needed(script, 3) == [2]


@pytest.mark.parametrize("op", [op for op, one in OPERATORS.items() if one.refers])
def test_nothing_refers_to_an_empty_dialogue(op: str) -> None:
    slots = dict.fromkeys(("attr", "by", "cell", "pic", "name", "nth", "value", "pic_a"), 0)
    slots |= {"pic_b": 1, "pic_c": 2, "least": 1}
    assert make(op, START, slots) is None


def test_a_rule_names_a_value_that_its_attribute_has() -> None:
    """The other half of a pair may change the attribute of a rule: there are more colours than shapes."""
    rule = {"rule_by": COLOUR, "rule_value": len(START.domain.attributes[SHAPE].values), "times": 2}
    asked = {**rule, "by": COLOUR, "value": RED, "pic": 0}
    assert is_asked(START, "rule", **asked)
    assert not is_asked(START, "rule", **{**asked, "rule_by": SHAPE})
