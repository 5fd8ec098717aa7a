"""The grammar of every wording in every domain, and that no two operators share their words."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from mmcr_bench.exact.operators import OPERATORS
from mmcr_bench.exact.phrases import RESOLVED, WORDINGS
from mmcr_bench.exact.scene import DOMAINS, Domain
from mmcr_bench.exact.wording import REFUSAL, answer_text, fill, num_wordings, question_text, with_article

SLOTS = {"pic": 1, "cell": 1, "name": 1, "nth": 1, "rule_by": 0, "times": 3, "pic_a": 0, "pic_b": 1, "pic_c": 3}
SAME_WORDS = {"gone": "called", "ruled": "count"}


def texts(domain: Domain) -> Iterator[tuple[str, str]]:
    """Key and text of every wording with every value."""
    side = min(domain.cells)
    for key, templates in WORDINGS.items():
        for template in templates:
            for by in (0, 1):
                for value in range(len(domain.attributes[by].values)):
                    for least in (1, 2):
                        slots = {**SLOTS, "attr": 1 - by, "by": by, "value": value, "rule_value": value, "least": least}
                        yield key, fill(domain, side, template, slots)


def test_every_operator_has_eight_wordings_and_one_held_out() -> None:
    assert {*OPERATORS} <= {*WORDINGS}
    numbers = {len(templates) for templates in WORDINGS.values()}
    assert numbers == {9}
    for op in OPERATORS:
        assert num_wordings(op) == 9
    assert all(len(set(templates)) == len(templates) for templates in WORDINGS.values())


@pytest.mark.parametrize("name", DOMAINS)
def test_sentences_are_sentences(name: str) -> None:
    for key, text in texts(DOMAINS[name]):
        assert re.fullmatch(r"[A-Z].*[.?]", text), (key, text)
        assert not re.search(r"[{}]|  |\.\.|\bNone\b", text), (key, text)
        assert all(sentence[:1].isupper() for sentence in text.split(". ")), (key, text)


@pytest.mark.parametrize("name", DOMAINS)
def test_articles_and_plurals_fit_their_nouns(name: str) -> None:
    nouns = {f"{domain.noun}s" for domain in DOMAINS.values()} | {"crosses", "circles", "squares", "triangles"}
    plural = "|".join(nouns)
    for key, text in texts(DOMAINS[name]):
        assert not re.search(r"\ba [aeio]\w|\ban [^aeio8]", text), (key, text)
        assert not re.search(rf"\b(?:a|an|one|each|single|last) (?:\w+ )?(?:{plural})\b", text), (key, text)
        assert not re.search(r"\b(?:two|how many) (?:\w+ )?(?:object|photo|numeral|bar|cross|circle)\b", text), (
            key,
            text,
        )
        assert not re.search(r"\bIs there at least two|\bAre there at least one", text), (key, text)


@pytest.mark.parametrize("name", DOMAINS)
def test_no_two_operators_share_a_text(name: str) -> None:
    """Except those that must not be told apart by their words: a forgotten name, a rule in force."""
    owner: dict[str, str] = {}
    for key, text in texts(DOMAINS[name]):
        key = SAME_WORDS.get(key, key)
        assert owner.setdefault(text, key) == key, (text, key, owner[text])


def test_articles() -> None:
    assert [with_article(words) for words in ("cross", "object", "8", "animal", "blue bar")] == [
        *("a cross", "an object", "an 8", "an animal", "a blue bar"),
    ]


def test_things_and_places_in_words() -> None:
    shapes, sheets, charts = DOMAINS["shapes"], DOMAINS["sheets"], DOMAINS["charts"]
    assert question_text(shapes, 3, "count", {"by": 1, "value": 3, "pic": 0}, 0) == "How many crosses are in Image_1?"
    asked = question_text(sheets, 2, "where", {"by": 0, "value": 4, "pic": 1}, 0)
    assert asked == "Where in Image_2 is the photo of a person?"
    assert question_text(charts, 3, "attr", {"attr": 1, "pic": 0, "cell": 2}, 0) == (
        "What is the height of the third bar of Image_1?"
    )
    assert question_text(charts, 3, "ellipsis", {"cell": 0}, 0) == "And the first bar?"
    assert question_text(shapes, 2, "same", {"by": 0, "pic": 1, "least": 1}, 1) == (
        "Is there at least one object with that colour in Image_2?"
    )


def test_answers_in_words() -> None:
    shapes, charts = DOMAINS["shapes"], DOMAINS["charts"]
    assert [answer_text(shapes, 3, *one) for one in (("colour", 0), ("shape", 3), ("number", 0), ("yesno", 1))] == [
        *("red", "cross", "0", "yes"),
    ]
    assert [answer_text(charts, 5, *one) for one in (("image", 0), ("cell", 4), ("height", 0))] == [
        *("Image_1", "fifth bar", "2"),
    ]
    assert answer_text(charts, 5, "colour", REFUSAL) == "There is no such bar."


def test_resolved_forms_have_all_their_slots() -> None:
    assert {"ruled", "at_least", "which", "gone", "add", "more", "most", "ruled_most", "term", "ruled_term"} == {
        *RESOLVED
    }
