"""Numbers stated in a reply: digits and words, without those that name an image, a place in a list or a limit."""

from __future__ import annotations

import re
from typing import NamedTuple


class Mention(NamedTuple):
    """A value in a text, with the place of its words."""

    value: int
    start: int
    end: int


_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen "
    "eighteen nineteen twenty"
).split()
NUMBER_WORDS = {word: number for number, word in enumerate(_SMALL)} | {"single": 1}
ORDINALS = {
    word: number
    for number, words in enumerate(
        "first|1st second|2nd third|3rd fourth|4th fifth|5th sixth|6th seventh|7th eighth|8th".split(), start=1
    )
    for word in words.split("|")
}
NUMBER = rf"(?:\d{{1,4}}|{'|'.join(NUMBER_WORDS)})"
_LIST = rf"{NUMBER}(?:(?:,? (?:and|or|&) |, ?){NUMBER})*"
_NOT_A_COUNT = (
    re.compile(rf"\b(?:images|pictures|imgs) {_LIST}\b"),
    re.compile(rf"\b(?:image|picture|img|pic|figure)[ _#.]{{0,3}}(?:number )?{NUMBER}\b"),
    re.compile(rf"\b(?:row|column|turn|question|step|bar|cell|object|position|item|line|option|part) ?#?{NUMBER}\b"),
    re.compile(r"#\d+"),
    re.compile(rf"\b{NUMBER} ?(?:x|×|by|\*) ?{NUMBER}\b"),
    re.compile(r"\b(?:0|zero) ?(?:to|-|–) ?(?:10|ten)\b"),
    re.compile(
        rf"\b(?:more|less|fewer|greater|larger|higher|lower) than {NUMBER}\b",
    ),
    re.compile(r"\b\d+ ?%|\b\d+ ?(?:percent|px|pixels|degrees)\b"),
    re.compile(r"\b\d+'?s\b"),
)
_NO_EXACT_COUNT = (
    re.compile(rf"\b(?:at least|at most|up to|over|under|above|below) {NUMBER}\b"),
    re.compile(rf"\bcounts? (?:as|for) {NUMBER}\b"),
    # a numeral's value, a bar's height
    re.compile(rf"\b(?:values?|numerals?|digits?|heights?)(?: (?:of|is|are|equal to))? {NUMBER}\b"),
)
_OUT_OF = re.compile(rf"\b({NUMBER}) (?:out )?of (?:the |these |all )?{NUMBER}\b")
_ITEM = re.compile(r"^ *(\d{1,2})[.)] (?=\S)", re.MULTILINE)
_NUMBER = re.compile(rf"(?<![\w.,/-])({NUMBER})(?:\.0{{1,3}})?(?![\w/]|[.,]\d|-\w)")
_NO_THING = re.compile(
    r"\b(?:none|nothing|no(?= [a-z])(?! (?:there|it|i|the|that|this|they|we|you|other|others|more|additional|further|"
    r"doubt|idea|way|longer|need|matter|one|problem)\b)|not a single|not one|not any|"
    r"not (?:see|find|have|contain|show|include) (?:any|a|an)|(?:see|find|have|contain|show) no)\b"
)
_ONE_OF_THEM = re.compile(r" (?:at|in|on|is|being|located|near|to|red|green|blue|yellow|purple|black)\b")
_PRONOUN = frozenset(
    "the this that these those which what each every another other any some no such same last next previous only not "
    "one left right top bottom middle centre center upper lower".split()
)


def to_number(word: str) -> int:
    """The value of a word that `NUMBER` matches."""
    return int(word) if word.isdigit() else NUMBER_WORDS[word]


def find_numbers(text: str, before_one: frozenset[str], is_count: bool) -> list[Mention]:
    """The numbers that a text states, in order.

    Args:
        text: plain text in lower case.
        before_one: words after which `one` is a pronoun (`the red one`).
        is_count: True for the answer to `how many`: nothing is 0, and a numeral's own value is no count.
    """
    for pattern in (*_NOT_A_COUNT, *(_NO_EXACT_COUNT if is_count else ())):
        text = pattern.sub(_blank, text)
    text = _OUT_OF.sub(lambda match: match[1].ljust(len(match[0])), _without_items(text))
    found = [Mention(0, match.start(), match.end()) for match in _NO_THING.finditer(text)] if is_count else []
    covered = {place for mention in found for place in range(mention.start, mention.end)}
    for match in _NUMBER.finditer(text):
        said = match[1]
        if match.start() in covered or (said in ("one", "single") and _is_pronoun(text, match.start(), before_one)):
            continue
        found.append(Mention(to_number(said), match.start(), match.end()))
    is_one = [text[one.start : one.end] == "one" and bool(_ONE_OF_THEM.match(text, one.end)) for one in found]
    if any(is_one) and not all(is_one):  # `there are two: one at the left, one at the right`
        found = [one for one, is_part in zip(found, is_one, strict=True) if not is_part]
    return sorted(found, key=lambda mention: mention.start)


def _blank(match: re.Match[str]) -> str:
    """Spaces instead of the match, so that places in the text stay."""
    return " " * len(match[0])


def _without_items(text: str) -> str:
    """The text without the numbers of a list that counts 1, 2, ... at the beginning of its lines."""
    numbers = [int(match[1]) for match in _ITEM.finditer(text)]
    is_list = len(numbers) > 1 and numbers == list(range(1, len(numbers) + 1))
    return _ITEM.sub(_blank, text) if is_list else text


def _is_pronoun(text: str, start: int, before_one: frozenset[str]) -> bool:
    """Whether `one` stands for a thing: `the red one`, `the only one`, but not `only one`."""
    words = re.findall(r"[\w']+", text[max(0, start - 24) : start])
    if not words or not text[:start].endswith(" "):
        return False
    if words[-1] == "only":
        return len(words) > 1 and words[-2] in ("the", "that", "this")
    return words[-1] in _PRONOUN or words[-1] in ORDINALS or words[-1] in before_one
