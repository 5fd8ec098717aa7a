"""The second solver: hand-made dialogues with answers worked out by hand, and questions that it must refuse."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import pytest

from mmcr_bench.exact import resolve
from mmcr_bench.exact.resolve import solve_in_words
from mmcr_bench.exact.resolve_memory import Unresolved

RED, GREEN, BLUE, YELLOW, PURPLE, BLACK = range(6)
CIRCLE, SQUARE, TRIANGLE, CROSS = range(4)
ONE = [[RED, CIRCLE], [BLUE, SQUARE], [RED, CROSS], [GREEN, SQUARE]]
TWO = [[RED, SQUARE], [RED, SQUARE], [-1, -1], [BLACK, TRIANGLE]]
THREE = [[BLUE, CIRCLE], [BLUE, CIRCLE], [BLUE, CIRCLE], [RED, SQUARE]]
CAT, COIN, CUP, MOTORCYCLE, PERSON, ROCKET = range(6)
SHEET = [[CAT, RED], [PERSON, RED], [PERSON, BLUE], [ROCKET, BLACK]]
NUMERALS = [[RED, 0], [BLUE, 1], [BLUE, 1], [BLACK, 5]]  # values 2, 3, 3, 8
CHART = [[RED, 0], [GREEN, 3], [RED, 5]]  # heights 2, 6, 9
NO = "There is no such object."

SHAPES = [
    ("What is the colour of the object at the top left of Image_1?", "red"),
    ("And its shape?", "circle"),
    ("And the one at the top right?", "square"),
    ("Sorry, I meant Image_2.", "square"),
    ("How many objects with that shape are in Image_1?", "2"),
    ("And in Image_2?", "2"),
    ("Are there more of them in Image_3?", "no"),
    ("Add the number of blue objects in Image_3 to the last number you gave. What is the total?", "5"),
    ("Which colour does the object we last spoke of have?", "red"),
    (
        "My last question about a single object: answer it for the one at the bottom right of the image it was about.",
        "black",
    ),
    ("Where in Image_1 is the blue object?", "top right"),
    ("Go back to the object before that one. What is its shape?", "triangle"),
    ("Back to Image_1: take the object of it that we last spoke of. What is its colour?", "blue"),
    ("What is the shape of the purple object in Image_1?", NO),
    ("What was your second answer?", "circle"),
    ("Which was the second shape among your answers?", "square"),
    ("Of your answers that were a shape, what was the first?", "circle"),
]
NAMES = [
    ("In Image_1, the object at the top left gets the name Ada. What is the colour of Ada?", "red"),
    ("The object at the top left of Image_2 shall be known as Bob. What shape does Bob have?", "square"),
    ("In which image is Bob?", "Image_2"),
    ("And what is its colour?", "red"),
    ("Which shape does Ada have?", "circle"),
    ("From now on, Ada is the one at the top right of Ada's image instead. What is the colour of Ada?", "blue"),
    ("Tell me the shape of Ada, and then forget the name Ada.", "square"),
    ("What is the colour of Ada?", NO),
    ("What is the colour of Bob?", "red"),
    ("How many red objects are in Image_2?", "2"),
]
COUNTS = [
    ("How many circles are in Image_1?", "1"),
    ("Which of Image_1, Image_2 and Image_3 has the most of what you last counted?", "Image_3"),
    ("From now on, each blue object counts as two. How many circles are in Image_3?", "6"),
    ("How many squares are in Image_1?", "3"),
    ("What you last counted: how many of them are in Image_3?", "1"),
    ("Does Image_3 have more of what you last counted than you counted then?", "no"),
    ("Does Image_1 have more of what you last counted than you counted then?", "yes"),
    ("The last number you gave plus the number of crosses in Image_1: how much is that?", "2"),
    ("Repeat your third answer.", "6"),
    ("Sum up: the last number you gave, and the number of circles in Image_1.", "7"),
]
TWO_NUMBERS = "Take two numbers: the number of squares in Image_1; the number of squares in Image_2."
THREE_NUMBERS = (
    "the number of circles in Image_1, the number of circles in Image_3 if each blue object counts as two and "
    "the number of crosses in Image_1"
)
RESOLVED = [
    ("Does Image_2 have at least two red objects?", "yes"),
    ("Does Image_1 have at least three red objects?", "no"),
    (f"{TWO_NUMBERS} Is the first one larger than the second?", "no"),
    (f"What is the sum of these numbers: {THREE_NUMBERS}?", "8"),
    ("If each blue object counts as two, how many circles are in Image_3?", "6"),
    ("If each blue object counts as four, how many circles are in Image_3?", "12"),
    ("How many circles are in Image_3?", "3"),
    ("If each blue object counts as two, which of Image_1, Image_2 and Image_3 has the most squares?", "Image_1"),
    ("Ada is the object at the top left of Image_1. In which image is Ada?", "Image_1"),
    ("Nothing is called Bob. What is the colour of Bob?", NO),
]


@pytest.mark.parametrize("dialogue", [SHAPES, NAMES, COUNTS, RESOLVED])
def test_hand_made_dialogues_about_shapes(dialogue: list[tuple[str, str]]) -> None:
    questions, answers = map(list, zip(*dialogue, strict=True))
    assert solve_in_words("shapes", 2, [ONE, TWO, THREE], questions) == answers


def test_hand_made_dialogues_about_the_other_domains() -> None:
    assert solve_in_words(
        "sheets",
        2,
        [SHEET],
        [
            "What is the border colour of the photo of a cat in Image_1?",
            "Count the photos with that border colour in Image_1. How many are there?",
            "What is the number of photos of people in Image_1?",
            "Find the photo with a black border in Image_1. Where is it?",
            "And its subject?",
            "What is the subject of the photo with a green border in Image_1?",
        ],
    ) == ["red", "2", "2", "bottom right", "rocket", "There is no such photo."]
    assert solve_in_words(
        "numerals",
        2,
        [NUMERALS],
        [
            "How many numerals with the value 3 are in Image_1?",
            "What is the value of the black numeral in Image_1?",
            "And its colour?",
            "Is there at least one numeral with that colour in Image_1?",
            "Think of the last value of a numeral that you named. Does Image_1 show at least two numerals with it?",
        ],
    ) == ["2", "8", "black", "yes", "no"]
    assert solve_in_words(
        "charts",
        3,
        [CHART],
        [
            "What is the height of the second bar of Image_1?",
            "And the third bar?",
            "Which colour does the bar of height 6 in Image_1 have?",
            "Tell me where the green bar of Image_1 is.",
            "How many red bars does Image_1 show?",
        ],
    ) == ["6", "9", "green", "second bar", "2"]


TOP_LEFT, CIRCLES = "What is the colour of the object at the top left of Image_1?", "How many circles are in Image_1?"
UNCLEAR = [
    ["And its shape?"],
    ["What is the colour of the object at the bottom left of Image_2?"],
    ["What is the shape of the red object in Image_2?"],
    [CIRCLES, "And its colour?"],
    [CIRCLES, "Where in Image_1 is the blue object?", "And in Image_2?"],
    [CIRCLES, "Sorry, I meant Image_2."],
    ["What is the colour of Ada?"],
    ["What is the shape of the purple object in Image_1?", "And what is its colour?"],
    [TOP_LEFT, "Go back to the object before that one. What is its shape?"],
    [TOP_LEFT, "Sorry, I meant Image_2.", "Go back to the object before that one. What is its shape?"],
    [
        TOP_LEFT,
        "Sorry, I meant Image_2.",
        "Back to Image_1: take the object of it that we last spoke of. What is its shape?",
    ],
    [TOP_LEFT, "How many objects with that shape are in Image_1?"],
    [TOP_LEFT, CIRCLES, "And the one at the top right?"],
    [
        "How many squares are in Image_1?",
        "Which of Image_1, Image_2 and Image_3 has the most of what you last counted?",
    ],
    [
        CIRCLES,
        "Sum up: the last number you gave, and the number of crosses in Image_1.",
        "What you last counted: how many of them are in Image_3?",
    ],
    ["What was your third answer?"],
    [TOP_LEFT, "What was your first answer?", "Tell me the second colour that you answered."],
    ["What is the weather like?"],
]


@pytest.mark.parametrize("questions", UNCLEAR)
def test_a_question_without_a_single_meaning_is_refused_with_its_turn(questions: list[str]) -> None:
    with pytest.raises(Unresolved, match=f"turn {len(questions)}, "):
        solve_in_words("shapes", 2, [ONE, TWO, THREE], questions)


def test_it_imports_nothing_of_the_generator() -> None:
    folder = Path(resolve.__file__).parent
    for path in folder.glob("resolve*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            assert not isinstance(node, ast.ImportFrom) or node.level == 0
            names = [node.module] if isinstance(node, ast.ImportFrom) else []
            names += [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            for name in names:
                assert name is not None
                own = name.startswith("mmcr_bench.exact.resolve_")
                assert own or name.split(".")[0] in sys.stdlib_module_names, f"{path.name} imports {name}"
