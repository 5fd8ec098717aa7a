"""What a free reply states: hand-made cases of every type, refusals, thinking aloud, long and hostile replies."""

from __future__ import annotations

import time

import pytest

from eval_tasks.readers.exact_answer import read_exact_answer
from mmcr_bench.exact.scene import DOMAINS
from mmcr_bench.exact.wording import REFUSAL, answer_text

R = REFUSAL
COLOURS = DOMAINS["shapes"].attributes[0].values
SHAPES = DOMAINS["shapes"].attributes[1].values
RED, GREEN, BLUE, YELLOW, PURPLE, BLACK = (COLOURS.index(name) for name in "red green blue yellow purple black".split())
CIRCLE, SQUARE, TRIANGLE, CROSS = (SHAPES.index(name) for name in "circle square triangle cross".split())

COLOUR_CASES = [
    ("Red", RED),
    ("red.", RED),
    ("The object is **blue**.", BLUE),
    ("It is not red but green.", GREEN),
    ("It isn't red, it's blue.", BLUE),
    ("green rather than blue", GREEN),
    ("Blue instead of red.", BLUE),
    ("red or blue", None),
    ("Either red or blue.", None),
    ("I can't tell.", None),
    ("I cannot see the image.", None),
    ("I don't have access to the images.", None),
    ("", None),
    ("   \n", None),
    ("There are red and blue ones, so the answer is blue.", BLUE),
    ("The answer is red because the blue one is at the right.", RED),
    ("The answer is red or blue.", None),
    ("The answer is red. The answer is blue.", None),
    ("Answer: red", RED),
    ("Final answer:\n\n**Purple**", PURPLE),
    (r"The colour is \boxed{\text{green}}.", GREEN),
    (r"Red and blue are here. $\boxed{blue}$", BLUE),
    (r"\[ \boxed{\textbf{black}} \]", BLACK),
    ("<answer>yellow</answer>", YELLOW),
    ("<think>It may be red, or blue.</think> Blue", BLUE),
    ("It may be red, or blue.</think>\n\nBlue", BLUE),
    ("<think>It is red, so I say red", None),
    ("Red... wait, no, looking again it is green.", GREEN),
    ("It's red. Actually, it is green.", GREEN),
    ("It's red. Actually I'm not sure, it might be blue.", None),
    ("What colour is the red square? Blue.", BLUE),
    ("Is it red? No, it is blue.", BLUE),
    ('{"answer": "red"}', RED),
    ('["red"]', RED),
    ("Colour：红? no: red。", RED),
    ("¿Red? Sí, ¡red!", RED),
    ("«Blue»", BLUE),
    ("It is ｇｒｅｅｎ．", GREEN),
    ("Fred was bored and scared of the evergreen bluebird.", None),
    ("reddish", None),
    ("blue-green", None),
    ("dark-red", RED),
    ("It is red-coloured.", RED),
    ("The colour is violet.", PURPLE),
    ("No doubt, it is red.", RED),
    ("Without a doubt red", RED),
    ("Not only red.", RED),
    ("red is wrong, it is blue", BLUE),
    ("My first guess, red, was wrong. Blue.", BLUE),
    ("The answer isn't red. It's blue.", BLUE),
    ("Neither red nor blue.", None),
    ("_Blue_", BLUE),
    ("`blue`", BLUE),
    ("# Blue", BLUE),
    ("- blue", BLUE),
    ("orange", None),
    ("The top left one is red, the bottom left one is green.", None),
    ("I see red, blue and green; therefore green.", GREEN),
    ("I see red, blue and green.", None),
    ("rouge", None),
]
SHAPE_CASES = [
    ("It is a red square", SQUARE),
    ("a plus sign", CROSS),
    ("It's the circle, not the square", CIRCLE),
    ("Not a red square but a circle.", CIRCLE),
    ("It is a round disc.", CIRCLE),
    ("triangular", TRIANGLE),
    ("The road crossing in the squared town", None),
    ("cross-shaped", CROSS),
    ("A circle and a square", None),
]
NUMBER_CASES = [
    ("three", 3),
    ("3", 3),
    ("3.", 3),
    ("3.0", 3),
    ("3.5", None),
    ("-3", None),
    ("2-3", None),
    ("1,000", None),
    ("There are 3 red objects in Image_2.", 3),
    ("There are 3 red objects in image 2.", 3),
    ("In images 1 and 2 there are 5.", 5),
    ("2 + 3 = 5", 5),
    ("2 plus 3 is 5.", 5),
    ("The sum of 2 and 3 is 5.", 5),
    ("Image_1 has 2 and Image_2 has 3, for a total of 5.", 5),
    ("Image_1 has 2 and Image_2 has 3, 5 in total.", 5),
    ("Image_1 has 2 and Image_2 has 3.", None),
    ("The total is 7, because 4 and 3 make 7.", 7),
    ("The last number was 4; adding 3 gives 7.", 7),
    ("between 2 and 3", None),
    ("None.", 0),
    ("There are no squares in Image_1", 0),
    ("There aren't any.", 0),
    ("I don't see any red objects.", 0),
    ("Zero", 0),
    ("No, 2.", 2),
    ("No", None),
    ("There is no doubt: 4.", 4),
    ("Only one.", 1),
    ("There is one, yes", 1),
    ("There is a single square.", 1),
    ("Not a single one.", 0),
    ("The red one, one of three", None),
    ("The red one.", None),
    ("The only one I see", None),
    ("The one at the left is red.", None),
    ("more than 3", None),
    ("at least two", None),
    ("2 of 4", 2),
    ("3 out of the 9 objects", 3),
    ("It is a 3x3 grid with 4 circles.", 4),
    ("1. Look at the image.\n2. Count the circles.\n3. There are 4 circles.", 4),
    ("First, the second row has 2.", 2),
    ("In row 2 there are 3.", 3),
    (r"\(\boxed{3}\)", 3),
    ("$3$", 3),
    ("３", 3),
    ("The answer is: 4", 4),
    ("four (4)", 4),
    ("There are four: two at the top and two at the bottom.", None),
    ("I count 2, then 1 more, so 3.", 3),
    ("twenty", 20),
    ("Two red squares and no blue ones", None),
    ("tentative", None),
    ("No more than 3", None),
    ("There are two: one at the top left and one at the bottom right.", 2),
    ("There are 3 circles (one red, one blue, one green).", 3),
    ("There is one at the top left.", 1),
    ("Sum: 2 + 3 = 5", 5),
    ("It is 4 + 1, which is 5.", 5),
    ("4 (each circle counts as two)", 4),
    ("The answer is 3 (2 in the top row and 1 in the bottom row).", 3),
    ("It has 2 red circles and 1 blue one. Total: 3", 3),
    ("The answer is 2 + 3.", None),
]
YES_NO_CASES = [
    ("Yes, there are.", 1),
    ("No.", 0),
    ("YES", 1),
    ("**No**, there are none.", 0),
    ("There is one, yes", 1),
    ("maybe yes, maybe no", None),
    ("Yes or no: yes", 1),
    ("yes or no", None),
    ("The answer is yes because there is one.", 1),
    ("The answer is no.", 0),
    ("It does.", 1),
    ("It doesn't.", 0),
    ("There aren't any.", 0),
    ("Correct.", 1),
    ("That's incorrect.", 0),
    ("Nope", 0),
    ("No, wait, yes.", 1),
    ("There are no circles in Image_2, but one in Image_1.", None),
    ("I know nothing, yesterday", None),
    ("Yes. No.", None),
    ("No red objects are there.", 0),
    ("Correct, there are.", 1),
    ("False.", 0),
    ("Definitely not.", 0),
    ("Of course!", 1),
    ("True colours are shown here.", None),
    ("Not really, yes", 1),
    (r"\boxed{\text{Yes}}", 1),
    ("<answer>No</answer>", 0),
]
IMAGE_CASES = [
    ("Image_2", 1),
    (r"Image\_2", 1),
    ("image 2.", 1),
    ("the second picture", 1),
    ("The 2nd image", 1),
    ("2", 1),
    ("second", 1),
    ("Image two", 1),
    ("In image 1 and image 2", None),
    ("images 1 and 2", None),
    ("Not Image_1 but Image_2.", 1),
    ("It is in Image_3, rather than Image_1.", 2),
    ("Bob is in Image_2, at the top left.", 1),
    ("Image_1 has 2 and Image_2 has 3, so Image_2.", 1),
    ("The answer is Image_1, since Image_2 has fewer.", 0),
    ("No image shows it.", None),
    ("Image_0", None),
    ("Image_2 shows Bob; Image_1 does not.", 1),
    ("There is no such object.", R),
]
PLACE_CASES = [  # on 2x2 cells, on 3x3 cells
    ("upper left", 0, 0),
    ("At the bottom-right corner.", 3, 8),
    ("the left top", 0, 0),
    ("top left, not top right", 0, 0),
    ("in the top row, left column", 0, 0),
    ("top_left", 0, 0),
    ("the top left-hand corner", 0, 0),
    ("the bottom of the right column", 3, 8),
    ("row 2, column 1", 2, 3),
    ("first row, second column", 1, 1),
    ("centre", None, 4),
    ("It's in the middle.", None, 4),
    ("center left", None, 3),
    ("top center", None, 1),
    ("the middle of the bottom row", None, 7),
    ("middle right", None, 5),
    ("left", None, None),
    ("in the top row, second column", 1, 1),
    ("first row, right column", 1, 2),
    ("second column of the bottom row", 3, 7),
    ("right column, row 2", 3, 5),
    ("top left and bottom right", None, None),
    ("It is at the top left; the other one is at the top right.", None, None),
    ("There is no such object.", R, R),
]
BAR_CASES = [
    ("The second bar", 1),
    ("the 2nd bar.", 1),
    ("bar 2", 1),
    ("second", 1),
    ("2", 1),
    ("the leftmost bar", 0),
    ("The last bar", 4),
    ("the middle bar", 2),
    ("sixth bar", None),
    ("last", 4),
    ("the second bar from the right", 3),
    ("second from the right", 3),
    ("the fourth one from the left", 3),
    ("the first bar or the second bar", None),
]
VALUE_CASES = [  # domain, type, reply, written value
    ("numerals", "digit", "7", "7"),
    ("numerals", "digit", "The numeral at the top left of Image_2 is a seven.", "7"),
    ("numerals", "digit", "Image_2 is not a 2", None),
    ("numerals", "digit", "6", None),
    ("numerals", "digit", "It is a red 4, not a 5", "4"),
    ("charts", "height", "The second bar has a height of 5 units.", "5"),
    ("charts", "height", "Bar 2 reaches 8 on the axis from 0 to 10.", "8"),
    ("charts", "height", "nine", "9"),
    ("charts", "height", "It reaches up to 8.", "8"),
    ("charts", "height", "between 4 and 5", None),
    ("charts", "height", "more than 5", None),
    ("charts", "height", "4", None),
    ("sheets", "class", "an astronaut, a person", "person"),
    ("sheets", "class", "a photo of a cat", "cat"),
    ("sheets", "class", "A woman in a uniform", "person"),
    ("sheets", "class", "motorbike", "motorcycle"),
    ("sheets", "class", "a cup of coffee", "cup"),
    ("sheets", "class", "concatenate", None),
    ("sheets", "colour", "It has a blue border.", "blue"),
    ("sheets", "colour", "The border of the red motorcycle is blue", None),
    ("numerals", "number", "There are 2 numerals with the value 7.", "2"),
    ("charts", "number", "Two bars of height 5", "2"),
    ("numerals", "number", "There are two 7s.", "2"),
]
REFUSALS = [
    "There is no such object.",
    "There's no such object in Image_1",
    "No such object.",
    "There is no green cross in Image_1.",
    "There is no green cross in Image_1; the only cross there is red.",
    "No green cross is in Image_1.",
    "I don't see a green cross.",
    "I can't find any green cross there.",
    "Image_1 doesn't contain a green cross.",
    "It doesn't exist.",
    "That object does not exist in the image.",
    "None",
    "Nothing.",
    "N/A",
    "The question cannot be answered: the premise is wrong.",
    "This question has a false premise.",
    "Unanswerable",
    "A green cross is not present.",
    "That cell is empty.",
    "Nothing is called Bob any more.",
    "No object is named Bob.",
    "Bob no longer refers to anything.",
    "The name Bob was dropped.",
    "The name Bob stands for nothing.",
    "You told me to forget the name Bob.",
    "I no longer know who Bob is.",
    "There isn't one.",
    "Bob has not been defined.",
    "There isn't any green cross here.",
    "There are none of these.",
    "**There is no such object.**",
    r"\boxed{\text{no such object}}",
    "<think>A green cross? red? blue?</think>There is no such object.",
]
NO_REFUSALS = [
    "It is red, there is no other object like it.",
    "Red. There is no doubt.",
    "There is no label, so the answer is red.",
    "I can't see any text, but the answer is red.",
]


@pytest.mark.parametrize(("reply", "value"), COLOUR_CASES)
def test_colours(reply: str, value: int | None) -> None:
    assert read_exact_answer(reply, "colour", "shapes", 3) == value


@pytest.mark.parametrize(("reply", "value"), SHAPE_CASES)
def test_shapes(reply: str, value: int | None) -> None:
    assert read_exact_answer(reply, "shape", "shapes", 2) == value


@pytest.mark.parametrize(("reply", "value"), NUMBER_CASES)
def test_numbers(reply: str, value: int | None) -> None:
    assert read_exact_answer(reply, "number", "shapes", 3) == value


@pytest.mark.parametrize(("reply", "value"), YES_NO_CASES)
def test_yes_no(reply: str, value: int | None) -> None:
    assert read_exact_answer(reply, "yesno", "shapes", 3) == value


@pytest.mark.parametrize(("reply", "value"), IMAGE_CASES)
def test_images(reply: str, value: int | None) -> None:
    assert read_exact_answer(reply, "image", "shapes", 3) == value


@pytest.mark.parametrize(("reply", "of_four", "of_nine"), PLACE_CASES)
def test_places(reply: str, of_four: int | None, of_nine: int | None) -> None:
    assert read_exact_answer(reply, "cell", "shapes", 2) == of_four
    assert read_exact_answer(reply, "cell", "shapes", 3) == of_nine


@pytest.mark.parametrize(("reply", "value"), BAR_CASES)
def test_bars(reply: str, value: int | None) -> None:
    assert read_exact_answer(reply, "cell", "charts", 5) == value


@pytest.mark.parametrize(("domain", "type_", "reply", "written"), VALUE_CASES)
def test_values_of_all_domains(domain: str, type_: str, reply: str, written: str | None) -> None:
    values = next((a.values for a in DOMAINS[domain].attributes if a.type == type_), tuple("0123456789"))
    read = read_exact_answer(reply, type_, domain, 3)
    assert (None if read is None else values[read]) == written


@pytest.mark.parametrize("type_", ["colour", "shape", "cell"])
@pytest.mark.parametrize("reply", REFUSALS)
def test_a_reply_that_there_is_no_such_thing_is_the_refusal(reply: str, type_: str) -> None:
    assert read_exact_answer(reply, type_, "shapes", 3) == REFUSAL


@pytest.mark.parametrize("reply", NO_REFUSALS)
def test_a_value_beside_another_denial_is_read(reply: str) -> None:
    assert read_exact_answer(reply, "colour", "shapes", 3) == RED


FRAMES = (
    *("X", "X.", "X\n", "**X**", "*X*", "`X`", '"X"', "- X", "> X", "(X)", "So: X", "# X", "| X |", "X!", "«X»", "X。"),
    *("The answer is X.", "Answer: X", "**Answer:** X", "Final answer: X", "The correct answer is X, I am sure."),
    *("\\boxed{X}", "$\\boxed{\\text{X}}$", "<answer>X</answer>", '{"answer": "X"}', "<b>X</b>", "Let me look. X."),
    *("<think>Red, or blue? Yes, no. 7 in Image_2?</think>X", "Hmm... wait, let me count again: X"),
)


@pytest.mark.parametrize("domain", DOMAINS)
def test_every_true_answer_is_read_as_itself(domain: str) -> None:
    of = DOMAINS[domain]
    for side in of.cells:
        sizes = {a.type: len(a.values) for a in of.attributes}
        sizes |= {"number": 30, "yesno": 2, "image": 8, "cell": len(of.cells[side])}
        for type_, size in sizes.items():
            for value in range(size if type_ != "number" else 21):
                text = answer_text(of, side, type_, value)
                for frame in FRAMES:
                    reply = frame.replace("X", text)
                    assert read_exact_answer(reply, type_, domain, side) == value, (type_, reply)
        for type_ in (*(a.type for a in of.attributes), "cell", "image"):
            assert read_exact_answer(answer_text(of, side, type_, REFUSAL), type_, domain, side) == REFUSAL


HOSTILE = [
    *("a" * 200_000, "1" * 200_000, " " * 200_000, "\n" * 200_000, "{" * 200_000, "\\boxed{" * 40_000, "<" * 200_000),
    *(
        "<think>" * 30_000,
        "not " * 60_000 + "red",
        "red or " * 40_000,
        "top " * 60_000,
        "top, " * 50_000,
        "1, " * 80_000,
    ),
    *(
        "no " * 80_000,
        "there is " * 30_000,
        "image " * 40_000,
        "images 1, " + "2, " * 60_000,
        "the answer is " * 20_000,
    ),
    *(
        "=" * 200_000,
        "so " * 80_000,
        "wait " * 40_000,
        "- " * 80_000,
        "one " * 60_000,
        "yes, no, " * 30_000,
        "_" * 200_000,
    ),
    *("\\boxed{" + "{a}" * 60_000, "<answer>" * 30_000, "1. x\n" * 40_000, "middle of the " * 20_000, "red. " * 50_000),
    *("<a " * 60_000, "name " * 50_000, "row 1 " * 40_000, "2 of " * 50_000, "'" * 200_000, "？" * 100_000),
]


@pytest.mark.parametrize("number", range(len(HOSTILE)))
def test_time_is_linear_in_the_length_of_a_hostile_reply(number: int) -> None:
    for type_ in ("colour", "number", "yesno", "image", "cell"):
        start = time.process_time()
        read_exact_answer(HOSTILE[number], type_, "shapes", 3)
        assert time.process_time() - start < 8, (type_, HOSTILE[number][:20])
